"""Dagster, thin: what runs when, and what people see of it. The work is in analysis, actions and store."""
