"""Statistics of measured durations: pure functions without SQL, Dagster or a clock."""
