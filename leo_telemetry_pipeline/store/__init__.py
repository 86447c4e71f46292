"""Database access: the only package with SQL. Imports neither Dagster nor pandas."""
