"""Sensors: start queued analyses, the insights after them and the delivery of alerts, and end lost runs.

Belongs here: the sensors, and the pure decision of each. Does not: the state machine (SQL functions).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from leo_telemetry_pipeline.actions import routine_alerts
from leo_telemetry_pipeline.defs.assets import insights
from leo_telemetry_pipeline.defs.jobs import alerts_job, analysis_job, insights_job
from leo_telemetry_pipeline.defs.lifecycle import how_it_failed, process_lives
from leo_telemetry_pipeline.defs.names import FOLLOWS_TAG, RUN_ID_TAG, is_ours
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.delivery import deliver
from leo_telemetry_pipeline.delivery.channels import configured
from leo_telemetry_pipeline.store import outbox, runs
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server.dagster_home import OURS, QUEUE_SENSOR

# Dagster records a start shortly before the process exists; after this long it should exist.
SILENT_LAUNCH = timedelta(seconds=40)
# Importing takes minutes on a busy machine, but not longer than this.
LONGEST_LAUNCH = timedelta(minutes=15)
CLEAR_UP_S = 3600
# A process that was told to end reports its end sooner, if it is alive.
LONGEST_END = timedelta(minutes=1)
# A run without a heartbeat for this long is lost; the rule itself is in SQL.
SILENT_S = 30
AWAY = "away"
_IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def to_launch(waiting: Sequence[Run]) -> list[Run]:
    """Return the QUEUED runs. Dagster itself never launches a run_key twice."""
    return [run for run in waiting if run.status == "QUEUED"]


@dataclass(frozen=True)
class Launch:
    """Dagster run launched for a QUEUED analysis run: its status, its last change, and whether its process is alive.

    ``lives`` queries the launcher, which is slow; it returns None if the launcher cannot tell.
    """

    status: dg.DagsterRunStatus
    changed: datetime
    lives: Callable[[], bool | None]


def launch_failure(run: Run, launched: Sequence[Launch], now: datetime) -> str | None:
    """Return why a QUEUED run will never be claimed, or None while it still may be claimed."""
    if run.status != "QUEUED" or not launched:
        return None
    launch = max(launched, key=lambda one: one.changed)
    status = launch.status
    if status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED):
        return None
    if status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS):
        return f"the Dagster run ended as {status.value} without claiming the analysis run"
    silent = now - max(launch.changed, run.heartbeat_at or launch.changed)
    if silent > LONGEST_LAUNCH:
        return f"the Dagster run is {status.value} but its process has not claimed the analysis run"
    if silent > SILENT_LAUNCH and launch.lives() is False:
        return f"the Dagster run is {status.value} but its process ended without claiming the analysis run"
    return None


def was_away(cursor: str | None, last_look: float | None, now: float) -> bool:
    """Return whether the machine probably slept since the sensor's last tick.

    Healthy runs were then silent too. Their heartbeats resume before the next tick, so only one tick is excused.
    """
    return cursor != AWAY and last_look is not None and now - last_look > SILENT_S


@dg.sensor(
    name=QUEUE_SENSOR,
    job=analysis_job,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts leo_telemetry_analysis_job for each QUEUED row of telemetry_analysis_runs. Only reads.",
)
def queued_runs_sensor(telemetry_database: TelemetryDatabase) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request a run for each QUEUED row."""
    with telemetry_database.session() as (database, settings):
        queued = to_launch(runs.waiting(database)) if settings.enabled else []
    if not queued:
        yield dg.SkipReason("No analysis is queued")
    for run in queued:
        yield dg.RunRequest(run_key=run.run_id, tags={RUN_ID_TAG: run.run_id})


@dg.sensor(
    name=OURS + "run_lifecycle_sensor",
    job=analysis_job,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends analysis runs that are lost, overdue or never started, and their Dagster runs.",
)
def run_lifecycle_sensor(context: dg.SensorEvaluationContext, telemetry_database: TelemetryDatabase) -> dg.SkipReason:
    """End lost and overdue rows, rows that could not be launched, and Dagster runs whose row has ended."""
    instance, done, origin = context.instance, [], context.code_location_origin
    location = origin.location_name if origin else None
    with telemetry_database.session() as (database, settings):
        away = was_away(context.cursor, context.last_tick_completion_time, time.time())
        context.update_cursor(AWAY if away else "")
        reaped = 0 if away else runs.reap(database)
        if reaped:
            done.append(f"{reaped} lost or overdue")
        for run in runs.waiting(database):
            records = _records(instance, run, location) if run.status == "QUEUED" else []
            launched = [_launch(instance, record) for record in records]
            why = launch_failure(run, launched, datetime.now(UTC))
            if why and runs.fail_unlaunched(database, run.run_id, _with_error(instance, records, why)):
                done.append(f"{run.run_id} never started")
                for record in records:
                    _end(instance, record.dagster_run, why)
        for run in runs.ended_since(database, CLEAR_UP_S):
            behind = instance.get_run_by_id(run.dagster_run_id or "")
            if behind is not None and not behind.is_finished and is_ours(behind, location):
                _end(instance, behind, f"analysis run {run.run_id} ended as {run.status} ({run.reason_code})")
                done.append(f"Dagster run of {run.run_id} ended")
    done += _end_lost_followers(instance, location, timedelta(seconds=settings.deadline))
    return dg.SkipReason("; ".join(done) or "Nothing to clean up")


@dg.sensor(
    name=OURS + "insights_sensor",
    job=insights_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts leo_telemetry_insights_job once for the last successful analysis of all projects. Only reads.",
)
def insights_sensor(
    context: dg.SensorEvaluationContext, telemetry_database: TelemetryDatabase
) -> dg.RunRequest | dg.SkipReason:
    """Request insights for the last analysis, unless a run for it was already started, by this sensor or elsewhere."""
    with telemetry_database.session() as (database, settings):
        run = runs.last_succeeded(database) if settings.enabled else None
        waiting = runs.waiting(database)
    if run is None:
        return dg.SkipReason("No analysis has succeeded yet")
    if waiting:
        return dg.SkipReason("Waiting for a queued or running analysis")
    if insights.started(context.instance, run):
        return dg.SkipReason(f"Insights were already started for {run.run_id}")
    return dg.RunRequest(run_key=run.run_id, tags={FOLLOWS_TAG: run.run_id})


@dg.sensor(
    name=OURS + "alerts_sensor",
    job=alerts_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts leo_telemetry_alerts_job when alerts are due; writes the daily digest and own troubles.",
)
def alerts_sensor(
    context: dg.SensorEvaluationContext, telemetry_database: TelemetryDatabase
) -> dg.RunRequest | dg.SkipReason:
    """Request a delivery, unless one is in progress."""
    with telemetry_database.session() as (database, settings):
        channels = configured(settings).names if settings.enabled else []
        if not channels:
            return dg.SkipReason("No channel of alerts is configured")
        routine_alerts.write(database, settings, datetime.now(UTC))
        is_due = outbox.is_due(database, channels, quiet=deliver.is_quiet_now(settings))
    if not is_due:
        return dg.SkipReason("No alert is due")
    origin = context.code_location_origin
    running = context.instance.get_runs(dg.RunsFilter(job_name=alerts_job.name, statuses=_IN_PROGRESS))
    if any(is_ours(run, origin.location_name if origin else None) for run in running):
        return dg.SkipReason("Alerts are being delivered")
    return dg.RunRequest()


def _end_lost_followers(instance: dg.DagsterInstance, location: str | None, deadline: timedelta) -> list[str]:
    """End overdue insights and deliveries, such as those whose process was killed, because they occupy run slots."""
    late = datetime.now(UTC) - deadline
    statuses = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    overdue = [
        run
        for job in (insights_job, alerts_job)
        for run in instance.get_runs(dg.RunsFilter(job_name=job.name, statuses=statuses, updated_before=late))
        if is_ours(run, location)
    ]
    for run in overdue:
        _end(instance, run, f"still running {deadline} after its start")
    return [f"{run.job_name} {run.run_id} ended" for run in overdue]


def _records(instance: dg.DagsterInstance, run: Run, location: str | None) -> Sequence[dg.RunRecord]:
    records = instance.get_run_records(dg.RunsFilter(tags={RUN_ID_TAG: run.run_id}))
    return [record for record in records if is_ours(record.dagster_run, location)]


def _launch(instance: dg.DagsterInstance, record: dg.RunRecord) -> Launch:
    run = record.dagster_run
    return Launch(run.status, record.update_timestamp.astimezone(UTC), lambda: process_lives(instance, run))


def _with_error(instance: dg.DagsterInstance, records: Sequence[dg.RunRecord], why: str) -> str:
    for record in records:
        if failure := how_it_failed(instance, record.dagster_run.run_id):
            return f"{why}: {failure}"[:4000]
    return why


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> None:
    """Terminate the process of a Dagster run, or mark the run as failed if there is none or it does not end."""
    record = instance.get_run_record_by_id(run.run_id)
    if record is None or record.dagster_run.is_finished:
        return
    if record.dagster_run.status == dg.DagsterRunStatus.CANCELING:
        # Celery's launcher says that it ends any process, also one whose worker is gone.
        if datetime.now(UTC) - record.update_timestamp.astimezone(UTC) > LONGEST_END:
            instance.report_run_failed(run, message=why)
        return
    instance.report_run_canceling(run, message=why)
    try:
        is_terminating = instance.run_launcher.terminate(run.run_id)
    except Exception:  # noqa: BLE001  # launchers raise various errors for a process that is gone
        is_terminating = False
    if not is_terminating:
        instance.report_run_failed(run, message=why)
