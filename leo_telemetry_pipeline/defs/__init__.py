"""Dagster definitions, kept thin: what runs when, and what the UI shows. The work is in analysis, actions and store."""
