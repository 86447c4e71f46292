"""Files of spans: rows in JSON, CSV and Parquet, Zipkin, Jaeger and OTLP as JSON.

Belongs here: formats and their detection. Does not: what a row means (sources.rows), commands (cli).
"""
