"""Histograms of a window, from days and blocks of history, and from spans for uncounted days.

Belongs here: which rows make up a window. Does not: counting a day (histograms), making blocks (blocks), contents of
rows (bucket_counts), percentiles (analysis.bucket_percentiles).
"""

from collections.abc import Iterable, Sequence
from datetime import date

import psycopg2.extensions

from leo_telemetry_pipeline.dimension import OTHER_KEYS, Dimension
from leo_telemetry_pipeline.store import folded_names
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
    database: Database, window: Window, types: Sequence[str], seen: Sequence[str], uncounted: Sequence[date] = ()
) -> list[tuple]:
    """Return the histogram of each dimension of a window, sorted by dimension.

    Rows: dimension_type, dimension_key, spans, days with spans, sum_ms, min_ms, max_ms, buckets, spans per bucket; the
    last two are arrays in the order of buckets. ``uncounted`` days, and a partial day that is not counted up to the
    window's end, are read from spans.
    """
    histograms: dict[Dimension, Durations] = {}
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
        _add_up(histograms, bucket_counts.stream(cursor, _STORED, parameters), window)
        sql, more = observations(types, seen, folded_names.read(cursor))
        fresh = f"SELECT dimension_type, dimension_key, {OF_DAY} FROM ({COUNTED.format(observations=sql)}) AS counted"
        by_hashes(cursor)
        for day in uncounted:
            for piece in uncounted_days.pieces(cursor, window, [day]):
                cursor.execute(fresh, more | piece)
                _add_up(histograms, cursor, window)
    for name in to_pool({name: sums.count for name, sums in histograms.items()}):
        histograms.setdefault((name[0], OTHER_KEYS), Durations()).merge(histograms.pop(name))
    return [
        (*dimension, sums.count, sums.seen_on.bit_count(), sums.sum_ms, sums.min_ms, sums.max_ms, *sums.buckets())
        for dimension, sums in sorted(histograms.items())
    ]


def _add_up(histograms: dict[Dimension, Durations], rows: Iterable[tuple], window: Window) -> None:
    base = window.start.date()
    for dimension_type, key, *row in rows:
        histograms.setdefault((dimension_type, key), Durations()).add(*row, base=base)


def _counted_otherwise(cursor: psycopg2.extensions.cursor, window: Window, types: Sequence[str]) -> list[date]:
    """Return the days that another process counted up to a different time than the window needs."""
    whole_days = set(window.closed_days)
    cursor.execute(
        "SELECT DISTINCT day, counted_until FROM duration_histogram_days"
        " WHERE day = ANY(%s) AND dimension_type = ANY(%s) AND (counted_until IS NOT NULL OR NOT day = ANY(%s))",
        (window.days, list(types), sorted(whole_days)),
    )
    return [day for day, until in cursor.fetchall() if until != (None if day in whole_days else window.end)]
