"""What durations were, by bucket: days and blocks of history, and of days without one the spans themselves.

Belongs here: reading rows of ``duration_histograms`` and ``duration_histogram_blocks`` as arrays of numbers.
Does not: counting a day (histograms), adding days up (blocks), percentiles (analysis.p50).
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import psycopg2.extensions

from leo_telemetry_pipeline.dimension import OTHER_KEYS
from leo_telemetry_pipeline.store.days import Window, after, midnight
from leo_telemetry_pipeline.store.dimensions import MOST_KEYS, observations
from leo_telemetry_pipeline.store.history import binary_copy, blocks
from leo_telemetry_pipeline.store.history.bucket_counts import NUMBERS, Durations
from leo_telemetry_pipeline.store.history.histograms import COUNTED, by_hashes
from leo_telemetry_pipeline.store.server.database import Database

# Those of Durations, then type, key, buckets, counts.
_READ = """day, 1::bigint, count, sum_ms, min_ms, max_ms, dimension_type, dimension_key, array_send(buckets),
       array_send(counts)"""
_STORED = f"""
SELECT {_READ} FROM duration_histograms
WHERE (day = ANY(%(days)s::date[]) OR (day = ANY(%(uncounted)s::date[]) AND part > 0))
  AND dimension_type = ANY(%(types)s) AND (%(project)s::text IS NULL OR project = %(project)s)
UNION ALL
SELECT first_day, seen_on, count, sum_ms, min_ms, max_ms, dimension_type, dimension_key, packed, NULL
FROM duration_histogram_blocks
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
    found: dict[tuple[str, str], Durations] = {}
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
        _read(cursor, _STORED, parameters, window, found)
        sealed = _sealed_before(cursor, uncounted)
        sql, more = observations(types, seen)
        fresh = f"SELECT {_READ} FROM ({COUNTED.format(observations=sql)}) AS counted"
        by_hashes(cursor)
        for day in uncounted:
            piece = Window(max(midnight(day), window.start), min(after(day), window.end), window.project)
            _read(cursor, fresh, more | piece.parameters() | {"created_from": sealed.get(day)}, window, found)
    _pool(found)
    return [
        (*dimension, one.count, one.seen_on.bit_count(), one.sum_ms, one.min_ms, one.max_ms, *one.buckets())
        for dimension, one in sorted(found.items())
    ]


def _read(
    cursor: psycopg2.extensions.cursor,
    sql: str,
    parameters: dict[str, Any],
    window: Window,
    found: dict[tuple[str, str], Durations],
) -> None:
    base = window.start.date()

    def take(numbers: tuple, fields: list) -> None:
        dimension_type, key, buckets, counts = fields
        one = found.setdefault((str(dimension_type, "utf-8"), str(key, "utf-8")), Durations())
        one.add(numbers, buckets, counts, base)

    binary_copy.rows(cursor, sql, parameters, NUMBERS, 4, take)


def _counted_otherwise(cursor: psycopg2.extensions.cursor, window: Window, types: Sequence[str]) -> list[date]:
    """Return the days that somebody else has counted up to another moment than the window needs."""
    whole_days = set(window.closed_days)
    cursor.execute(
        "SELECT DISTINCT day, counted_until FROM duration_histogram_days"
        " WHERE day = ANY(%s) AND dimension_type = ANY(%s) AND (counted_until IS NOT NULL OR NOT day = ANY(%s))",
        (window.days, list(types), sorted(whole_days)),
    )
    return [day for day, until in cursor.fetchall() if until != (None if day in whole_days else window.end)]


def _sealed_before(cursor: psycopg2.extensions.cursor, days: Iterable[date]) -> dict[date, datetime]:
    cursor.execute(
        "SELECT day, max(sealed_before) FROM telemetry_sealed_days WHERE day = ANY(%s::date[]) GROUP BY 1",
        (list(days),),
    )
    return dict(cursor.fetchall())


def _pool(found: dict[tuple[str, str], Durations]) -> None:
    """Put the keys that a type has beyond the most it may have together, those with fewest spans."""
    of_type: dict[str, list[str]] = {}
    for dimension_type, key in found:
        of_type.setdefault(dimension_type, []).append(key)
    for dimension_type, keys in of_type.items():
        named = [key for key in keys if key != OTHER_KEYS]
        named.sort(key=lambda key: (-found[dimension_type, key].count, key))
        for key in named[MOST_KEYS:]:
            found.setdefault((dimension_type, OTHER_KEYS), Durations()).merge(found.pop((dimension_type, key)))
