"""Let our own child processes run a command without knowing where its script lies."""

from leo_telemetry_pipeline.cli.main import main

main()
