"""Tests with real processes, signals, servers and files."""
