"""Background delivery of spans: queue, worker thread, sender, counters.

Belongs here: delivery from a measured program to a sink or the spool. Does not: making spans (tracing), SQL (store).
"""
