"""Spans into the span table and out of it: storing them once each, counting and measuring those of a window.

Belongs here: statements on ``workflow_trace_log`` and ``telemetry_quarantine``.
Does not: what a dimension is (dimensions), daily history (histograms).
"""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from leo_telemetry_pipeline.span import COLUMNS, Span
from leo_telemetry_pipeline.store.database import Database
from leo_telemetry_pipeline.store.dimensions import SEEN_TYPES, observations

BATCH = 20_000


@dataclass(frozen=True)
class Window:
    """The time that an analysis looks at: UTC midnight ``start`` up to, not including, ``end``."""

    start: datetime
    end: datetime
    project: str | None = None

    def parameters(self) -> dict[str, object]:
        """Return the parameters that every query over a window takes; times in UTC epoch ms."""
        return {"from_ms": milliseconds(self.start), "to_ms": milliseconds(self.end), "project": self.project}


def milliseconds(moment: datetime) -> int:
    """Return UTC epoch milliseconds, exactly."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def insert(database: Database, spans: Iterable[Span]) -> int:
    """Store spans that are not stored yet, in transactions of 20,000, and return how many were new."""
    new, spans = 0, iter(spans)
    while batch := list(islice(spans, BATCH)):
        with database.transaction() as cursor:
            # COPY cannot skip what is there already, so it goes through a table of this transaction's own.
            cursor.execute("CREATE TEMPORARY TABLE incoming (LIKE workflow_trace_log) ON COMMIT DROP")
            cursor.execute("ALTER TABLE incoming ALTER COLUMN created_at DROP NOT NULL")
            cursor.copy_expert(f"COPY incoming ({_COLUMN_LIST}) FROM STDIN", io.StringIO(_copy_lines(batch)))
            cursor.execute(
                f"INSERT INTO workflow_trace_log ({_COLUMN_LIST}) SELECT {_COLUMN_LIST} FROM incoming"
                " ON CONFLICT DO NOTHING"
            )
            new += cursor.rowcount
    return new


def ensure_partitions(database: Database, first: datetime, last: datetime) -> int:
    """Make the day partitions that are missing between two moments, as far as the database allows."""
    return database.rows("SELECT ensure_trace_partitions(%s, %s)", (first.date(), last.date()))[0][0]


def forget_project(database: Database, project: str) -> int:
    """Delete every span of a project and the history made of them; return how many spans went."""
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM workflow_trace_log WHERE project = %s", (project,))
        gone = cursor.rowcount
        cursor.execute("DELETE FROM duration_histograms WHERE project = %s", (project,))
        return gone


def quarantine(database: Database, source: str, lines: Sequence[tuple[int, str, str]]) -> int:
    """Put aside (line number, reason, content) of a source; return how many were not there yet."""
    new = 0
    with database.transaction() as cursor:
        for number, reason, content in lines:
            digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
            cursor.execute(
                "INSERT INTO telemetry_quarantine (source, line, reason, content, content_hash)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (source, number, reason, content, digest),
            )
            new += cursor.rowcount
    return new


def count_quarantined(database: Database, since: datetime) -> int:
    """Return how many lines were put aside since a moment."""
    return database.rows("SELECT count(*) FROM telemetry_quarantine WHERE created_at >= %s", (since,))[0][0]


def newest(database: Database) -> datetime | None:
    """Return when the newest span was stored, of those of the last year."""
    return database.rows("SELECT max(created_at) FROM workflow_trace_log WHERE created_at > now() - interval '1 year'")[
        0
    ][0]


def count_by_type_and_day(database: Database, window: Window) -> list[tuple]:
    """Return (span type, day, spans, spans with a duration, traces) of a window, sorted."""
    return database.rows(SEEN_TYPES, window.parameters())


def count(database: Database, window: Window) -> tuple[int, int]:
    """Return how many spans and traces started in a window."""
    return database.rows(
        "SELECT count(*), count(DISTINCT s.trace_id) FROM workflow_trace_log AS s"
        " WHERE s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s"
        " AND (%(project)s::text IS NULL OR coalesce(s.project, '') = %(project)s)",
        window.parameters(),
    )[0]


def count_skewed(database: Database, window: Window) -> tuple[int, int]:
    """Return (children outside their parent's time by over a second, children with a parent) of a window."""
    return database.rows(
        """
        SELECT count(*) FILTER (WHERE c.start_time_ms < p.start_time_ms - 1000
                                   OR coalesce(c.end_time_ms, c.start_time_ms + c.duration_ms, c.start_time_ms)
                                    > coalesce(p.end_time_ms, p.start_time_ms + p.duration_ms) + 1000), count(*)
        FROM workflow_trace_log AS c JOIN workflow_trace_log AS p
          ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
        WHERE c.start_time_ms >= %(from_ms)s AND c.start_time_ms < %(to_ms)s
          AND (%(project)s::text IS NULL OR coalesce(c.project, '') = %(project)s)
        """,
        window.parameters(),
    )[0]


def exact_p50(database: Database, window: Window, types: Sequence[str], seen: Sequence[str]) -> list[tuple]:
    """Measure each dimension of some types over a window, exactly.

    Rows: dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms, p99_ms, sum_ms, queue_p50_ms,
    by PostgreSQL's ``percentile_cont``, which interpolates linearly between the two nearest ranks.
    """
    sql, parameters = observations(types, seen)
    return database.rows(
        f"""
        SELECT dimension_type, dimension_key, n, p[1], p[2], p[3], p[4], sum_ms, queue_p50_ms FROM (
            SELECT dimension_type, dimension_key, count(*) AS n, sum(judged_ms)::double precision AS sum_ms,
                   percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY judged_ms) AS p,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY queue_wait_ms) AS queue_p50_ms
            FROM ({sql}) AS o (day, project, dimension_type, dimension_key, trace_id, judged_ms, queue_wait_ms)
            GROUP BY 1, 2) AS measured
        ORDER BY dimension_type, dimension_key
        """,
        parameters | window.parameters(),
    )


def evidence(
    database: Database, window: Window, dimensions: Sequence[tuple[str, str]], seen: Sequence[str]
) -> dict[tuple[str, str], list[str]]:
    """Return up to three traces of each dimension, those with its longest judged times first."""
    if not dimensions:
        return {}
    sql, parameters = observations(sorted({dimension_type for dimension_type, _ in dimensions}), seen)
    rows = database.rows(
        f"""
        SELECT dimension_type, dimension_key,
               (array_agg(trace_id::text ORDER BY longest_ms DESC, trace_id))[1:3]
        FROM (SELECT dimension_type, dimension_key, trace_id, max(judged_ms) AS longest_ms
              FROM ({sql}) AS o (day, project, dimension_type, dimension_key, trace_id, judged_ms, queue_wait_ms)
              WHERE (dimension_type, dimension_key) IN (SELECT * FROM unnest(%(wanted_types)s, %(wanted_keys)s))
              GROUP BY 1, 2, 3) AS of_traces
        GROUP BY 1, 2
        """,
        parameters
        | window.parameters()
        | {"wanted_types": [a for a, _ in dimensions], "wanted_keys": [b for _, b in dimensions]},
    )
    return {(dimension_type, key): traces for dimension_type, key, traces in rows}


_COLUMN_LIST = ", ".join(COLUMNS)
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _copy_lines(spans: list[Span]) -> str:
    return "\n".join("\t".join(_copy_value(getattr(span, name)) for name in COLUMNS) for span in spans) + "\n"


def _copy_value(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return value.translate(_ESCAPES) if isinstance(value, str) else str(value)
