"""Open spans of counted days: once fewer are left, some were completed and the day is stale.

Belongs here: the open spans of a day when it is counted, and comparing them with the current ones.
Does not: marking days (staleness), counting them (histograms), completing spans (ends).

Open spans are counted because a plain SQL UPDATE may complete a span without changing ``created_at``, and the span
table has no triggers. The count reads the partial index on open spans.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby

import psycopg2.extensions

from leo_telemetry_pipeline.store.days import after, midnight, milliseconds, started_on
from leo_telemetry_pipeline.store.dimensions import DAY_OF, REACH_MS, REACHING
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


def of_days(
    cursor: psycopg2.extensions.cursor, days: Sequence[date], since: Mapping[date, datetime]
) -> dict[date, Open]:
    """Return the open spans that affect each day, without those in its sealed parts, which end at ``since``.

    Call it before counting the days: a span completed in between then causes one recount too many, not one too few.
    """
    own = f"({started_on(days)}) AND s.created_at >= {_OF_ITS_DAY.format('since')}"
    parameters = {"first": _number(min(days)), "since": _by_day(days, since, _LONG_AGO)}
    cursor.execute(
        f"SELECT {DAY_OF}, count(*) FROM workflow_trace_log AS s WHERE {WITHOUT_END} AND {own} GROUP BY 1", parameters
    )
    spans = dict(cursor.fetchall())
    cursor.execute(
        f"SELECT s.trace_id::text, s.span_id::text, s.start_time_ms FROM workflow_trace_log AS s WHERE {WITHOUT_END}"
        f" AND {REACHING} AND s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s",
        _bounds(days, REACH_MS),
    )
    linked = cursor.fetchall()
    traces: dict[date, set[str]] = {}
    if linked:
        cursor.execute(
            f"SELECT {DAY_OF}, s.trace_id::text FROM workflow_trace_log AS s"
            f" WHERE s.trace_id = ANY(%(traces)s::uuid[]) AND {own} GROUP BY 1, s.trace_id",
            parameters | {"traces": list({trace for trace, _, _ in linked})},
        )
        for day, trace in cursor.fetchall():
            traces.setdefault(day, set()).add(trace)
    # The time is taken last, so that all spans counted above were stored by then.
    looked_at = _clock(cursor)
    nearby = {
        day: sorted(span for trace, span, start in linked if trace in found and _is_near(day, start))
        for day, found in traces.items()
    }
    return {day: Open(spans.get(day, 0), nearby.get(day, []), looked_at) for day in days}


def _is_near(day: date, start_ms: int) -> bool:
    """Return whether a span that started on another day may affect a day."""
    own, near = _bounds([day], 0), _bounds([day], REACH_MS)
    return near["from_ms"] <= start_ms < near["to_ms"] and not own["from_ms"] <= start_ms < own["to_ms"]


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
    days = [day.day for day in counted]
    cursor.execute(
        f"""
        SELECT {DAY_OF}, count(*) FROM workflow_trace_log AS s
        WHERE {WITHOUT_END} AND s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s
          AND s.created_at < {_OF_ITS_DAY.format("looked_at")} AND s.created_at >= {_OF_ITS_DAY.format("since")}
        GROUP BY 1
        """,
        _bounds(days, 0)
        | {
            "first": _number(min(days)),
            "looked_at": _by_day(days, {day.day: day.open.looked_at for day in counted}, None),
            "since": _by_day(days, {day.day: day.since for day in counted if day.since}, _LONG_AGO),
        },
    )
    return dict(cursor.fetchall())


def _by_day(days: Collection[date], values: Mapping[date, datetime], other: datetime | None) -> list[datetime | None]:
    """Return an array indexed by day, since local tables cannot be joined with distributed ones."""
    ordinals = range(min(days).toordinal(), max(days).toordinal() + 1)
    return [values.get(date.fromordinal(ordinal), other) for ordinal in ordinals]


def _number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _bounds(days: Collection[date], reach_ms: int) -> dict[str, int]:
    return {
        "from_ms": milliseconds(midnight(min(days))) - reach_ms,
        "to_ms": milliseconds(after(max(days))) + reach_ms,
    }


_LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)
# The value of a span's day in an array of ``_by_day``.
_OF_ITS_DAY = "(%({})s::timestamptz[])[(s.start_time_ms / 86400000 - %(first)s)::integer + 1]"
