"""OpenTelemetry Protocol: trace requests in protobuf and JSON.

Belongs here: both encodings, limits, naming conventions. Does not: HTTP (web), Claude Code (sources.claude).
"""
