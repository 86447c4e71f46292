"""A foreign code location whose jobs, sensors, schedules and assets have our current and former names.

Belongs here: the definitions. Does not: expected results (accept_shared).
"""

import os
import time
from pathlib import Path

import dagster as dg

GROUP = "leo_telemetry_insights"
# The sensor leaves one file per tick in this folder.
FOLDER = "STRANGERS_FOLDER"
# Our names, and our former names without a prefix.
JOBS = [prefix + name for prefix in ("", "leo_telemetry_") for name in ("analysis_job", "insights_job")]
SENSOR, SCHEDULE = "leo_telemetry_queued_runs_sensor", "leo_telemetry_staleness_schedule"
TAG = "leo_telemetry/follows"


@dg.asset(group_name=GROUP)
def workflow_traces() -> None:
    """Do nothing."""


@dg.asset(group_name=GROUP, deps=[workflow_traces])
def continuous_improvements() -> None:
    """Run as long as a file exists."""
    held = Path(os.environ[FOLDER], "hold")
    while held.exists():
        time.sleep(0.1)


jobs = [dg.define_asset_job(name, selection=dg.AssetSelection.all()) for name in JOBS]


@dg.sensor(name=SENSOR, job=jobs[1], minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def asked_sensor() -> dg.RunRequest:
    """Request one run, and leave one file per tick."""
    Path(os.environ[FOLDER], f"looked {time.time()}").touch()
    return dg.RunRequest(run_key="once")


@dg.schedule(name=SCHEDULE, job=jobs[0], cron_schedule="0 0 1 1 *")
def never() -> dg.RunRequest:
    """Stay switched off, as declared."""
    return dg.RunRequest()


defs = dg.Definitions(
    assets=[workflow_traces, continuous_improvements],
    jobs=jobs,
    sensors=[asked_sensor],
    schedules=[never],
    executor=dg.in_process_executor,
)
