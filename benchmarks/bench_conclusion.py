"""Conclusion of an analysis with 1,000 items, beside a bare transaction that writes the same rows.

Belongs here: the measurements, and made-up results of an analysis. Does not: what a conclusion decides (tests).

Three analyses: one that opens all items, one that finds them slow again, and one that resolves them, each with its
effect. The reference writes the rows with ``execute_values`` into tables with the same columns and indexes, without
triggers. It reads no history and decides nothing, so the ratios are large.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

import psycopg2.extensions
from psycopg2.extras import execute_values

from benchmarks import generate
from benchmarks.measure import Budget, Options, alternating, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.actions import findings
from leo_telemetry_pipeline.analysis.bottlenecks import count_outcomes, found
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store import runs, spans
from leo_telemetry_pipeline.store.days import DAY, Window, milliseconds
from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import midnight, new_id

HISTORY = timedelta(days=28)
_JUDGED = (
    ("opens", "bare opens", Budget(15)),
    ("sees again", "bare again", Budget(25)),
    ("resolves", "bare resolves", Budget(100)),
)
# Spans per item and day.
SPANS = 3
TABLES = {
    "continuous_improvements": "id, fingerprint, title, description, source_detail, status, episode, status_since",
    "item_events": "id, item_id, episode, to_status, window_end, actor, reason, run_id",
    "item_occurrences": "item_id, run_id, episode, window_end, ratio, p50_ms, baseline_p50_ms, sample_count, verdict",
    "alert_outbox": "id, number, key, kind, severity, item_id, episode, run_id, window_end, title, body",
}
_SPANS = """
INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, end_time_ms, duration_ms)
SELECT gen_random_uuid(), gen_random_uuid(), 'gate', 'GATE-' || name, %(from_ms)s + n, %(from_ms)s + n + %(took)s,
       %(took)s
FROM generate_series(0, %(names)s - 1) AS name, generate_series(1, %(spans)s) AS n
"""


def measurements(options: Options) -> Iterator[Measured]:
    """Measure all three analyses."""
    count, rounds = (200, 2) if options.quick else (1_000, 3)
    with generate.server() as (_, target), closing(Database(target)) as connection:
        _fill(connection, count)
        generate.settle(target)
        bare = _Bare(connection)

        def opens() -> None:
            _empty(connection)
            _conclude(connection, _results(count, 3000.0), midnight(4))

        def sees_again() -> None:
            _conclude(connection, _results(count, 3100.0), midnight(3))

        opens()
        bare.copy()
        calls = {"opens": opens, "bare opens": bare.opens, "sees again": sees_again, "bare again": bare.sees_again}
        took = alternating(calls, rounds, warm=0)
        _conclude(connection, _results(count, 1000.0), midnight(1))
        calls = {"resolves": lambda: _resolve(connection, count), "bare resolves": bare.resolves}
        took |= alternating(calls, 1, warm=0)
    for does, bare_does, budget in _JUDGED:
        what, reference = f"conclusion of an analysis that {does} its items: {count:,} items", took[bare_does]
        yield judge(what, took[does], "s", budget, options, reference=("a bare transaction", reference))


def _fill(connection: Database, count: int) -> None:
    """Store four weeks of spans of each item, ten days of which are slow, and lift the limits on new items."""
    first = midnight() - HISTORY
    spans.ensure_partitions(connection, first, midnight(-1))
    days = [(first + number * DAY) for number in range(HISTORY.days)]
    with connection.transaction(seconds=3600) as cursor:
        for day in days:
            took = 3000 if midnight(14) <= day < midnight(4) else 1000
            cursor.execute(_SPANS, {"from_ms": milliseconds(day), "names": count, "spans": SPANS, "took": took})
        cursor.execute(
            "INSERT INTO telemetry_thresholds (dimension_type, max_items_per_run, max_items_per_day)"
            " VALUES ('gate', 1000000, 1000000)"
        )
    histograms.rebuild(connection, [day.date() for day in days], ["gate"], ["gate"])


def _results(count: int, p50_ms: float) -> list[DimensionResult]:
    outcome = "bottleneck" if p50_ms > 2000 else "ok"
    common = (70, p50_ms, p50_ms, p50_ms, p50_ms, 70 * p50_ms, None, "exact", p50_ms, 1000.0, "configured", 2.0, 1)
    return [DimensionResult("gate", f"GATE-{name}", *common, outcome) for name in range(count)]


def _conclude(connection: Database, results: list[DimensionResult], end: datetime) -> None:
    mine, window = new_id(), Window(end - 7 * DAY, end)
    _, run_id = runs.begin(connection, mine, 900, window_end=end, window_days=7)
    summary = findings.Summary(
        tuple(found(results)), count_outcomes(results), 70, 1, "exact", {}, judged=tuple(results)
    )
    findings.conclude(connection, summary, window, run_id=run_id, dagster_run_id=mine, errors=[])


def _empty(connection: Database) -> None:
    with connection.transaction() as cursor:
        cursor.execute("TRUNCATE continuous_improvements, item_events, item_occurrences, alert_outbox CASCADE")


def _resolve(connection: Database, count: int) -> None:
    """Find all items fast for the second time, which resolves them."""
    _conclude(connection, _results(count, 1000.0), midnight())
    [[resolved]] = connection.rows("SELECT count(*) FROM continuous_improvements WHERE status = 'RESOLVED'")
    assert resolved == count, resolved


class _Bare:
    """The rows of one analysis, written without any decision."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection
        self._rows: dict[str, list[tuple]] = {}
        self._inserts: dict[str, tuple[str, str]] = {}

    def copy(self) -> None:
        """Read what the first analysis wrote, and create empty tables like it."""
        with self._connection.transaction() as cursor:
            for table, columns in TABLES.items():
                names = columns.split(", ")
                cursor.execute(f"SELECT {', '.join(f'{name}::text' for name in names)} FROM {table}")
                self._rows[table] = cursor.fetchall()
                cursor.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)")
                cursor.execute(
                    "SELECT string_agg('%%s::' || format_type(atttypid, atttypmod), ', ' ORDER BY place)"
                    " FROM pg_attribute JOIN unnest(%s) WITH ORDINALITY AS n (name, place) ON attname = name"
                    " WHERE attrelid = %s::regclass",
                    (names, table),
                )
                (values,) = cursor.fetchone() or ("",)
                insert = f"INSERT INTO bare_{table} ({columns}) OVERRIDING SYSTEM VALUE VALUES %s"
                self._inserts[table] = (insert, f"({values})")

    def opens(self) -> None:
        """Write what an analysis writes that opens the items."""
        with self._connection.transaction() as cursor:
            for table in TABLES:
                self._put(cursor, table)

    def sees_again(self) -> None:
        """Write what an analysis writes that sees the items again."""
        with self._connection.transaction() as cursor:
            self._put(cursor, "item_occurrences")
            self._update(cursor)

    def resolves(self) -> None:
        """Write what an analysis writes that resolves the items."""
        with self._connection.transaction() as cursor:
            for table in ("item_occurrences", "item_events", "alert_outbox"):
                self._put(cursor, table)
            self._update(cursor)

    def _update(self, cursor: psycopg2.extensions.cursor) -> None:
        execute_values(
            cursor,
            "UPDATE bare_continuous_improvements AS i SET source_detail = new.detail::jsonb,"
            " description = new.description FROM (VALUES %s) AS new (id, description, detail)"
            " WHERE i.id = new.id::uuid",
            [(row[0], row[3], row[4]) for row in self._rows["continuous_improvements"]],
        )

    def _put(self, cursor: psycopg2.extensions.cursor, table: str) -> None:
        cursor.execute(f"TRUNCATE bare_{table}")
        insert, values = self._inserts[table]
        execute_values(cursor, insert, self._rows[table], values)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
