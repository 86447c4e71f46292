"""Dagster assets, and their shared parts.

Does not belong here: checks, jobs, sensors (defs), computing (analysis, store).
"""
