"""Detached child of the SessionStart hook: queue an analysis if the last one is stale, and execute it if needed.

Belongs here: the child's steps and its log, which is its standard error. Does not: anything the session waits for
(hook), when an analysis is stale (store), executing one (worker).
"""

import json
import os
import signal
import sys
import traceback
from contextlib import closing
from datetime import UTC, datetime

import psycopg2

from leo_telemetry_pipeline.cli.claude import hook_spans
from leo_telemetry_pipeline.cli.claude.hook import LONGEST_EVENT
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources.claude import notebook
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server import dagster_home, database, log_files
from leo_telemetry_pipeline.store.server.database import Database


def main() -> None:
    """Read the event, queue an analysis if stale, execute it if no daemon does, and log each step; never raise."""
    # If the caller ignores SIGCHLD, child processes have no exit status.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        _say(describe(_stdin()))
        settings = Settings()
        log_files.cut(settings.home / "logs" / "hook.log")
        if settings.enabled:
            # Spans of other sessions may be complete by now.
            hook_spans.sweep(str(settings.home / notebook.FOLDER))
            _enqueue(settings)
    except UserError as error:
        _say(error.message)
    except (psycopg2.Error, OSError) as error:
        _say(f"{type(error).__name__}: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        _say("interrupted")
    except Exception:  # noqa: BLE001 - this process has no other output than the log
        _say(f"unexpected error\n{traceback.format_exc()}")


def describe(event: bytes) -> str:
    """Describe an event in one line, whatever its content."""
    if not event.strip():
        return "SessionStart without an event"
    try:
        read = json.loads(event)
    except (ValueError, RecursionError):
        return f"SessionStart with an event that is not JSON ({len(event)} bytes)"
    if not isinstance(read, dict):
        return "SessionStart with an event that is not a JSON object"
    # Escaped and truncated, so that no event can forge a line or fill the log.
    name, source, session = (json.dumps(read.get(key))[:80] for key in ("hook_event_name", "source", "session_id"))
    return f"event {name}, source {source}, session {session}"


def _enqueue(settings: Settings) -> None:
    with database.ready(settings) as target:
        with closing(Database(target)) as connection:
            _, outcome, detail = runs.enqueue(
                connection, if_stale=True, triggered_by="SESSION_START", stale_after_s=settings.stale_after
            )
            _say(f"{outcome}: {detail}")
            queued = any(run.status == "QUEUED" for run in runs.waiting(connection))
        if not queued:
            return
        if dagster_home.daemon_lives(target):
            _say("a running daemon takes it")
            return
        _work(settings, target)


def _work(settings: Settings, target: database.Target) -> None:
    # Low priority for the import, which takes seconds, and the analysis; a server started above must not inherit it.
    os.nice(10)
    from leo_telemetry_pipeline.cli.processes.worker import run_once

    executed = run_once(settings, target)
    _say("another worker is executing it" if executed < 0 else f"analyses executed: {executed}")


def _stdin() -> bytes:
    return b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read(LONGEST_EVENT)


def _say(text: str) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    print(f"{now} [{os.getpid()}] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
