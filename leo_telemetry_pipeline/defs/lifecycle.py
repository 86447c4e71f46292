"""Lifecycle of an analysis run: its outcome according to Dagster's records, and the heartbeat of its row.

Belongs here: reading Dagster's runs and events, the heartbeat. Does not: SQL statements on our tables.
"""

import contextlib
import json
import os
import signal
import threading
from dataclasses import dataclass

import dagster as dg
import psycopg2
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import deserialize_value
from grpc import StatusCode

from leo_telemetry_pipeline.defs.names import asset_key, shown, step_key
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import SERVER_GONE, Database, Target

BEAT_S = 5
_ANSWERS_S = 20
CANCELLED = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)
LOST = "WORKER_LOST"


@dataclass(frozen=True)
class Ending:
    """Reason why a run did not succeed."""

    reason_code: str
    error_detail: str


def selects(instance: dg.DagsterInstance, run: dg.DagsterRun, asset: str) -> bool:
    """Return whether a Dagster run will materialize one of our assets."""
    steps = run.step_keys_to_execute
    if steps is None and run.execution_plan_snapshot_id:
        # The run executes a whole job, not necessarily the analysis.
        steps = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute
    if steps is not None and step_key(asset) not in steps:
        return False
    if run.asset_selection:
        return asset_key(asset) in run.asset_selection
    # No asset selection means the whole job, unless only checks are selected.
    return not run.asset_check_selection


def how_it_ended(instance: dg.DagsterInstance, dagster_run_id: str) -> Ending | None:
    """Return why a Dagster run did not succeed, from its first failed step, or None if nothing failed."""
    for record in instance.all_logs(dagster_run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = record.dagster_event
        if event is None:
            continue
        data = event.step_failure_data
        error = data.error
        if error is None:
            return Ending("ERROR", f"{shown(event.step_key or '')}: failed without an error")
        inner = error.cause or error
        if data.error_source is not None and data.error_source.name == "INTERRUPT":
            return Ending(LOST if _is_stopped(instance, dagster_run_id) else "CANCELLED_BY_USER", "interrupted")
        if "AssetCheckFailed" in f"{error.cls_name}{inner.cls_name}":
            return Ending("CHECK_FAILED", _failed_checks(instance, dagster_run_id)[:4000])
        detail = f"{shown(event.step_key or '')}: {inner.message.strip()}"[:4000]
        return Ending(LOST if inner.cls_name in SERVER_GONE else "ERROR", detail)
    run = instance.get_run_by_id(dagster_run_id)
    if run is not None and run.status in CANCELLED:
        return Ending("CANCELLED_BY_USER", "")
    return None


def _is_stopped(instance: dg.DagsterInstance, dagster_run_id: str) -> bool:
    """Return whether an interrupt came from a stopping daemon rather than from a person who ended this run.

    Ctrl-C in a terminal interrupts a run that was never launched; ending a run in the UI is recorded first.
    """
    run = instance.get_run_by_id(dagster_run_id)
    if run is None or run.status in CANCELLED:
        return False
    return bool(instance.all_logs(dagster_run_id, of_type=dg.DagsterEventType.RUN_STARTING))


def how_it_failed(instance: dg.DagsterInstance, dagster_run_id: str) -> str | None:
    """Return why a Dagster run failed as a whole, for example because a resource could not be created."""
    for entry in instance.all_logs(dagster_run_id, of_type=dg.DagsterEventType.RUN_FAILURE):
        event = entry.dagster_event
        error = event.job_failure_data.error if event and event.event_specific_data else None
        if error is not None:
            return (error.cause or error).message.strip()
        if event is not None and event.message:
            return event.message
    return None


def _failed_checks(instance: dg.DagsterInstance, dagster_run_id: str) -> str:
    failed = []
    for record in instance.all_logs(dagster_run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        event = record.dagster_event
        check = event.asset_check_evaluation_data if event else None
        if check is not None and not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            failed.append(f"{check.check_name}: {check.description}")
    return "; ".join(failed)


def process_lives(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool | None:
    """Return whether the process of a launched run is alive, or None if its launcher cannot tell."""
    launcher = instance.run_launcher
    if launcher.supports_check_run_worker_health:
        try:
            status = launcher.check_run_worker_health(run).status
        except Exception:  # noqa: BLE001  # launchers raise various errors if they cannot reach a broker or a cluster
            return None
        return None if status == WorkerStatus.UNKNOWN else status == WorkerStatus.RUNNING
    if not isinstance(launcher, dg.DefaultRunLauncher):
        return None
    if GRPC_INFO_TAG not in run.tags:
        # No code server was asked to start it, perhaps because the daemon is gone.
        return False
    from dagster._grpc.client import DagsterGrpcClient
    from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

    client = DagsterGrpcClient(**json.loads(run.tags[GRPC_INFO_TAG]))
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=_ANSWERS_S)
    except DagsterUserCodeUnreachableError as error:
        # The runs of a code server end with it; a server that does not answer in time is busy.
        is_gone = getattr(error.__cause__, "code", lambda: None)() == StatusCode.UNAVAILABLE
        return False if is_gone else None
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel


class Heartbeat:
    """Update a run's row every 5 s from a separate thread and connection; interrupt the process if the row is lost."""

    _interrupted = False

    def __init__(self, target: Target, work: Database, run_id: str, dagster_run_id: str) -> None:
        self._target = target
        self._work = work
        self._run = (run_id, dagster_run_id)
        self._stopped = threading.Event()
        self.has_lost_row = False
        self._thread = threading.Thread(target=self._beat, name="leo-telemetry-heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and wait for an update in progress."""
        self._stopped.set()
        self._thread.join(timeout=10)

    @classmethod
    def take_interrupt(cls) -> bool:
        """Return and clear whether a heartbeat sent the interrupt: a worker then continues with its next run."""
        interrupted, cls._interrupted = cls._interrupted, False
        return interrupted

    def _beat(self) -> None:
        connection = Database(self._target)
        try:
            while not self._stopped.wait(BEAT_S):
                # Ignore database errors: SQL decides from the last heartbeat whether an outage was too long.
                with contextlib.suppress(psycopg2.Error, UserError):
                    status = runs.beat(connection, *self._run)
                    if status == "SUCCEEDED" or self._stopped.is_set():
                        return
                    if status != "RUNNING":
                        self.has_lost_row = Heartbeat._interrupted = True
                        os.kill(os.getpid(), signal.SIGINT)
                        # psycopg2 does not handle signals while it waits for a statement.
                        self._work.cancel()
                        return
        finally:
            connection.close()
