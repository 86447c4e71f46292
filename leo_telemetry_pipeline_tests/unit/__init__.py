"""Tests without a database, a process or a network."""
