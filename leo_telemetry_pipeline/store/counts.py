"""How many spans and traces there are, by span type and day, without reading again what was counted before.

Belongs here: statements on ``workflow_trace_counts``, and counting the days it does not have from the span table.
Does not: when a day is counted (histograms), durations (buckets).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter

import psycopg2.extensions

from leo_telemetry_pipeline.store.database import Database
from leo_telemetry_pipeline.store.days import Window, after, midnight
from leo_telemetry_pipeline.store.dimensions import COUNTS, TRACES

# The count of all types together has no name, like its row in duration_histogram_days.
ALL_TYPES = ""


def count_day(
    cursor: psycopg2.extensions.cursor,
    window: Window,
    part: int,
    created: tuple[datetime | None, datetime | None],
) -> int:
    """Store the counts of the spans of a day as one part of it, in place of that part; return how many spans."""
    parameters = _parameters(window, created) | {"part": part, "day": window.start.date()}
    cursor.execute("DELETE FROM workflow_trace_counts WHERE day = %(day)s AND part = %(part)s", parameters)
    cursor.execute(
        "INSERT INTO workflow_trace_counts (day, span_type, project, part, spans, timed_spans)"
        f" SELECT day, span_type, project, %(part)s, spans, timed_spans FROM ({COUNTS}) AS counted",
        parameters,
    )
    cursor.execute(
        "INSERT INTO workflow_trace_counts (day, span_type, project, part, spans, timed_spans, traces)"
        f" SELECT day, '', project, %(part)s, spans, timed_spans, traces FROM ({TRACES}) AS counted",
        parameters,
    )
    cursor.execute(
        "SELECT coalesce(sum(spans), 0)::bigint FROM workflow_trace_counts"
        " WHERE day = %(day)s AND part = %(part)s AND span_type = ''",
        parameters,
    )
    return (cursor.fetchone() or (0,))[0]


def by_type_and_day(database: Database, window: Window, counted: Sequence[date] = ()) -> list[tuple]:
    """Return (span type, day, spans, spans with a duration) of a window, sorted.

    The days ``counted`` are read from their counts, the others from spans.
    """
    rows: list[tuple] = []
    if counted:
        rows = database.rows(
            "SELECT span_type, day, sum(spans)::bigint, sum(timed_spans)::bigint FROM workflow_trace_counts"
            " WHERE day = ANY(%(days)s) AND span_type <> ''"
            " AND (%(project)s::text IS NULL OR project = %(project)s) GROUP BY 1, 2",
            {"days": list(counted), "project": window.project},
        )
    for piece in _without(window, counted):
        rows += database.rows(
            f"SELECT span_type, day, sum(spans)::bigint, sum(timed_spans)::bigint FROM ({COUNTS}) AS counted"
            " GROUP BY 1, 2",
            _parameters(piece),
        )
    return sorted(rows)


def traces(database: Database, window: Window, counted: Sequence[date] = ()) -> int:
    """Return how many traces a window has; one that goes over midnight counts on each of its days.

    Also one of a day that was sealed while spans of it were still to come counts with each part.
    """
    [[found]] = database.rows(
        "SELECT coalesce(sum(traces), 0)::bigint FROM workflow_trace_counts"
        " WHERE day = ANY(%(days)s::date[]) AND span_type = ''"
        " AND (%(project)s::text IS NULL OR project = %(project)s)",
        {"days": list(counted), "project": window.project},
    )
    for piece in _without(window, counted):
        rows = database.rows(f"SELECT coalesce(sum(traces), 0)::bigint FROM ({TRACES}) AS counted", _parameters(piece))
        found += rows[0][0]
    return found


def _without(window: Window, counted: Sequence[date]) -> list[Window]:
    """Return what is left of a window without the counted days, days in a row together."""
    left = [day for day in window.days if day not in set(counted)]
    found = []
    for _, run in groupby(enumerate(left), key=lambda one: one[1].toordinal() - one[0]):
        days = list(map(itemgetter(1), run))
        found.append(replace(window, start=max(midnight(days[0]), window.start), end=min(after(days[-1]), window.end)))
    return found


def _parameters(window: Window, created: tuple[datetime | None, datetime | None] = (None, None)) -> dict[str, object]:
    return window.parameters() | {"created_from": created[0], "created_to": created[1]}
