"""Totals of the stored spans of a window.

Belongs here: numbers of spans, traces and skewed spans. Does not: counts in daily history (history.span_counts).
"""

from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.dimensions import REACH_MS
from leo_telemetry_pipeline.store.server.database import Database


def count(database: Database, window: Window) -> tuple[int, int]:
    """Return the number of spans and of traces in a window."""
    return database.rows(
        "SELECT count(*), count(DISTINCT s.trace_id) FROM workflow_trace_log AS s"
        " WHERE s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s"
        " AND (%(project)s::text IS NULL OR coalesce(s.project, '') = %(project)s)",
        window.parameters(),
    )[0]


def count_skewed(database: Database, window: Window) -> tuple[int, int]:
    """Return how many child spans of a window lie more than a second outside their parent, and how many there are."""
    return database.rows(
        """
        SELECT count(*) FILTER (WHERE c.start_time_ms < p.start_time_ms - 1000
                                   OR coalesce(c.end_time_ms, c.start_time_ms + c.duration_ms, c.start_time_ms)
                                    > coalesce(p.end_time_ms, p.start_time_ms + p.duration_ms) + 1000), count(*)
        FROM workflow_trace_log AS c JOIN workflow_trace_log AS p
          ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
          AND p.start_time_ms >= %(from_ms)s - %(reach)s AND p.start_time_ms < %(to_ms)s + %(reach)s
        WHERE c.start_time_ms >= %(from_ms)s AND c.start_time_ms < %(to_ms)s
          AND (%(project)s::text IS NULL OR coalesce(c.project, '') = %(project)s)
        """,
        window.parameters() | {"reach": REACH_MS},
    )[0]
