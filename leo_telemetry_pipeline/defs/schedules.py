"""What happens by the clock. Schedules only put rows into the queue; sensors start what lies there."""

import dagster as dg

from leo_telemetry_pipeline.defs.jobs import analysis_job
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.store import runs


@dg.schedule(
    job=analysis_job,
    cron_schedule="0 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Queues an analysis when the last one is over seven days old; the queue's sensor starts it.",
)
def staleness_schedule(telemetry_database: TelemetryDatabase) -> dg.SkipReason:
    """Enqueue an analysis if the last one is stale, and say why not otherwise."""
    with telemetry_database.session() as (database, settings):
        if not settings.enabled:
            return dg.SkipReason("LEO_TELEMETRY_ENABLED is false")
        run_id, outcome, detail = runs.enqueue(
            database, if_stale=True, triggered_by="SCHEDULED", stale_after_s=settings.stale_after
        )
    if outcome == "ENQUEUED":
        return dg.SkipReason(f"The last analysis is stale: queued {run_id}, which queued_runs_sensor starts")
    return dg.SkipReason(f"Nothing queued: {detail}")
