"""Open spans of counted days: once fewer are left, some were completed and the day is stale.

Belongs here: the open spans of a day when it is counted, and comparing them with the current ones.
Does not: marking days (staleness), counting them (histograms), completing spans (ends).

Open spans are counted because a plain SQL UPDATE may complete a span without changing ``created_at``, and the span
table has no triggers. The count reads the partial index on open spans.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby

import psycopg2.extensions

from leo_telemetry_pipeline.store.days import after, midnight, milliseconds, whole
from leo_telemetry_pipeline.store.dimensions import REACH_MS, REACHING
from leo_telemetry_pipeline.store.ends import WITHOUT_END

CountedAt = tuple[date, datetime]


@dataclass(frozen=True)
class Open:
    """Open spans that affect a day; see ``duration_histogram_days``."""

    spans: int
    nearby: list[str]
    looked_at: datetime


@dataclass(frozen=True)
class _CountedDay:
    """Counted day with its open spans and the end of its sealed parts."""

    day: date
    open: Open
    since: datetime | None


def of_day(cursor: psycopg2.extensions.cursor, day: date, since: datetime | None) -> Open:
    """Return the open spans that affect a day, without those in its sealed parts, which end at ``since``.

    Call it before counting the day: a span completed in between then causes one recount too many, not one too few.
    """
    own = f"{_OF_THE_DAY} AND (%(since)s::timestamptz IS NULL OR s.created_at >= %(since)s)"
    parameters = whole(day).parameters() | {"since": since, "reach": REACH_MS}
    cursor.execute(f"SELECT s.start_time_ms FROM workflow_trace_log AS s WHERE {own} LIMIT 1", parameters)
    if cursor.fetchone() is None:
        # Fast path: linked spans need the partitions of two weeks, and most days of a new home are empty.
        return Open(0, [], _clock(cursor))
    cursor.execute(f"SELECT count(*) FROM workflow_trace_log AS s WHERE {WITHOUT_END} AND {own}", parameters)
    [spans] = cursor.fetchone() or (0,)
    cursor.execute(
        f"SELECT s.trace_id::text, s.span_id::text FROM workflow_trace_log AS s WHERE {WITHOUT_END} AND {REACHING}"
        " AND s.start_time_ms >= %(from_ms)s - %(reach)s AND s.start_time_ms < %(to_ms)s + %(reach)s"
        f" AND NOT ({_OF_THE_DAY})",
        parameters,
    )
    linked = cursor.fetchall()
    traces: set[str] = set()
    if linked:
        cursor.execute(
            "SELECT s.trace_id::text FROM workflow_trace_log AS s"
            f" WHERE s.trace_id = ANY(%(traces)s::uuid[]) AND {own} GROUP BY s.trace_id",
            parameters | {"traces": list({trace for trace, _ in linked})},
        )
        traces = {trace for (trace,) in cursor.fetchall()}
    # The time is taken last, so that all spans counted above were stored by then.
    looked_at = _clock(cursor)
    return Open(spans, sorted(span for trace, span in linked if trace in traces), looked_at)


def _clock(cursor: psycopg2.extensions.cursor) -> datetime:
    cursor.execute("SELECT clock_timestamp()")
    [(now,)] = cursor.fetchall()
    return now


def fewer(cursor: psycopg2.extensions.cursor, days: Sequence[date] | None = None) -> set[CountedAt]:
    """Return the days that have fewer open spans now than when they were counted, with the time of that count."""
    cursor.execute(
        """
        SELECT DISTINCT d.day, d.open_spans, d.open_nearby::text[], d.looked_at,
               (SELECT max(t.sealed_before) FROM telemetry_sealed_days AS t WHERE t.day = d.day)
        FROM duration_histogram_days AS d
        WHERE (d.open_spans > 0 OR d.open_nearby <> '{}') AND NOT d.is_stale
          AND (%(days)s::date[] IS NULL OR d.day = ANY(%(days)s::date[]))
        ORDER BY d.day, d.looked_at
        """,
        {"days": None if days is None else list(days)},
    )
    counted = [_CountedDay(day, Open(spans, nearby, at), since) for day, spans, nearby, at, since in cursor.fetchall()]
    if not counted:
        return set()
    linked = _linked_now(cursor, counted)
    stale = {(day.day, day.open.looked_at) for day in counted if not linked.issuperset(day.open.nearby)}
    for round_ in _rounds(counted):
        now = _open_now(cursor, round_)
        stale |= {(day.day, day.open.looked_at) for day in round_ if now.get(day.day, 0) < day.open.spans}
    return stale


def _rounds(counted: Sequence[_CountedDay]) -> Iterator[list[_CountedDay]]:
    """Yield rounds with each day at most once, since types of a day may have been counted at different times."""
    left = [list(counts) for _, counts in groupby(counted, key=lambda counted_day: counted_day.day)]
    while left:
        yield [counts[0] for counts in left]
        left = [counts[1:] for counts in left if len(counts) > 1]


def _linked_now(cursor: psycopg2.extensions.cursor, counted: Sequence[_CountedDay]) -> set[str]:
    days = [day.day for day in counted if day.open.nearby]
    if not days:
        return set()
    cursor.execute(
        f"SELECT s.span_id::text FROM workflow_trace_log AS s WHERE {WITHOUT_END} AND {REACHING}"
        " AND s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s",
        _bounds(days, REACH_MS),
    )
    return {span for (span,) in cursor.fetchall()}


def _open_now(cursor: psycopg2.extensions.cursor, counted: Sequence[_CountedDay]) -> dict[date, int]:
    by_day = {day.day: day for day in counted}
    first = min(by_day)
    # Arrays indexed by day, since local tables cannot be joined with distributed ones.
    counts = [by_day.get(date.fromordinal(n)) for n in range(first.toordinal(), max(by_day).toordinal() + 1)]
    cursor.execute(
        f"""
        SELECT s.start_time_ms / 86400000 - %(first)s, count(*) FROM workflow_trace_log AS s
        WHERE {WITHOUT_END} AND s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s
          AND s.created_at < (%(looked_at)s::timestamptz[])[(s.start_time_ms / 86400000 - %(first)s)::integer + 1]
          AND s.created_at >= (%(since)s::timestamptz[])[(s.start_time_ms / 86400000 - %(first)s)::integer + 1]
        GROUP BY 1
        """,
        _bounds(by_day, 0)
        | {
            "first": (first - date(1970, 1, 1)).days,
            "looked_at": [day and day.open.looked_at for day in counts],
            "since": [(day and day.since) or _LONG_AGO for day in counts],
        },
    )
    return {date.fromordinal(first.toordinal() + place): spans for place, spans in cursor.fetchall()}


def _bounds(days: Collection[date], reach_ms: int) -> dict[str, object]:
    return {
        "from_ms": milliseconds(midnight(min(days))) - reach_ms,
        "to_ms": milliseconds(after(max(days))) + reach_ms,
    }


_LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)
_OF_THE_DAY = "s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s"
