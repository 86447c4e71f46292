"""Dagster's home folder: environment of its processes, and the state of its daemon in its tables.

Belongs here: what our processes need to know about Dagster. Does not: anything that imports Dagster.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leo_telemetry_pipeline.settings import PREFIX, Settings, bundled, make_home
from leo_telemetry_pipeline.store.server import own_connection
from leo_telemetry_pipeline.store.server.database import Target, prepare_for_dagster

Query = Callable[..., list[tuple]]

URL = PREFIX + "DAGSTER_URL"
# Key in Dagster's key-value table: the version for which its tables are complete.
TABLES_MADE = "leo_telemetry/tables_made"
# Prefix of all our sensors and schedules, and the sensor that starts queued analyses.
OURS = "leo_telemetry_"
QUEUE_SENSOR = OURS + "queued_runs_sensor"
# Dagster's daemons send a heartbeat every half minute.
_DAEMON_ALIVE_S = 60
# The queue sensor ticks every five seconds; a busy machine may take twenty times as long.
_CHECKED_S = 120
# A busy machine may need minutes for the imports of a run or tick, longer than Dagster's default of 60 s.
# The grace period would follow the timeout by default, but stopping a server should not take that long.
_PATIENCE = {"DAGSTER_GRPC_TIMEOUT_SECONDS": "600", "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "60"}


@dataclass(frozen=True)
class Daemon:
    """State of the Dagster daemon of this home.

    ``beats``: it sends heartbeats. ``checks_queue``: it checked the queue recently, without an error. ``failing``:
    (name, reason) of our sensors and schedules whose last tick failed, and of the daemon itself.
    """

    beats: bool = False
    checks_queue: bool = False
    failing: tuple[tuple[str, str], ...] = ()


def environment(target: Target, settings: Settings) -> dict[str, str]:
    """Return the environment of every Dagster process of this home; create its folder if missing."""
    folder = make_home(settings.home, inside="dagster")
    _put(bundled("dagster.yaml"), folder / "dagster.yaml")
    prepare_for_dagster(target, settings.dagster_schema)
    return {
        "DAGSTER_HOME": str(folder),
        URL: target.dagster_url,
        PREFIX + "HOME": str(settings.home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        **{name: os.environ.get(name, value) for name, value in _PATIENCE.items()},
    }


def inherited(environ: Mapping[str, str], target: Target) -> dict[str, str]:
    """Return ``environ`` for a Dagster process that we start, without variables meant for another Dagster.

    ``DAGSTER_MODULE_NAME``, ``DAGSTER_WEBSERVER_READ_ONLY`` and the like set options of its commands. Its time limits
    are kept, since they depend on the machine.
    """
    kept = own_connection.child_environment(environ, target.embedded)
    return {name: value for name, value in kept.items() if not name.startswith("DAGSTER_") or "TIMEOUT" in name}


def tables_version() -> str:
    """Return the version of Dagster whose tables are needed."""
    # Imported here because it takes 16 ms, and few processes need it.
    from importlib.metadata import version

    return version("dagster")


def has_tables(target: Target) -> bool:
    """Return whether all of Dagster's own tables exist, complete for this version."""
    with _querying(target) as query:
        return _are_made(query)


def has_run(target: Target, dagster_run_id: str) -> bool:
    """Return whether a Dagster run belongs to this home's instance, whichever version created its tables."""
    with _querying(target) as query:
        return _exist(query, "runs") and bool(query("SELECT FROM runs WHERE run_id = %s", dagster_run_id))


def has_ended(target: Target, dagster_run_id: str) -> bool:
    """Return whether a Dagster run has recorded its end, which it does shortly after our row ends."""
    ended = "SELECT FROM runs WHERE run_id = %s AND status IN ('SUCCESS', 'FAILURE', 'CANCELED')"
    with _querying(target) as query:
        return bool(query(ended, dagster_run_id))


def daemon_lives(target: Target) -> bool:
    """Return whether a Dagster daemon of this home checks the queue without errors."""
    return daemon(target).checks_queue


def daemon(target: Target) -> Daemon:
    """Return the state of this home's daemon and of the last ticks of our sensors, from Dagster's tables."""
    with _querying(target) as query:
        beats = query(_BEATS, _DAEMON_ALIVE_S) if _exist(query, "daemon_heartbeats") else []
        if not beats or not _exist(query, "job_ticks", "instigators"):
            return Daemon(beats=bool(beats))
        ticks = query(_LAST_TICKS, f'{_NAMED}({OURS}\\w+)"', _CHECKED_S, f"%{_NAMED}{OURS}%")
    checks_queue = any(name == QUEUE_SENSOR and status != "FAILURE" and recent for name, status, recent, _ in ticks)
    failing = [(name, json.loads(body).get("error")) for name, status, _, body in ticks if status == "FAILURE"]
    if not checks_queue and not failing:
        # The daemon may fail before it runs our sensors; it keeps such errors for some minutes.
        failing = [("the sensor daemon", error) for error in json.loads(beats[0][0]).get("errors") or ()]
    return Daemon(
        beats=True, checks_queue=checks_queue, failing=tuple((name, _first_line(error)) for name, error in failing)
    )


# Dagster keeps these times without a zone, in UTC.
_BEATS = """
SELECT body FROM daemon_heartbeats
WHERE daemon_type = 'SENSOR' AND timestamp > (clock_timestamp() AT TIME ZONE 'UTC') - make_interval(secs => %s)
"""
# Precedes the name of a sensor or schedule in Dagster's serialized state.
_NAMED = '"job_name": "'
# The last finished tick counts, not one in progress. Stopped sensors are excluded: their last tick would count until
# Dagster purges it.
_LAST_TICKS = """
SELECT substring(i.instigator_body FROM %s), t.status,
    t.timestamp > (clock_timestamp() AT TIME ZONE 'UTC') - make_interval(secs => %s), t.tick_body
FROM instigators AS i CROSS JOIN LATERAL (
    SELECT status, timestamp, tick_body FROM job_ticks
    WHERE selector_id = i.selector_id AND status <> 'STARTED' ORDER BY timestamp DESC LIMIT 1
) AS t
WHERE i.instigator_body LIKE %s AND i.status IS DISTINCT FROM 'STOPPED'
"""


def _first_line(error: dict[str, Any] | None) -> str:
    innermost = error or {}
    # Errors of user code are the cause of Dagster's error.
    while innermost.get("cause"):
        innermost = innermost["cause"]
    return (str(innermost.get("message") or "").strip().splitlines() or ["no reason given"])[0]


def _are_made(query: Query) -> bool:
    made = "SELECT FROM kvs WHERE key = %s AND value = %s"
    return _exist(query, "kvs") and bool(query(made, TABLES_MADE, tables_version()))


def _exist(query: Query, *tables: str) -> bool:
    return query("SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s) AS name", list(tables))[0][0]


@contextmanager
def _querying(target: Target) -> Iterator[Query]:
    connection = target.connect_as_dagster()
    try:
        with connection, connection.cursor() as cursor:

            def query(sql: str, *parameters: object) -> list[tuple]:
                cursor.execute(sql, parameters)
                return cursor.fetchall()

            yield query
    finally:
        connection.close()


def _put(source: Path, to: Path) -> None:
    if not to.exists() or to.read_bytes() != source.read_bytes():
        part = to.with_name(f"{to.name}.{os.getpid()}")
        shutil.copyfile(source, part)
        part.replace(to)
