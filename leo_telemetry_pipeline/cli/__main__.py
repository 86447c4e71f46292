"""Run ``python -m leo_telemetry_pipeline.cli``, so that child processes need not locate the script."""

from leo_telemetry_pipeline.cli.main import main

main()
