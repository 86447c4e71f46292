"""One-off worker: executes queued analyses without a daemon, for ``worker --once`` and the hook's child.

Belongs here: one worker at a time per home, due maintenance, insights after analyses, alerts.
Does not: the daemon (commands).
"""

import fcntl
import os
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

import psycopg2

from leo_telemetry_pipeline.cli import signals
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings, make_home
from leo_telemetry_pipeline.store import open_spans, runs, spans, spool_drain
from leo_telemetry_pipeline.store.retention import maintenance
from leo_telemetry_pipeline.store.server.database import Database, Target

ANOTHER_WORKS = -1
DRAIN_S = 120.0


def run_once(settings: Settings, target: Target) -> int:
    """Execute all queued analyses and due maintenance; return their number, or ANOTHER_WORKS if a worker is running."""
    # A run that loses its row sends SIGINT to this process, which a background job of a shell ignores by default.
    signals.listen()
    make_home(settings.home)
    executed = _locked(settings, target)
    # Processes that queued a row while we held the lock rely on us to execute it.
    while executed != ANOTHER_WORKS and _is_queued(target):
        more = _locked(settings, target)
        if more <= 0:
            break
        executed += more
    return executed


def _locked(settings: Settings, target: Target) -> int:
    lock = os.open(settings.home / "worker.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return ANOTHER_WORKS
    try:
        with closing(Database(target)) as connection:
            now = datetime.now(UTC)
            spans.ensure_partitions(connection, now, now + timedelta(days=3))
            # A failing drain must not prevent the analysis, which reports the failure.
            with suppress(UserError, psycopg2.Error):
                spool_drain.drain(connection, settings.home, "WORKER", at_most_s=DRAIN_S)
            open_spans.sweep(connection)
        executed = _execute(settings, target)
        _maintain(settings, target)
        # Insights describe the last analysis, so they wait until the queue is empty.
        if executed and not _is_queued(target):
            _follow(settings, target)
            signals.check()
        _deliver(settings, target)
        return executed
    finally:
        os.close(lock)


def _execute(settings: Settings, target: Target) -> int:
    if not _is_queued(target):
        return 0
    from leo_telemetry_pipeline import execution

    with execution.instance(target, settings) as instance:
        return execution.execute_queued(instance, target, signals.check)


def _maintain(settings: Settings, target: Target) -> None:
    """Run daily maintenance if it is due; analyses come first, because someone may be waiting for them."""
    with closing(Database(target)) as connection:
        try:
            problems = maintenance.maintain(connection, settings).problems if maintenance.is_time(connection) else ()
        except (UserError, psycopg2.Error) as error:
            problems = (" ".join(str(error).split()),)
    for problem in problems:
        print(f"leo-telemetry: maintenance not done: {problem}", file=sys.stderr)


def _follow(settings: Settings, target: Target) -> None:
    """Run the insights job, whose failure does not affect the analyses."""
    from leo_telemetry_pipeline import execution

    try:
        with execution.instance(target, settings) as instance:
            problem = execution.follow(instance, target)
    except Exception as error:  # noqa: BLE001  # no failure of this optional step may end the worker
        problem = " ".join(str(error).split())
    if problem:
        print(f"leo-telemetry: insights not computed: {problem}", file=sys.stderr)


def _deliver(settings: Settings, target: Target) -> None:
    """Deliver alerts, whose failure does not affect the analyses."""
    from leo_telemetry_pipeline.actions import routine_alerts
    from leo_telemetry_pipeline.delivery import channels, deliver

    if not settings.enabled or not channels.configured(settings).usable:
        return
    try:
        with closing(Database(target)) as connection:
            routine_alerts.write(connection, settings, datetime.now(UTC))
            problems = deliver.deliver_due(connection, settings, signals.check).errors
    except (UserError, psycopg2.Error) as error:
        problems = {"alerts": " ".join(str(error).split())}
    for name, problem in problems.items():
        print(f"leo-telemetry: alerts not delivered to {name}: {problem}", file=sys.stderr)


def _is_queued(target: Target) -> bool:
    with closing(Database(target)) as connection:
        runs.reap(connection)
        return any(run.status == "QUEUED" for run in runs.waiting(connection))
