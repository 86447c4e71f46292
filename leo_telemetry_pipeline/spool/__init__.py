"""Spans on disk while the database is away.

Belongs here: segments, their limits and locks, draining them. Does not: when spans are spooled (writer), where they
go (store).
"""
