"""Numbers of spans and traces by span type and day.

Belongs here: statements on ``workflow_trace_counts``, and counting other days from spans.
Does not: when a day is counted, durations (histograms).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import psycopg2.extensions

from leo_telemetry_pipeline.store.days import Window, started_on
from leo_telemetry_pipeline.store.dimensions import COUNTS, DAY_OF, TRACES
from leo_telemetry_pipeline.store.history import uncounted_days
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class SpanCount:
    """Number of spans of a type on one day, and how many of them have a duration."""

    span_type: str
    day: date
    spans: int
    timed_spans: int


# Each statement on spans has a cost of its own, on a cluster per shard, so small days are counted together.
SPANS_AT_ONCE = 200_000
# Row of all types together, also in duration_histogram_days.
ALL_TYPES = ""


def count_days(
    cursor: psycopg2.extensions.cursor, days: Sequence[date], part: int, pieces: Sequence[dict[str, object]]
) -> int:
    """Replace the counts of one part of some days, whose spans are those of ``pieces``; return the number of spans."""
    of_days: dict[str, object] = {"days": list(days), "part": part}
    cursor.execute("DELETE FROM workflow_trace_counts WHERE day = ANY(%(days)s) AND part = %(part)s", of_days)
    for piece in pieces:
        cursor.execute(
            "INSERT INTO workflow_trace_counts (day, span_type, project, part, spans, timed_spans)"
            f" SELECT day, span_type, project, %(part)s, spans, timed_spans FROM ({COUNTS}) AS counted",
            of_days | piece,
        )
        cursor.execute(
            "INSERT INTO workflow_trace_counts (day, span_type, project, part, spans, timed_spans, traces)"
            f" SELECT day, '', project, %(part)s, spans, timed_spans, traces FROM ({TRACES}) AS counted",
            of_days | piece,
        )
    cursor.execute(
        "SELECT coalesce(sum(spans), 0)::bigint FROM workflow_trace_counts"
        " WHERE day = ANY(%(days)s) AND part = %(part)s AND span_type = ''",
        of_days,
    )
    return (cursor.fetchone() or (0,))[0]


def of_pieces(cursor: psycopg2.extensions.cursor, pieces: Sequence[dict[str, object]]) -> int:
    """Return the number of spans of some pieces of days."""
    spans = 0
    for piece in pieces:
        cursor.execute(f"SELECT coalesce(sum(spans), 0)::bigint FROM ({COUNTS}) AS counted", piece)
        spans += (cursor.fetchone() or (0,))[0]
    return spans


def span_types(cursor: psycopg2.extensions.cursor, days: Sequence[date], part: int | None = None) -> set[str]:
    """Return the span types of counted days, or of one part of them."""
    cursor.execute(
        "SELECT DISTINCT span_type FROM workflow_trace_counts WHERE day = ANY(%s) AND span_type <> ''"
        " AND (%s::integer IS NULL OR part = %s)",
        (list(days), part, part),
    )
    return {name for (name,) in cursor.fetchall()}


def batches(database: Database, days: Sequence[date]) -> Iterator[list[date]]:
    """Yield days in groups to count together, each with up to SPANS_AT_ONCE spans or of a single day."""
    if len(days) < 2:
        yield from ([day] for day in days)
        return
    rows = database.rows(f"SELECT {DAY_OF}, count(*) FROM workflow_trace_log AS s WHERE {started_on(days)} GROUP BY 1")
    spans = dict(rows)
    batch: list[date] = []
    for day in sorted(days):
        if batch and sum(spans.get(other, 0) for other in (*batch, day)) > SPANS_AT_ONCE:
            yield batch
            batch = []
        batch.append(day)
    yield batch


def by_type_and_day(database: Database, window: Window, counted: Sequence[date] = ()) -> list[SpanCount]:
    """Return the counts of a window, sorted; those of days not in ``counted`` are read from spans."""
    totals: dict[tuple[str, date], list[int]] = {}
    for sql, parameters in _sources(database, window, counted, "span_type <> ''", COUNTS):
        grouped = f"SELECT span_type, day, sum(spans)::bigint, sum(timed_spans)::bigint FROM ({sql}) AS counted"
        for span_type, day, *numbers in database.rows(f"{grouped} GROUP BY 1, 2", parameters):
            before = totals.get((span_type, day), [0, 0])
            totals[span_type, day] = [a + b for a, b in zip(before, numbers, strict=True)]
    return [SpanCount(*key, *numbers) for key, numbers in sorted(totals.items())]


def traces(database: Database, window: Window, counted: Sequence[date] = ()) -> int:
    """Return the number of traces in a window; a trace counts once per day, and once per part of a sealed day."""
    return sum(
        database.rows(f"SELECT coalesce(sum(traces), 0)::bigint FROM ({sql}) AS counted", parameters)[0][0]
        for sql, parameters in _sources(database, window, counted, "span_type = ''", TRACES)
    )


def _sources(
    database: Database, window: Window, counted: Sequence[date], condition: str, fresh: str
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the queries whose rows add up to the window's counts: on stored counts, and on spans."""
    left = [day for day in window.days if day not in set(counted)]
    stored = (
        "SELECT * FROM workflow_trace_counts"
        " WHERE (day = ANY(%(days)s::date[]) OR (day = ANY(%(left)s::date[]) AND part > 0))"
        f" AND {condition} AND (%(project)s::text IS NULL OR project = %(project)s)"
    )
    yield stored, {"days": list(counted), "left": left, "project": window.project}
    with database.transaction() as cursor:
        pieces = list(uncounted_days.pieces(cursor, window, left))
    yield from ((fresh, piece) for piece in pieces)
