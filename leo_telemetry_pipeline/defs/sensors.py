"""What starts queued runs and what follows from them, and what clears up after runs that broke.

Belongs here: the sensors, and the pure decision of each. Does not: the state machine (SQL functions).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from leo_telemetry_pipeline.defs import insights
from leo_telemetry_pipeline.defs.jobs import analysis_job, insights_job
from leo_telemetry_pipeline.defs.lifecycle import how_it_failed
from leo_telemetry_pipeline.defs.resources import RUN_ID_TAG, TelemetryDatabase
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.runs import Run

# Importing everything takes a few seconds; a process that has not claimed its row by then never will.
SILENT_LAUNCH = timedelta(seconds=40)
CLEAR_UP_S = 3600


def to_launch(waiting: Sequence[Run]) -> list[Run]:
    """Return the runs to request: those QUEUED. Dagster itself never launches a run_key twice."""
    return [run for run in waiting if run.status == "QUEUED"]


def launch_failure(run: Run, launched: Sequence[tuple[dg.DagsterRunStatus, datetime]], now: datetime) -> str | None:
    """Say why a QUEUED run will never be claimed, or None while it may be.

    ``launched``: status and last change of every Dagster run that was started for it.
    """
    if run.status != "QUEUED" or not launched:
        return None
    status, changed = max(launched, key=lambda one: one[1])
    if status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED):
        return None
    if status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS):
        return f"the Dagster run ended as {status.value} without taking the analysis run"
    alive = max(changed, run.heartbeat_at or changed)
    if now - alive > SILENT_LAUNCH:
        return f"the Dagster run is {status.value} but its process has not taken the analysis run"
    return None


@dg.sensor(
    job=analysis_job,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run of analysis_job for every QUEUED row of telemetry_analysis_runs. Only reads.",
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
    job=analysis_job,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends analysis runs that were lost, overran or never began, and the Dagster runs behind them.",
)
def run_lifecycle_sensor(context: dg.SensorEvaluationContext, telemetry_database: TelemetryDatabase) -> dg.SkipReason:
    """Reap, end what could not be launched, and end Dagster runs whose row has ended."""
    instance, done = context.instance, []
    with telemetry_database.session() as (database, settings):
        reaped = runs.reap(database)
        if reaped:
            done.append(f"{reaped} lost or overdue")
        for run in runs.waiting(database):
            records = _records(instance, run) if run.status == "QUEUED" else []
            changes = [(record.dagster_run.status, record.update_timestamp.astimezone(UTC)) for record in records]
            why = launch_failure(run, changes, datetime.now(UTC))
            if why and runs.fail_unlaunched(database, run.run_id, _with_error(instance, records, why)):
                done.append(f"{run.run_id} never began")
                for record in records:
                    _end(instance, record.dagster_run, why)
        for run in runs.ended_since(database, CLEAR_UP_S):
            behind = instance.get_run_by_id(run.dagster_run_id or "")
            if behind is not None and not behind.is_finished:
                _end(instance, behind, f"analysis run {run.run_id} ended as {run.status} ({run.reason_code})")
                done.append(f"Dagster run of {run.run_id} ended")
    done += _end_lost_insights(instance, timedelta(seconds=settings.deadline))
    return dg.SkipReason("; ".join(done) or "Nothing to clear up")


@dg.sensor(
    job=insights_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts insights_job once for the last analysis of everything that succeeded. Only reads.",
)
def insights_sensor(
    context: dg.SensorEvaluationContext, telemetry_database: TelemetryDatabase
) -> dg.RunRequest | dg.SkipReason:
    """Request what follows from the last analysis, whoever executed it, unless somebody did before."""
    with telemetry_database.session() as (database, settings):
        run = runs.last_succeeded(database) if settings.enabled else None
        waiting = runs.waiting(database)
    if run is None:
        return dg.SkipReason("No analysis has succeeded yet")
    if waiting:
        return dg.SkipReason("An analysis comes first")
    if insights.begun(context.instance, run):
        return dg.SkipReason(f"Insights have been begun for {run.run_id}")
    return dg.RunRequest(run_key=run.run_id, tags={insights.FOLLOWS_TAG: run.run_id})


def _end_lost_insights(instance: dg.DagsterInstance, deadline: timedelta) -> list[str]:
    """End runs of insights_job that are overdue, as those are whose process was killed: they take others' places."""
    late = dg.RunsFilter(
        job_name=insights_job.name,
        statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
        updated_before=datetime.now(UTC) - deadline,
    )
    overdue = instance.get_runs(late)
    for run in overdue:
        _end(instance, run, f"still running {deadline} after it began")
    return [f"insights {run.run_id} ended" for run in overdue]


def _records(instance: dg.DagsterInstance, run: Run) -> Sequence[dg.RunRecord]:
    return instance.get_run_records(dg.RunsFilter(tags={RUN_ID_TAG: run.run_id}))


def _with_error(instance: dg.DagsterInstance, records: Sequence[dg.RunRecord], why: str) -> str:
    for record in records:
        if failure := how_it_failed(instance, record.dagster_run.run_id):
            return f"{why}: {failure}"[:4000]
    return why


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> None:
    """End a Dagster run: ask its process, and where there is none that answers, record the end."""
    if run.is_finished:
        return
    try:
        asked = instance.run_launcher.terminate(run.run_id)
    except Exception:  # noqa: BLE001  # whatever the launcher raises for a process that is gone
        asked = False
    if not asked:
        instance.report_run_failed(run, message=why)
