"""The assets, one module each, and what they have in common.

Does not belong here: checks, jobs, sensors (defs), computing (analysis, store).
"""
