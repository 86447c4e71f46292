"""SQL: the only package that has it. Imports neither Dagster nor pandas."""
