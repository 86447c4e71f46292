"""A code location of somebody else, whose jobs, sensors, schedules and assets are called like ours, now and before.

Belongs here: the definitions. Does not: what must become of them beside ours (accept_shared).
"""

import os
import time
from pathlib import Path

import dagster as dg

GROUP = "leo_telemetry_insights"
# Its sensors look for files in this folder, and leave one there for each look.
FOLDER = "STRANGERS_FOLDER"
# What ours are called, and what they were called before their names said whose they are.
JOBS = [prefix + name for prefix in ("", "leo_telemetry_") for name in ("analysis_job", "insights_job")]
SENSOR, SCHEDULE = "leo_telemetry_queued_runs_sensor", "leo_telemetry_staleness_schedule"
TAG = "leo_telemetry/follows"


@dg.asset(group_name=GROUP)
def workflow_traces() -> None:
    """Do nothing."""


@dg.asset(group_name=GROUP, deps=[workflow_traces])
def continuous_improvements() -> None:
    """Work for as long as a file is there."""
    held = Path(os.environ[FOLDER], "hold")
    while held.exists():
        time.sleep(0.1)


jobs = [dg.define_asset_job(name, selection=dg.AssetSelection.all()) for name in JOBS]


@dg.sensor(name=SENSOR, job=jobs[1], minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def asked_sensor() -> dg.RunRequest:
    """Request one run, and leave a file for each look."""
    Path(os.environ[FOLDER], f"looked {time.time()}").touch()
    return dg.RunRequest(run_key="once")


@dg.schedule(name=SCHEDULE, job=jobs[0], cron_schedule="0 0 1 1 *")
def never() -> dg.RunRequest:
    """Stay switched off, as it was declared."""
    return dg.RunRequest()


defs = dg.Definitions(
    assets=[workflow_traces, continuous_improvements],
    jobs=jobs,
    sensors=[asked_sensor],
    schedules=[never],
    executor=dg.in_process_executor,
)
