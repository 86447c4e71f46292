"""Source of Dagster instances with PostgreSQL storage: reads their tables of runs and events, and writes nothing.

Belongs here: finding the database in a dagster.yaml, statements on Dagster's tables. Does not: the spans of a run
(sources), the Dagster instance of our own home.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.dagster.spans import EVENTS, Event, Run, homes, of_run, utc
from leo_telemetry_pipeline.sources.past import Cursor, Entry, Past, Unread
from leo_telemetry_pipeline.span import InvalidSpan

if TYPE_CHECKING:
    import psycopg2.extensions

CONFIGURATION = "dagster.yaml"
_BATCH = 100
# Events that were written shortly before the last one that was read are read again: their ids may have come later.
_OVERLAP = 10_000
_CONNECT_TIMEOUT_S = 10
_SETTINGS = "SET LOCAL statement_timeout = '10min'; SET LOCAL jit = off"
_MOMENT = "YYYY-MM-DD HH24:MI:SS.US"
_ENDS = ("PIPELINE_SUCCESS", "PIPELINE_FAILURE", "PIPELINE_CANCELED")

_SUMMARY = """
SELECT count(*), min(start_time), max(start_time), pg_total_relation_size('runs') + pg_total_relation_size('event_logs')
FROM runs
"""
_ENDED = """
SELECT id, run_id FROM event_logs WHERE dagster_event_type = ANY(%s) AND id > %s ORDER BY id LIMIT %s
"""
_RUNS = """
SELECT r.run_id, r.pipeline_name, r.status, r.start_time, r.end_time, r.partition,
       to_char((SELECT e.timestamp FROM event_logs AS e WHERE e.run_id = r.run_id ORDER BY e.id LIMIT 1), %s)
FROM runs AS r WHERE r.run_id = ANY(%s)
"""
_LOGS = """
SELECT run_id, dagster_event_type, to_char(timestamp, %s), coalesce(step_key, ''), coalesce(asset_key, '')
FROM event_logs WHERE run_id = ANY(%s) AND dagster_event_type = ANY(%s) ORDER BY id
"""


class DagsterDatabases:
    """Homes of Dagster whose dagster.yaml names a PostgreSQL database as their storage."""

    name = "dagster_postgres"
    title = "Dagster in PostgreSQL"
    where = "in DAGSTER_HOME, in the working folder and in the paths that you name, for a dagster.yaml that names it"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    def discover(self, paths: Sequence[Path]) -> Iterator[Past | Unread]:
        """Yield the instances at these paths, or those of DAGSTER_HOME and of the working folder."""
        import psycopg2

        for home in homes(paths, self._environ):
            try:
                address = _address(home / CONFIGURATION, self._environ)
                if address is None:
                    continue
                with closing(_opened(address)) as connection:
                    [(count, first, last, size)] = _rows(connection, _SUMMARY, ())
            except (_Unclear, psycopg2.Error) as error:
                reason = " ".join(str(error).split())
                yield Unread(str(home / CONFIGURATION), 0, f"its database cannot be read: {redact.text(reason)}")
                continue
            if count:
                first_ms, last_ms = (None if at is None else round(at * 1_000) for at in (first, last))
                yield Past(str(home), f"{count:,} run{'' if count == 1 else 's'}", size, first_ms, last_ms)

    def read(self, past: Past, cursor: Cursor | None, policy: redact.Policy) -> Iterator[Entry]:
        """Yield the spans of all runs that ended since the cursor, in that order."""
        place = Path(past.place, CONFIGURATION)
        address = _address(place, self._environ)
        assert address is not None
        since = max(0, cursor.position["event"] - _OVERLAP) if cursor else 0
        with closing(_opened(address)) as connection:
            while ended := _rows(connection, _ENDED, (list(_ENDS), since, _BATCH)):
                since = ended[-1][0]
                yield from _entries(connection, list(dict.fromkeys(run_id for _, run_id in ended)), place, policy)
                yield Cursor({"event": since})


class _Unclear(Exception):
    """A dagster.yaml that cannot be understood; the message says why."""


def _entries(
    connection: "psycopg2.extensions.connection", run_ids: list[str], place: Path, policy: redact.Policy
) -> Iterator[Entry]:
    logs: dict[str, list[Event]] = {}
    for run_id, *event in _rows(connection, _LOGS, (_MOMENT, run_ids, list(EVENTS))):
        logs.setdefault(run_id, []).append(Event(*event))
    for run_id, job, status, started, ended, partition, created in _rows(connection, _RUNS, (_MOMENT, run_ids)):
        run = Run(run_id, job or "", status or "", created or "", utc(started), utc(ended), partition or "")
        for entry in of_run(run, logs.get(run_id, ()), policy):
            yield Unread(str(place), 0, f"run {run_id}: {entry}") if isinstance(entry, InvalidSpan) else entry


def _rows(connection: "psycopg2.extensions.connection", query: str, parameters: tuple) -> list[tuple]:
    # A transaction per statement holds back no cleaning of the tables, and leaves no setting behind in a pooler.
    with connection, connection.cursor() as cursor:
        cursor.execute(_SETTINGS)
        cursor.execute(query, parameters)
        return cursor.fetchall()


def _opened(address: str) -> "psycopg2.extensions.connection":
    import psycopg2

    connection = psycopg2.connect(address, connect_timeout=_CONNECT_TIMEOUT_S, application_name="leo-telemetry look")
    connection.set_session(readonly=True)
    return connection


def _address(file: Path, environ: Mapping[str, str]) -> str | None:
    """Return the address of an instance's database, None if it has another storage. Raise _Unclear."""
    if not file.is_file():
        return None
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _Unclear(f"it is not YAML ({type(error).__name__})") from None
    stored = _below(content, "storage", "postgres") or _below(content, "run_storage", "config")
    if not isinstance(stored, dict):
        return None
    url, parts = stored.get("postgres_url"), stored.get("postgres_db")
    if url is not None:
        # SQLAlchemy's addresses may name a driver.
        scheme, _, rest = _value(url, environ).partition("://")
        return f"{scheme.partition('+')[0]}://{rest}"
    if not isinstance(parts, dict):
        return None
    known = {
        name: _value(parts[name], environ) for name in ("username", "password", "hostname", "db_name") if name in parts
    }
    user, password = (quote(known.get(name, ""), safe="") for name in ("username", "password"))
    port = _value(parts.get("port", 5432), environ)
    return (
        f"postgresql://{user}:{password}@{known.get('hostname', '')}:{port}/{quote(known.get('db_name', ''), safe='')}"
    )


def _below(content: Any, *names: str) -> Any:
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _value(value: object, environ: Mapping[str, str]) -> str:
    """Return a value of a dagster.yaml, which may name a variable of the environment. Raise _Unclear."""
    if not isinstance(value, dict):
        return str(value)
    variable = str(value.get("env"))
    if variable not in environ:
        raise _Unclear(f"the environment lacks {variable}: set it, as for `dagster`")
    return environ[variable]
