"""Background delivery of spans: queue, worker thread, sender, counters.

Belongs here: what takes spans from a measured program to a sink or the spool. Does not: making spans (tracing), SQL
(store.sink).
"""
