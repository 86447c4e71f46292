"""Retention of spans: day partitions, archive, purge, maintenance.

Belongs here: how long spans are kept. Does not: daily history, which is kept for good (store.history).
"""
