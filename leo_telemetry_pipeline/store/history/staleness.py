"""Stale days: counted days for which spans arrived or ended since.

Belongs here: marking and finding stale days. Does not: counting (histograms), the order of commits (watermark).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import psycopg2.extensions

from leo_telemetry_pipeline.store.days import DAY
from leo_telemetry_pipeline.store.dimensions import AHEAD_MS, REACH_MS, REACHING
from leo_telemetry_pipeline.store.history import blocks, open_counts
from leo_telemetry_pipeline.store.history.span_counts import ALL_TYPES
from leo_telemetry_pipeline.store.history.watermark import Fence, lock, now, watermark
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class Counted:
    """Up to when one dimension type of a day is counted; see ``duration_histogram_days``."""

    complete_before: datetime
    counted_until: datetime | None
    is_stale: bool


def mark_stale(database: Database, fence: Fence | None = None) -> None:
    """Mark counted days as stale if spans that affect them arrived or ended since the last call.

    Reads only new and open spans, so the time does not grow with the number of stored ones.
    """
    bound = now(database)
    with database.transaction() as cursor:
        # Serializes concurrent calls.
        cursor.execute("SELECT FROM telemetry_upkeep FOR UPDATE")
        seen_before = _seen_before(cursor)
        # Take the watermark before reading: spans committed by now are read; all others are younger than the watermark.
        seen = watermark(cursor, bound)
        touched = _touched(cursor, seen_before) if seen_before else {}
        ended = open_counts.fewer(cursor)
        for day in sorted({*touched, *(day for day, _ in ended)}):
            lock(cursor, [day])
            cursor.execute(
                "UPDATE duration_histogram_days SET is_stale = true"
                " WHERE day = %s AND (complete_before <= %s OR looked_at = ANY(%s))",
                (day, touched.get(day), [looked_at for of_day, looked_at in ended if of_day == day]),
            )
            if cursor.rowcount:
                blocks.forget(cursor, [day])
        cursor.execute("UPDATE telemetry_upkeep SET history_seen_before = greatest(history_seen_before, %s)", (seen,))
        if fence is not None:
            fence(cursor)


def stale_days(
    database: Database,
    first: date,
    last: date,
    types: Sequence[str],
    part_day: datetime | None = None,
    *,
    marked: bool = False,
) -> list[date]:
    """Return the days from ``first`` up to ``last``, which is excluded, whose history lacks spans or types.

    Include the day of the moment ``part_day`` unless it is counted up to exactly that moment. ``marked``: days were
    just marked, so do not read new spans again.
    """
    wanted = [*types, ALL_TYPES]
    days = [first + n * DAY for n in range((last - first).days)]
    if part_day is not None:
        days.append(part_day.date())
    with database.transaction() as cursor:
        ended = set() if marked else open_counts.fewer(cursor, days)
        counted: dict[date, dict[str, Counted]] = {}
        cursor.execute(
            "SELECT day, dimension_type, complete_before, counted_until, is_stale, looked_at"
            " FROM duration_histogram_days WHERE day = ANY(%s) AND dimension_type = ANY(%s)",
            (days, wanted),
        )
        for day, dimension_type, before, until, stale, looked_at in cursor.fetchall():
            state = Counted(before, until, stale or (day, looked_at) in ended)
            counted.setdefault(day, {})[dimension_type] = state
        cursor.execute("SELECT DISTINCT day FROM telemetry_sealed_days WHERE day = ANY(%s)", (days,))
        sealed = {day for (day,) in cursor.fetchall()}
        seen_before = None if marked or not counted else _seen_before(cursor)
        touched = _touched(cursor, seen_before) if seen_before else {}
    ends = {} if part_day is None else {part_day.date(): part_day}
    return [
        day
        for day in days
        if is_stale(counted.get(day, {}), wanted, touched.get(day), ends.get(day), is_sealed=day in sealed)
    ]


def all_stored(database: Database, first: date, last: date) -> bool:
    """Return whether no spans of the days from ``first`` to ``last`` were dropped."""
    return database.rows(
        "SELECT NOT EXISTS (SELECT FROM telemetry_sealed_days WHERE day BETWEEN %s AND %s AND dropped_at IS NOT NULL)",
        (first, last),
    )[0][0]


def is_stale(
    counted: Mapping[str, Counted],
    wanted: Iterable[str],
    touched: datetime | None,
    until: datetime | None,
    *,
    is_sealed: bool,
) -> bool:
    """Return whether a day must be counted again.

    ``touched`` is the newest created_at of late spans that affect the day. ``until`` is the end of a partial day, for
    which late spans are left to the next marking. A sealed day may lack spans, so missing types stay uncounted.
    """
    if ALL_TYPES not in counted or (not is_sealed and any(name not in counted for name in wanted)):
        return True
    states = counted.values()
    if any(state.counted_until != until for state in states):
        return True
    if until is not None:
        touched = None
    return any(state.is_stale or (touched is not None and touched >= state.complete_before) for state in states)


def _seen_before(cursor: psycopg2.extensions.cursor) -> datetime | None:
    # Before the first marking, days are correct up to when they were counted.
    cursor.execute(
        "SELECT coalesce(history_seen_before, (SELECT min(complete_before) FROM duration_histogram_days))"
        " FROM telemetry_upkeep"
    )
    return (cursor.fetchone() or (None,))[0]


def _touched(cursor: psycopg2.extensions.cursor, since: datetime) -> dict[date, datetime]:
    cursor.execute(
        f"""
        SELECT s.start_time_ms / 86400000, max(s.created_at),
               min(s.start_time_ms) FILTER (WHERE {REACHING}),
               max(s.start_time_ms) FILTER (WHERE {REACHING})
        FROM workflow_trace_log AS s WHERE s.created_at >= %s AND s.start_time_ms < 253402300800000 GROUP BY 1
        """,
        (since,),
    )
    rows = cursor.fetchall()
    touched = {day: moment for day, moment, _, _ in rows}
    starts = [start for _, _, first, last in rows for start in (first, last) if start is not None]
    if starts:
        bounds = {"first": min(starts), "last": max(starts)}
        cursor.execute(_TOUCHED_BY_TRACE, {"since": since, "reach": REACH_MS, "ahead": AHEAD_MS} | bounds)
        for day, moment in cursor.fetchall():
            touched[day] = max(moment, touched.get(day, moment))
    return {_EPOCH + day * DAY: moment for day, moment in touched.items()}


_EPOCH = date(1970, 1, 1)

# Whole days, since counting a day reads handoffs and waits around it. The bounds allow partition pruning.
_SPANS_NEAR = """workflow_trace_log AS s WHERE s.trace_id = late.trace_id
                AND s.start_time_ms >= %(first)s::bigint - %(reach)s - 86400000
                AND s.start_time_ms < %(last)s::bigint + %(reach)s + 86400000"""
_TOUCHED_BY_TRACE = f"""
        WITH late AS (
            SELECT s.trace_id, s.parent_span_id, s.span_type, s.start_time_ms, s.created_at,
                   s.start_time_ms / 86400000 AS day
            FROM workflow_trace_log AS s
            WHERE s.created_at >= %(since)s AND {REACHING}
              AND s.start_time_ms >= %(first)s AND s.start_time_ms <= %(last)s
        ), touched AS (
            SELECT before.day, late.created_at FROM late CROSS JOIN LATERAL (
                SELECT s.start_time_ms / 86400000 AS day FROM {_SPANS_NEAR}
                  AND s.start_time_ms >= late.day * 86400000 - %(ahead)s AND s.start_time_ms < late.day * 86400000
                GROUP BY s.trace_id, 1
            ) AS before
            WHERE late.span_type <> 'wait'
            UNION ALL
            SELECT later.day, late.created_at FROM late CROSS JOIN LATERAL (
                SELECT s.start_time_ms / 86400000 AS day FROM {_SPANS_NEAR}
                  AND s.start_time_ms >= (late.day + 1) * 86400000
                  AND s.start_time_ms < ((late.start_time_ms + %(reach)s) / 86400000 + 1) * 86400000
                GROUP BY s.trace_id, 1
            ) AS later
            WHERE late.span_type <> 'wait'
            UNION ALL
            SELECT parent.day, late.created_at FROM late CROSS JOIN LATERAL (
                SELECT s.start_time_ms / 86400000 AS day FROM {_SPANS_NEAR}
                  AND s.span_id = late.parent_span_id
                  AND s.start_time_ms >= late.day * 86400000 - %(reach)s AND s.start_time_ms < (late.day + 1) * 86400000
                GROUP BY s.trace_id, 1
            ) AS parent
            WHERE late.span_type = 'wait'
        )
        SELECT day, max(created_at) FROM touched GROUP BY 1
"""
