"""HTTP servers: the OTLP receiver, and Dagster's UI behind a guard.

Belongs here: requests, responses, connections. Does not: what a span is (sources), storing it (store).
"""
