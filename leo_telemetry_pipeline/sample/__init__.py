"""The demo's generated history, and what an analysis of it must find.

Belongs here: generated spans, expected results. Does not: the analysis, storing.
"""
