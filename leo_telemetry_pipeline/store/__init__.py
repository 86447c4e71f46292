"""The only code that speaks SQL. It knows spans and settings, and nothing of Dagster or pandas."""
