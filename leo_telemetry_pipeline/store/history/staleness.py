"""Counted days that miss spans which came later.

Belongs here: marking days, and asking for them. Does not: counting (histograms), the order of commits (watermark).
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
    """How far one dimension type of a day is counted; see ``duration_histogram_days``."""

    complete_before: datetime
    counted_until: datetime | None
    is_stale: bool


def mark_stale(database: Database, fence: Fence | None = None) -> None:
    """Remember which counted days were touched by spans that came, or got their end, since this was last asked.

    What it looks at is what came since then, and what has no end, however much is stored.
    """
    bound = now(database)
    with database.transaction() as cursor:
        # Two who mark follow each other.
        cursor.execute("SELECT FROM telemetry_upkeep FOR UPDATE")
        seen_before = _seen_before(cursor)
        # Before looking: whoever has committed by now is seen, whoever has not is younger.
        seen = watermark(cursor, bound)
        touched = _touched(cursor, seen_before) if seen_before else {}
        ended = open_counts.fewer(cursor)
        for day in sorted({*touched, *(day for day, _ in ended)}):
            lock(cursor, day)
            cursor.execute(
                "UPDATE duration_histogram_days SET is_stale = true"
                " WHERE day = %s AND (complete_before <= %s OR looked_at = ANY(%s))",
                (day, touched.get(day), [looked_at for of_day, looked_at in ended if of_day == day]),
            )
            if cursor.rowcount:
                blocks.forget(cursor, day)
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
    """Return the days from ``first`` up to, not including, ``last`` whose history misses spans or types.

    With ``part_day`` also its day, unless that is counted up to this very moment. Whoever has just marked days need not
    look again for what came since (``marked``).
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
            one = Counted(before, until, stale or (day, looked_at) in ended)
            counted.setdefault(day, {})[dimension_type] = one
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
    """Tell whether the spans of the days from ``first`` to ``last`` are still in the table."""
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
    """Decide whether a day must be counted again.

    ``touched``: the newest created_at of late spans that matter to the day. ``until``: where a part day ends; spans
    that come while it is looked at belong to the next look, which marks them first. Of a sealed day spans may be gone,
    so a type that it was not counted for stays unknown.
    """
    if ALL_TYPES not in counted or (not is_sealed and any(name not in counted for name in wanted)):
        return True
    if any(one.counted_until != until for one in counted.values()):
        return True
    if until is not None:
        touched = None
    return any(one.is_stale or (touched is not None and touched >= one.complete_before) for one in counted.values())


def _seen_before(cursor: psycopg2.extensions.cursor) -> datetime | None:
    # What was counted before anybody marked is right as far as it was counted.
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

# A handoff and a wait reach whole days, as counting a day looks for them around it. The bounds let the server leave out
# the partitions of other days.
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
