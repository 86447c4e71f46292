"""The command line ``leo-telemetry``: options and output. Decisions belong in the packages below it."""
