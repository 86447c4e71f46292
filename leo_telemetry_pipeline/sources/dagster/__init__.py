"""Dagster: runs and steps of an instance, from the tables of its own storage, which are only read.

Belongs here: finding an instance, reading it, its spans. Does not: Dagster itself, which takes two seconds to import.
"""
