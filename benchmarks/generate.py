"""Spans to measure with, the same from every run: 1,400 to 10,000,000, made by the database that will hold them.

Belongs here: a database of its own for a benchmark, and what is put into it. Does not: any measurement.

Alone it fills a home, to look around in: ``python benchmarks/generate.py --home /tmp/leo --spans 1000000``.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import measure
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.days import DAY, DAY_MS, Window, midnight, milliseconds
from leo_telemetry_pipeline.store.server import database, migrations
from leo_telemetry_pipeline.store.server.database import Database, Target

SEED = 20_260_209
_MOST_DAYS = 100
A_TRACE = 15
# How many names each span type has, and how many SD types there are.
NAMES = {
    45: {"handoff": 5, "phase": 3, "gate": 5, "subagent": 8, "sd_type": 4},
    50: {"handoff": 3, "phase": 3, "gate": 6, "subagent": 10, "sd_type": 4},
    100: {"handoff": 6, "phase": 8, "gate": 12, "subagent": 22, "sd_type": 4},
    250: {"handoff": 10, "phase": 15, "gate": 25, "subagent": 70, "sd_type": 5},
    1_000: {"handoff": 20, "phase": 40, "gate": 60, "subagent": 270, "sd_type": 10},
}


def _number(of: str, stream: int) -> str:
    # A seed and a number give the same 31 bits for ever, which setseed() and random() do not.
    return f"(hashint8extended({of}, {SEED + stream}) & 2147483647)"


def _random(of: str, stream: int) -> str:
    return f"(({_number(of, stream)} + 0.5::float8) / 2147483648::float8)"


# The spans of one day, each made of its number alone.
_DAY = f"""
INSERT INTO workflow_trace_log (trace_id, span_id, parent_span_id, span_type, span_name, start_time_ms, end_time_ms,
                                duration_ms, queue_wait_ms, sd_id, project, status, attributes)
SELECT md5('trace' || trace)::uuid, md5('span' || n)::uuid, CASE WHEN place > 0 THEN md5('span' || n - place)::uuid END,
       span_type, span_type || '-' || name, start_ms, start_ms + took_ms, took_ms,
       CASE WHEN span_type = 'gate' AND n % 3 = 0 THEN {_number("n", 1)} % 2000 END,
       'SD-LEO-' || trace % 500, '', CASE WHEN n % 50 = 0 THEN 'ERROR' ELSE 'OK' END,
       CASE WHEN place = 0
            THEN jsonb_build_object('sd_type', 'sd-' || {_number("trace", 2)} % %(sd_type)s, 'host', 'worker-1',
                                    'model', 'opus', 'retry_attempt', trace % 3, 'passed', true, 'target', 'EXEC')
            ELSE jsonb_build_object('gate_score', n % 101, 'host', 'worker-1', 'model', 'opus', 'retry_attempt', n % 3,
                                    'passed', n % 50 > 0, 'threshold', 85) END
FROM (
    SELECT *,
           -- Children begin within the first minutes of their handoff, and no trace reaches into the next day.
           %(from_ms)s + (%(length_ms)s * (0.99::float8 * {_random("trace", 3)}
                          + CASE WHEN place > 0 THEN 0.005::float8 * {_random("n", 4)} ELSE 0 END))::bigint AS start_ms,
           -- Each name has a median of its own, from half a second to four minutes; around it a log-normal.
           exp(6.2::float8 + 6.2::float8 * {_random("name", 5)}
               + 0.4::float8 * sqrt(-2 * ln({_random("n", 6)})) * cos(2 * pi() * {_random("n", 7)}))::bigint AS took_ms
    FROM (
        SELECT n, trace, place, kind AS span_type, {_number("n", 8)} % names AS name
        FROM (
            SELECT n, n / {A_TRACE} AS trace, n % {A_TRACE} AS place,
                   CASE WHEN n % {A_TRACE} = 0 THEN 'handoff' WHEN n % {A_TRACE} < 4 THEN 'phase'
                        WHEN n % {A_TRACE} < 10 THEN 'gate' ELSE 'subagent' END AS kind,
                   CASE WHEN n % {A_TRACE} = 0 THEN %(handoff)s WHEN n % {A_TRACE} < 4 THEN %(phase)s
                        WHEN n % {A_TRACE} < 10 THEN %(gate)s ELSE %(subagent)s END AS names
            FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS n) AS placed) AS named) AS timed
""".replace("% ", "%% ")


@dataclass(frozen=True)
class Filled:
    """What a database was filled with: the closed days, the window of them, and what that took."""

    spans: int
    closed: Window
    seconds: float
    server_mb: float


def fill(target: Target, count: int, dimensions: int, days: int) -> Filled:
    """Put spans of so many dimensions into the last ``days`` closed days, as many each; 0: into today so far."""
    began = time.perf_counter()
    now = datetime.now(UTC)
    today = midnight(now.date())
    parts = [(ago, count // days, DAY_MS) for ago in range(days, 0, -1)]
    if parts:
        parts[-1] = (1, count - count // days * (days - 1), DAY_MS)
    else:
        parts = [(0, count, max(1, milliseconds(now) - milliseconds(today)))]
    with closing(Database(target)) as connection:
        spans.ensure_partitions(connection, today - days * DAY, today + 3 * DAY)
        for ago, of_day, length_ms in parts:
            # Days have numbers of their own, and each begins with a whole trace.
            first = (_MOST_DAYS - ago) * A_TRACE * 1_000_000
            parameters = {"first": first, "last": first + of_day, "length_ms": length_ms}
            with connection.transaction(seconds=3600) as cursor:
                cursor.execute(_DAY, NAMES[dimensions] | parameters | {"from_ms": milliseconds(today - ago * DAY)})
        server_mb = _peak_mb(connection.rows("SELECT pg_backend_pid()")[0][0])
    _outside_transactions(target, "ANALYZE")
    return Filled(count, Window(today - days * DAY, today), time.perf_counter() - began, server_mb)


def settle(target: Target) -> None:
    """Do at once what the server would do beside the measurement: statistics, marking pages as seen, writing them."""
    _outside_transactions(target, "VACUUM (ANALYZE)", "CHECKPOINT")


def _outside_transactions(target: Target, *statements: str) -> None:
    with closing(target.connect()) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def _peak_mb(process: int) -> float:
    """Return the most memory that a server process had, shared buffers included; 0 where nobody can tell."""
    status = Path(f"/proc/{process}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@contextmanager
def server() -> Iterator[tuple[Path, Target]]:
    """Run an embedded database of this benchmark's own, and yield its home and address."""
    with measure.home() as home, database.ready(Settings({measure.HOME: str(home)})) as target:
        yield home, target


def another(target: Target, name: str) -> Target:
    """Make one more database on a server, with our tables."""
    assert target.embedded is not None
    _outside_transactions(target, f"CREATE DATABASE {name}")
    made = Target(f"{target.embedded.dsn} dbname={name}", name, target.dagster_url, target.embedded)
    migrations.migrate(made)
    return made


def main() -> None:
    """Fill a home as the command line asks, and say what that took."""
    parser = argparse.ArgumentParser(description="Fill a home with spans, to look around in.")
    parser.add_argument("--home", required=True, help="a LEO_TELEMETRY_HOME, made if it is missing")
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=250, choices=sorted(NAMES))
    parser.add_argument("--days", type=int, default=90, choices=range(91), metavar="0..90", help="0: today so far")
    asked = parser.parse_args()
    with database.ready(Settings({measure.HOME: asked.home})) as target:
        done = fill(target, asked.spans, asked.dimensions, asked.days)
    print(f"{done.spans:,} spans in {done.seconds:.0f} s; the server's process had {done.server_mb:.0f} MB")


if __name__ == "__main__":
    main()
