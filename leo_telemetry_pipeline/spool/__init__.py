"""Disk buffer for spans while the database is unavailable.

Belongs here: segments, their limits and locks, draining them. Does not: when spans are spooled (writer), SQL (store).
"""
