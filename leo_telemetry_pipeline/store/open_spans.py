"""Open spans: long-running operations that have not ended.

Belongs here: statements on ``workflow_open_spans``.
Does not: ended spans (spans), when a span is announced (writer.open_operations).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store.server.database import Database

# A process that is silent for longer is considered lost; its rows are removed later.
BEAT_S = 5
LOST_AFTER_S = 30
SWEPT_AFTER_S = 3600
_ANNOUNCED = ("trace_id", "span_id", "parent_span_id", "span_type", "span_name", "sd_id", "project", "start_time_ms")


@dataclass(frozen=True)
class OpenSpan:
    """Operation in progress: open for ``open_s`` seconds, with its last heartbeat ``silent_s`` seconds ago.

    ``waited_s``: the time of it that its child spans of type ``wait`` have taken so far.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    span_type: str
    span_name: str
    sd_id: str | None
    project: str
    started_at: datetime
    host: str
    pid: int
    open_s: float
    silent_s: float
    waited_s: float = 0.0


def announce(
    database: Database, opened: Sequence[Span], ended: Sequence[tuple[str, str]], *, host: str, pid: int
) -> None:
    """Insert open spans or refresh their heartbeat, and delete ended ones, given as (trace id, span id)."""
    # Sorted, so that processes with spans of one trace cannot deadlock.
    rows = sorted(opened, key=lambda span: (span.trace_id, span.span_id))
    with database.transaction(seconds=10) as cursor:
        for span in rows:
            cursor.execute(
                """
                INSERT INTO workflow_open_spans
                    (trace_id, span_id, parent_span_id, span_type, span_name, sd_id, project, start_time_ms, host, pid)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                ON CONFLICT (trace_id, span_id) DO UPDATE SET beat_at = clock_timestamp()
                """,
                (*(getattr(span, name) for name in _ANNOUNCED), host, pid),
            )
        if ended:
            cursor.execute(
                "DELETE FROM workflow_open_spans"
                " WHERE (trace_id, span_id) IN (SELECT * FROM unnest(%s::uuid[], %s::uuid[]))",
                ([trace for trace, _ in ended], [span for _, span in ended]),
            )


def running(database: Database) -> list[OpenSpan]:
    """Return the open spans, longest open first."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            SELECT trace_id::text, span_id::text, parent_span_id::text, span_type, span_name, sd_id, project,
                   to_timestamp(start_time_ms / 1000.0), host, pid,
                   greatest(0, extract(epoch FROM clock_timestamp()) - start_time_ms / 1000.0)::double precision,
                   greatest(0, extract(epoch FROM clock_timestamp() - beat_at))::double precision, start_time_ms
            FROM workflow_open_spans
            WHERE beat_at > clock_timestamp() - make_interval(secs => %s)
            ORDER BY start_time_ms, trace_id, span_id
            """,
            (SWEPT_AFTER_S,),
        )
        rows = cursor.fetchall()
        # A process other than the one that announced a span may have stored its end.
        cursor.execute(
            "SELECT trace_id::text, span_id::text, start_time_ms FROM workflow_trace_log WHERE"
            " trace_id = ANY(%s::uuid[]) AND span_id = ANY(%s::uuid[]) AND start_time_ms = ANY(%s::bigint[])"
            " AND (duration_ms IS NOT NULL OR end_time_ms IS NOT NULL)",
            ([row[0] for row in rows], [row[1] for row in rows], [row[-1] for row in rows]),
        )
        ended = set(cursor.fetchall())
        cursor.execute(
            "SELECT trace_id::text, parent_span_id::text,"
            " coalesce(sum(coalesce(duration_ms, end_time_ms - start_time_ms)) / 1000.0, 0)::double precision"
            " FROM workflow_trace_log WHERE span_type = 'wait' AND trace_id = ANY(%s::uuid[])"
            " AND parent_span_id = ANY(%s::uuid[]) AND start_time_ms >= %s GROUP BY 1, 2",
            ([row[0] for row in rows], [row[1] for row in rows], min((row[-1] for row in rows), default=0)),
        )
        waited = defaultdict(float, {(trace, parent): seconds for trace, parent, seconds in cursor.fetchall()})
    opened = [OpenSpan(*row[:-1]) for row in rows if (row[0], row[1], row[-1]) not in ended]
    for span in opened:
        if span.span_type == "wait":
            waited[span.trace_id, span.parent_span_id] += span.open_s
    return [replace(span, waited_s=waited[span.trace_id, span.span_id]) for span in opened]


def of_trace(database: Database, trace_id: str) -> list[tuple]:
    """Return the announced spans of a trace: ids, type, name, start in ms."""
    return database.rows(
        "SELECT trace_id::text, span_id::text, parent_span_id::text, span_type, span_name, start_time_ms"
        " FROM workflow_open_spans WHERE trace_id = %s::uuid",
        (trace_id,),
    )


def sweep(database: Database) -> int:
    """Delete spans that have been silent for an hour; return how many."""
    with database.transaction() as cursor:
        cursor.execute(
            "DELETE FROM workflow_open_spans WHERE beat_at < clock_timestamp() - make_interval(secs => %s)",
            (SWEPT_AFTER_S,),
        )
        return cursor.rowcount
