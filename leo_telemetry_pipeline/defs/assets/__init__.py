"""Assets, and what they share.

Does not belong here: checks, jobs, sensors (defs), computing (analysis, store).
"""
