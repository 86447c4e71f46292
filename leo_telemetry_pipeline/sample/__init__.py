"""The demo's generated history, and what an analysis of it must find.

Does not belong here: the analysis, storing.
"""
