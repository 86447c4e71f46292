"""Executing what is queued where no daemon lives: ``worker --once``, and the hook's child.

Belongs here: one worker at a time on a machine, the upkeep that is due, what follows from the analyses.
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
    """Execute every queued analysis and do the upkeep; return how many, or ANOTHER_WORKS when one does already."""
    # A run that loses its row is interrupted, which a background job's ignored SIGINT would prevent.
    signals.listen()
    make_home(settings.home)
    executed = _locked(settings, target)
    # Whoever queued a row while we held the lock went away believing that we would take it.
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
            # An analysis says what is wrong with the spool; it is no reason to have none.
            with suppress(UserError, psycopg2.Error):
                spool_drain.drain(connection, settings.home, "WORKER", at_most_s=DRAIN_S)
            open_spans.sweep(connection)
        executed = _execute(settings, target)
        _maintain(settings, target)
        # A row that waits is executed next, and this is about the last of them.
        if executed and not _is_queued(target):
            _follow(settings, target)
            signals.check()
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
    """Do the daily upkeep if nobody has done it; somebody may be waiting for an analysis, so that comes first."""
    with closing(Database(target)) as connection:
        try:
            problems = maintenance.maintain(connection, settings).problems if maintenance.is_time(connection) else ()
        except (UserError, psycopg2.Error) as error:
            problems = (" ".join(str(error).split()),)
    for problem in problems:
        print(f"leo-telemetry: upkeep not done: {problem}", file=sys.stderr)


def _follow(settings: Settings, target: Target) -> None:
    """Do what follows from the analyses, which are what they are whatever becomes of it."""
    from leo_telemetry_pipeline import execution

    try:
        with execution.instance(target, settings) as instance:
            problem = execution.follow(instance, target)
    except Exception as error:  # noqa: BLE001  # of whatever kind: nobody asked for it
        problem = " ".join(str(error).split())
    if problem:
        print(f"leo-telemetry: insights not made: {problem}", file=sys.stderr)


def _is_queued(target: Target) -> bool:
    with closing(Database(target)) as connection:
        runs.reap(connection)
        return any(run.status == "QUEUED" for run in runs.waiting(connection))
