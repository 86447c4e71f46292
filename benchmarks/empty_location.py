"""A code location that imports only Dagster, to measure the cost of an empty run.

Belongs here: an empty job of three assets, and its sensor. Does not: our code.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

# Each file in this folder requests one run, like a QUEUED row in our table.
ASKED = "BENCHMARK_ASKED"


@dg.asset
def first() -> None:
    """Do nothing."""


@dg.asset(deps=[first])
def second() -> None:
    """Do nothing."""


@dg.asset(deps=[second])
def third() -> None:
    """Do nothing."""


empty_job = dg.define_asset_job("empty_job", selection=dg.AssetSelection.all())


@dg.sensor(job=empty_job, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def asked_sensor() -> Iterator[dg.RunRequest]:
    """Request a run for each file."""
    for asked in sorted(Path(os.environ[ASKED]).iterdir()):
        yield dg.RunRequest(run_key=asked.name)


# The same executor as ours: one process per step would take longer than the step.
defs = dg.Definitions(
    assets=[first, second, third], jobs=[empty_job], sensors=[asked_sensor], executor=dg.in_process_executor
)
