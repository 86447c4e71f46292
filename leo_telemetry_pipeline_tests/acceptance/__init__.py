"""Acceptance tests: real processes, signals, servers and files."""
