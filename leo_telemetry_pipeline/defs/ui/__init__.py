"""Tables and charts of the asset pages.

Does not belong here: their content (defs.assets).
"""
