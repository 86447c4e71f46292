"""Source of Dagster instances with SQLite storage: a file with the runs, and a file per run with its events.

Belongs here: finding an instance, its tables, reading them without writing. Does not: the spans of a run (spans).
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.dagster.spans import EVENTS, Event, Run, homes, of_run, utc
from leo_telemetry_pipeline.sources.past import Cursor, Entry, Past, Unread
from leo_telemetry_pipeline.span import InvalidSpan

# Where Dagster keeps its SQLite files in its home, unless its dagster.yaml says otherwise.
_RUNS, _EVENTS = Path("history", "runs.db"), Path("history", "runs")
_CURSOR_EVERY = 500
# Runs updated shortly before the last one that was read are read again: one of them may have been written later.
_OVERLAP = timedelta(minutes=5)
_WAIT_S = 10.0

_LIST = """
SELECT run_id, pipeline_name, status, create_timestamp, start_time, end_time, partition, update_timestamp
FROM runs WHERE update_timestamp >= ? ORDER BY update_timestamp, id
"""
_LOG = f"""
SELECT dagster_event_type, timestamp, step_key, asset_key FROM event_logs
WHERE dagster_event_type IN ({", ".join("?" * len(EVENTS))}) ORDER BY id
"""  # noqa: S608  # only constants of this module are inserted


class DagsterInstances:
    """Homes of Dagster with SQLite storage, which is what an instance without configuration has."""

    name = "dagster"
    title = "Dagster"
    where = "in DAGSTER_HOME, in the working folder and in the paths that you name, for history/runs.db"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    def discover(self, paths: Sequence[Path]) -> Iterator[Past | Unread]:
        """Yield the instances at these paths, or those of DAGSTER_HOME and of the working folder."""
        for home in homes(paths, self._environ):
            if not (home / _RUNS).is_file():
                continue
            try:
                with closing(_opened(home / _RUNS)) as runs:
                    count, first, last = runs.execute(
                        "SELECT count(*), min(start_time), max(start_time) FROM runs"
                    ).fetchone()
            except sqlite3.Error as error:
                yield Unread(str(home / _RUNS), 0, f"it cannot be read ({error})")
                continue
            if count:
                files = [home / _RUNS, *(home / _EVENTS).glob("*.db")]
                first_ms, last_ms = (None if at is None else round(at * 1_000) for at in (first, last))
                size = sum(file.stat().st_size for file in files if file.exists())
                yield Past(str(home), f"{count:,} run{'' if count == 1 else 's'}", size, first_ms, last_ms)

    def read(self, past: Past, cursor: Cursor | None, policy: redact.Policy) -> Iterator[Entry]:
        """Yield the spans of all runs that were updated since the cursor, in that order."""
        home, since = Path(past.place), ""
        if cursor is not None:
            since = str(datetime.fromisoformat(cursor.position["updated"]) - _OVERLAP)
        updated = None
        with closing(_opened(home / _RUNS)) as runs:
            for number, (*row, updated) in enumerate(runs.execute(_LIST, (since,)), 1):
                yield from _entries(home, _run(row), policy)
                if number % _CURSOR_EVERY == 0:
                    yield Cursor({"updated": updated})
        if updated is not None:
            yield Cursor({"updated": updated})


def _entries(home: Path, run: Run, policy: redact.Policy) -> Iterator[Entry]:
    file = home / _EVENTS / f"{run.id}.db"
    events: list[Event] = []
    try:
        if file.is_file():
            with closing(_opened(file)) as log:
                rows = log.execute(_LOG, EVENTS).fetchall()
                events = [Event(kind, at, step or "", asset or "") for kind, at, step, asset in rows]
        elif run.status in ("SUCCESS", "FAILURE"):
            yield Unread(str(file), 0, "the events of a run are missing: only the run itself is read")
    except sqlite3.Error as error:
        yield Unread(str(file), 0, f"the events of a run cannot be read ({error}): only the run itself is read")
    for entry in of_run(run, events, policy):
        yield Unread(str(file), 0, str(entry)) if isinstance(entry, InvalidSpan) else entry


def _run(row: Sequence) -> Run:
    run_id, job, status, created, started, ended, partition = row
    return Run(run_id, job or "", status or "", created or "", utc(started), utc(ended), partition or "")


def _opened(file: Path) -> sqlite3.Connection:
    """Open a SQLite file so that nothing in its folder changes.

    Dagster's files have a write-ahead log while they are in use. Without one, they are read as immutable, since even a
    reader would create one.
    """
    mode = "mode=ro" if Path(f"{file}-wal").exists() else "mode=ro&immutable=1"
    return sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, timeout=_WAIT_S)
