"""Durations of a window by bucket: from days and blocks of history, and from spans for days that are not counted.

Belongs here: which rows make up a window. Does not: counting a day (histograms), adding days up (blocks), what a row
holds (bucket_counts), percentiles (analysis.bucket_percentiles).
"""

from collections.abc import Iterable, Sequence
from datetime import date

import psycopg2.extensions

from leo_telemetry_pipeline.dimension import OTHER_KEYS, Dimension
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.dimensions import observations, to_pool
from leo_telemetry_pipeline.store.history import blocks, bucket_counts, uncounted_days
from leo_telemetry_pipeline.store.history.bucket_counts import OF_BLOCK, OF_DAY, Durations
from leo_telemetry_pipeline.store.history.histograms import COUNTED, by_hashes
from leo_telemetry_pipeline.store.server.database import Database

_STORED = f"""
SELECT dimension_type, dimension_key, {OF_DAY} FROM duration_histograms
WHERE (day = ANY(%(days)s::date[]) OR (day = ANY(%(uncounted)s::date[]) AND part > 0))
  AND dimension_type = ANY(%(types)s) AND (%(project)s::text IS NULL OR project = %(project)s)
UNION ALL
SELECT dimension_type, dimension_key, {OF_BLOCK} FROM duration_histogram_blocks
WHERE (first_day, days) IN (SELECT * FROM unnest(%(firsts)s::date[], %(sizes)s::integer[]))
  AND dimension_type = ANY(%(types)s) AND (%(project)s::text IS NULL OR project = %(project)s)
"""


def of_window(
    database: Database,
    window: Window,
    types: Sequence[str],
    seen: Sequence[str],
    uncounted: Sequence[date] = (),
) -> list[tuple]:
    """Return the durations of each dimension of a window by bucket, sorted by dimension.

    Rows: dimension_type, dimension_key, spans, days with spans, sum_ms, min_ms, max_ms, buckets, spans in each; the
    last two are arrays in the order of buckets. The days ``uncounted``, and a part day of which no count up to the
    window's end was made, are read from their spans.
    """
    found: dict[Dimension, Durations] = {}
    with database.transaction(consistent=True) as cursor:
        uncounted = sorted({*uncounted, *_counted_otherwise(cursor, window, types)})
        closed, fresh_days = set(window.closed_days), set(uncounted)
        wholly = [day for day in window.days if day in closed - fresh_days]
        part = [day for day in window.days if day not in closed | fresh_days]
        made = blocks.made_for(cursor, types, window.start.date(), window.end.date()) if wholly else set()
        chosen, left = blocks.choose(wholly, made)
        parameters = {
            "days": left + part,
            "uncounted": list(uncounted),
            "types": list(types),
            "firsts": [block.first for block in chosen],
            "sizes": [block.days for block in chosen],
            "project": window.project,
        }
        _add_up(found, bucket_counts.stream(cursor, _STORED, parameters), window)
        sql, more = observations(types, seen)
        fresh = f"SELECT dimension_type, dimension_key, {OF_DAY} FROM ({COUNTED.format(observations=sql)}) AS counted"
        by_hashes(cursor)
        for day in uncounted:
            for piece in uncounted_days.pieces(cursor, window, [day]):
                cursor.execute(fresh, more | piece)
                _add_up(found, cursor, window)
    for name in to_pool({name: one.count for name, one in found.items()}):
        found.setdefault((name[0], OTHER_KEYS), Durations()).merge(found.pop(name))
    return [
        (*dimension, one.count, one.seen_on.bit_count(), one.sum_ms, one.min_ms, one.max_ms, *one.buckets())
        for dimension, one in sorted(found.items())
    ]


def _add_up(found: dict[Dimension, Durations], rows: Iterable[tuple], window: Window) -> None:
    base = window.start.date()
    for dimension_type, key, *row in rows:
        found.setdefault((dimension_type, key), Durations()).add(*row, base=base)


def _counted_otherwise(cursor: psycopg2.extensions.cursor, window: Window, types: Sequence[str]) -> list[date]:
    """Return the days that somebody else has counted up to another moment than the window needs."""
    whole_days = set(window.closed_days)
    cursor.execute(
        "SELECT DISTINCT day, counted_until FROM duration_histogram_days"
        " WHERE day = ANY(%s) AND dimension_type = ANY(%s) AND (counted_until IS NOT NULL OR NOT day = ANY(%s))",
        (window.days, list(types), sorted(whole_days)),
    )
    return [day for day, until in cursor.fetchall() if until != (None if day in whole_days else window.end)]
