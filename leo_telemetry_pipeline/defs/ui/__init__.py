"""Tables and charts of the asset pages.

Does not belong here: what is in them (defs.assets).
"""
