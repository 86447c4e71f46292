"""Schedules: queue an analysis, which a sensor starts, if the last one is stale; run daily maintenance.

Belongs here: the schedules. Does not: the jobs.
"""

import dagster as dg

from leo_telemetry_pipeline.defs.jobs import analysis_job, maintenance_job
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.dagster_home import OURS, QUEUE_SENSOR


@dg.schedule(
    name=OURS + "staleness_schedule",
    job=analysis_job,
    cron_schedule="0 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Queues an analysis if the last one is over LEO_TELEMETRY_STALE_AFTER old; the queue sensor starts it.",
)
def staleness_schedule(telemetry_database: TelemetryDatabase) -> dg.SkipReason:
    """Queue an analysis if the last one is stale, and report the outcome."""
    with telemetry_database.session() as (database, settings):
        if not settings.enabled:
            return dg.SkipReason("LEO_TELEMETRY_ENABLED is false")
        run_id, outcome, detail = runs.enqueue(
            database, if_stale=True, triggered_by="SCHEDULED", stale_after_s=settings.stale_after
        )
    if outcome == "ENQUEUED":
        return dg.SkipReason(f"The last analysis is stale: queued {run_id}, which {QUEUE_SENSOR} starts")
    return dg.SkipReason(f"Nothing queued: {detail}")


@dg.schedule(
    name=OURS + "maintenance_schedule",
    job=maintenance_job,
    cron_schedule="20 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily: creates partitions ahead, archives and drops spans older than LEO_TELEMETRY_KEEP.",
)
def maintenance_schedule() -> dg.RunRequest | dg.SkipReason:
    """Request the daily maintenance."""
    if not Settings().enabled:
        return dg.SkipReason("LEO_TELEMETRY_ENABLED is false")
    return dg.RunRequest()
