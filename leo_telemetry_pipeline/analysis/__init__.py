"""What the measurements say: pure functions, DataFrames in and out; no SQL, no Dagster, no clock."""
