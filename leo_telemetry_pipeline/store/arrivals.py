"""Spans that arrived lately, by the time at which they were stored.

Belongs here: their number per minute, and the newest ones. Does not: counts of days (history), open spans (open_spans).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from leo_telemetry_pipeline.store.days import DAY_MS, milliseconds
from leo_telemetry_pipeline.store.server.database import Database

# Each step reads a longer time, so that the newest spans are found without reading a minute of a busy system.
_STEPS = (timedelta(seconds=3), timedelta(seconds=30))
_LONGEST = timedelta(hours=1)


@dataclass(frozen=True)
class Finished:
    """Span that has ended, as it was stored; its duration in ms."""

    trace_id: str
    span_id: str
    span_type: str
    span_name: str
    project: str
    duration_ms: float
    status: str | None
    stored_at: datetime


def per_minute(database: Database, since: datetime, first_ms: int, end_ms: int) -> dict[datetime, int]:
    """Return how many spans were stored in each minute since ``since``; minutes without spans are missing.

    Only spans that began from ``first_ms`` to before ``end_ms`` count.
    """
    rows = database.rows(
        "SELECT date_trunc('minute', created_at), count(*) FROM workflow_trace_log"
        " WHERE created_at >= %s AND start_time_ms >= %s AND start_time_ms < %s GROUP BY 1",
        (since, first_ms, end_ms),
    )
    return {minute.astimezone(UTC): count for minute, count in rows}


def newest(database: Database, most: int, reach: datetime) -> list[Finished]:
    """Return the spans that were stored last, newest first, if they were stored within an hour and began in a day.

    ``reach``: a time since which about ``most`` spans were stored.
    """
    now, rows = datetime.now(UTC), list[tuple]()
    for since in sorted({*(now - step for step in _STEPS), reach, now - _LONGEST}, reverse=True):
        rows = database.rows(
            """
            SELECT trace_id::text, span_id::text, span_type, span_name, coalesce(project, ''),
                   coalesce(duration_ms, end_time_ms - start_time_ms) + coalesce(duration_rest_us, 0) / 1000.0::float8,
                   status, created_at
            FROM workflow_trace_log
            WHERE created_at >= %s AND (duration_ms IS NOT NULL OR end_time_ms IS NOT NULL) AND start_time_ms > %s
            ORDER BY created_at DESC, start_time_ms DESC, span_id LIMIT %s
            """,
            (since, milliseconds(now) - DAY_MS, most),
        )
        if len(rows) == most:
            break
    return [Finished(*row) for row in rows]
