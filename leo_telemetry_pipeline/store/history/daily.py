"""Daily history of up to ten thousand dimensions.

Belongs here: reading rows of ``duration_histograms`` as columns, and spans of uncounted days.
Does not: histograms of a window (buckets), percentiles (analysis.bucket_percentiles).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from leo_telemetry_pipeline.daily_rows import Rows
from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store import dimension_attributes, folded_names, shared_names, thresholds
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.dimensions import OBSERVED, observations, types_to_judge
from leo_telemetry_pipeline.store.history import span_counts, staleness, uncounted_days
from leo_telemetry_pipeline.store.history.bucket_counts import BUCKETS, ELEMENTS, SPANS
from leo_telemetry_pipeline.store.history.histograms import COUNTED, by_hashes
from leo_telemetry_pipeline.store.server.database import Database

# Rows of history held in memory at once; days are never split.
_ROWS_AT_ONCE = 10_000

# Each column is sent as one byte string, to avoid a Python object per row.
_COLUMNS = {
    "dimension": ("int4send((d.number - 1)::integer)", ">i4"),
    "day": ("int4send(h.day - %(first)s::date)", ">i4"),
    "count": ("int8send(h.count)", ">i8"),
    "sum_ms": ("float8send(h.sum_ms)", ">f8"),
    "min_ms": ("float8send(h.min_ms)", ">f8"),
    "max_ms": ("float8send(h.max_ms)", ">f8"),
    "fine_count": ("int8send(h.fine_count)", ">i8"),
    "sizes": ("int4send(cardinality(h.buckets))", ">i4"),
    "buckets": (ELEMENTS.format("h.buckets"), BUCKETS),
    "spans": (ELEMENTS.format("h.counts"), SPANS),
}
_ROWS = "SELECT " + ", ".join(f"string_agg({sql}, '')" for sql, _ in _COLUMNS.values())
_WANTED = "unnest(%(of_types)s::text[], %(of_keys)s::text[]) WITH ORDINALITY AS d (of_type, of_key, number)"
_IS_WANTED = "h.dimension_type = d.of_type AND h.dimension_key = d.of_key"
_HISTORY = """duration_histograms AS h
WHERE (h.day = ANY(%(counted)s::date[]) OR (h.day = ANY(%(uncounted)s::date[]) AND h.part > 0))
  AND h.dimension_type = ANY(%(types)s) AND (%(project)s::text IS NULL OR h.project = %(project)s)"""


@dataclass(frozen=True)
class Scope:
    """Dimension types of a window, its span types ``seen``, and the closed days to read from spans."""

    types: list[str]
    seen: list[str]
    uncounted: list[date]


def scope(database: Database, window: Window, types: Sequence[str] = ()) -> Scope:
    """Return the scope of an analysis of a window, with all its dimension types unless ``types`` are given."""
    bounds = window.start.date(), window.end.date()
    stale = set(staleness.stale_days(database, *bounds, []))
    counts = span_counts.by_type_and_day(database, window, [day for day in window.closed_days if day not in stale])
    seen = sorted({count.span_type for count in counts})
    named = [*thresholds.named_types(database), *shared_names.of(database).types]
    of_types = sorted(set(types)) or types_to_judge(seen, named)
    return Scope(of_types, seen, staleness.stale_days(database, *bounds, of_types))


def dimensions(
    database: Database, window: Window, types: Sequence[str], seen: Sequence[str], uncounted: Sequence[date] = ()
) -> list[tuple[str, str, int, float]]:
    """Return (type, key, spans, sum in ms) of all dimensions of a window, largest sum first."""
    totals: dict[Dimension, tuple[int, float]] = {}
    select = "SELECT dimension_type, dimension_key, sum(count)::bigint, sum(sum_ms)"
    with database.transaction(consistent=True) as cursor:
        by_hashes(cursor)
        fresh = _fresh_days(window, uncounted)
        parameters = _parameters(window, window.days, fresh) | {"types": list(types)}
        queries = [(f"{select} FROM {_HISTORY} GROUP BY 1, 2", parameters)]
        sql, more = observations(types, seen, folded_names.read(cursor))
        of_spans = f"{select} FROM ({COUNTED.format(observations=sql)}) AS h GROUP BY 1, 2"
        queries += [(of_spans, more | piece) for piece in uncounted_days.pieces(cursor, window, fresh)]
        for query in queries:
            cursor.execute(*query)
            for dimension_type, key, spans, sum_ms in cursor:
                before = totals.get((dimension_type, key), (0, 0.0))
                totals[dimension_type, key] = before[0] + spans, before[1] + sum_ms
    return sorted(((*name, *sums) for name, sums in totals.items()), key=lambda row: (-row[3], row[:2]))


def read(
    database: Database, window: Window, wanted: Sequence[Dimension], seen: Sequence[str], uncounted: Sequence[date] = ()
) -> Iterator[Rows]:
    """Yield the history of the dimensions ``wanted`` in a window, several whole days at a time.

    Parts and projects are added up. ``uncounted`` days, and a partial day at the end, are read from spans. The
    transaction stays open until the iterator is exhausted.
    """
    types = sorted({dimension_type for dimension_type, _ in wanted})
    sql, more = observations(types, seen, folded_names.of(database))
    more |= {
        "first": window.start.date(),
        "types": types,
        "of_types": [of_type for of_type, _ in wanted],
        "of_keys": [key for _, key in wanted],
    }
    stored = f"{_ROWS} FROM {_WANTED}, {_HISTORY} AND {_IS_WANTED}"
    if len(wanted) == 1:
        # An index scan is faster for one dimension, a full scan for thousands.
        stored += " AND h.dimension_key = ANY(%(of_keys)s)"
    of_spans = f"{_ROWS} FROM {_WANTED}, ({COUNTED.format(observations=sql)}) AS h WHERE {_IS_WANTED}"
    at_once = max(1, _ROWS_AT_ONCE // max(1, len(wanted)))
    with database.transaction(consistent=True) as cursor:
        by_hashes(cursor)
        for number in range(0, len(window.days), at_once):
            days = window.days[number : number + at_once]
            fresh = [day for day in _fresh_days(window, uncounted) if day in days]
            cursor.execute(stored, more | _parameters(window, days, fresh))
            results = cursor.fetchall()
            for piece in uncounted_days.pieces(cursor, window, fresh):
                cursor.execute(of_spans, more | piece)
                results += cursor.fetchall()
            if nonempty := [columns for columns in results if columns[0]]:
                yield _rows(nonempty)


def medians(
    database: Database, window: Window, wanted: Sequence[Dimension]
) -> tuple[list[tuple[np.ndarray, ...]], list[int]]:
    """Return the stored daily P50s, centers and tails of the dimensions ``wanted``.

    First, arrays: index of the dimension, day since the start of the window, spans, P50 in ms, center, tail, and
    spans with microseconds. Second, the indexes of dimensions without these on some day, such as a day with several
    projects: they are left out of the arrays and need ``read``. Uncounted days have no rows.
    """
    parameters = _parameters(window, window.days, ()) | {
        "types": sorted({dimension_type for dimension_type, _ in wanted}),
        "of_types": [of_type for of_type, _ in wanted],
        "of_keys": [key for _, key in wanted],
    }
    columns = (
        "int4send((number - 1)::integer)",
        "int4send(day)",
        "int8send(count)",
        "float8send(p50_ms)",
        "float8send(center)",
        "float8send(tail)",
        "int8send(fine)",
    )
    with database.transaction() as cursor:
        cursor.execute(
            f"""
            WITH days AS MATERIALIZED (
                SELECT d.number, h.day - %(first)s::date AS day, sum(h.count)::bigint AS count,
                       sum(h.fine_count)::bigint AS fine,
                       CASE WHEN count(*) = 1 THEN min(h.p50_ms) END AS p50_ms,
                       CASE WHEN count(*) = 1 THEN min(h.center) END AS center,
                       CASE WHEN count(*) = 1 THEN min(h.tail) END AS tail
                FROM {_WANTED}, {_HISTORY} AND {_IS_WANTED} GROUP BY 1, 2
            ), unknown AS MATERIALIZED (
                SELECT DISTINCT number FROM days WHERE p50_ms IS NULL OR center IS NULL OR tail IS NULL
            )
            SELECT {", ".join(f"coalesce(string_agg({column}, ''), '')" for column in columns)},
                   (SELECT coalesce(array_agg(number - 1), '{{}}') FROM unknown)
            FROM days WHERE number NOT IN (SELECT number FROM unknown)
            """,
            parameters,
        )
        [(*sent, unknown)] = cursor.fetchall()
    dtypes = (">i4", ">i4", ">i8", ">f8", ">f8", ">f8", ">i8")
    arrays = [np.frombuffer(column, dtype) for column, dtype in zip(sent, dtypes, strict=True)]
    kinds = (np.int64, np.int64, np.int64, *[np.float64] * 3, np.int64)
    return [tuple(array.astype(kind) for array, kind in zip(arrays, kinds, strict=True))], sorted(unknown)


def queue_share(database: Database, window: Window, dimension: Dimension, seen: Sequence[str]) -> dict[date, float]:
    """Return the share of queue wait in a dimension's time per day, 0 to 1.

    Only for days whose spans are all stored and have queue waits, since history does not keep queue wait.
    """
    sql, parameters = observations([dimension[0]], seen, folded_names.of(database))
    rows = database.rows(
        f"""
        SELECT day, sum(queue_wait_ms)::float8, sum(coalesce(fine_ms, judged_ms)) FROM ({sql}) AS o {OBSERVED}
        WHERE dimension_key = %(key)s
          AND NOT day = ANY(%(dropped)s::date[])
        GROUP BY 1 HAVING count(queue_wait_ms) > 0
        """,
        parameters | window.parameters() | {"key": dimension[1], "dropped": dimension_attributes.dropped(database)},
    )
    return {day: waited / (waited + worked) if waited else 0.0 for day, waited, worked in sorted(rows)}


def _parameters(window: Window, days: Sequence[date], fresh: Sequence[date]) -> dict[str, Any]:
    counted = [day for day in days if day not in set(fresh)]
    return {"first": window.start.date(), "counted": counted, "uncounted": list(fresh), "project": window.project}


def _fresh_days(window: Window, uncounted: Sequence[date]) -> list[date]:
    """Return the days of a window that are read from spans."""
    closed, left = set(window.closed_days), set(uncounted)
    return [day for day in window.days if day in left or day not in closed]


def _rows(results: list[tuple]) -> Rows:
    sent = dict(zip(_COLUMNS, map(b"".join, zip(*results, strict=True)), strict=True))
    read: dict[str, np.ndarray] = {name: np.frombuffer(sent[name], dtype) for name, (_, dtype) in _COLUMNS.items()}
    floats = {name: read.pop(name).astype(np.float64) for name in ("sum_ms", "min_ms", "max_ms")}
    whole = {name: (of["value"] if of.dtype.names else of).astype(np.int64) for name, of in read.items()}
    return _merged(Rows(**floats, ends=np.cumsum(whole.pop("sizes")), **whole))


def _merged(rows: Rows) -> Rows:
    """Add up rows of the same day and dimension, from several parts or projects."""
    name = rows.day * (rows.dimension.max() + 1) + rows.dimension
    _, first, of_row = np.unique(name, return_index=True, return_inverse=True)
    if len(first) == len(name):
        return rows
    lowest, width = rows.buckets.min(), np.ptp(rows.buckets) + 1
    of_element = np.repeat(of_row, np.diff(rows.ends, prepend=0))
    cells, place = np.unique(of_element * width + rows.buckets - lowest, return_inverse=True)
    together = np.argsort(of_row, kind="stable")
    starts = np.searchsorted(of_row[together], np.arange(len(first)))
    return Rows(
        rows.dimension[first],
        rows.day[first],
        np.add.reduceat(rows.count[together], starts),
        np.add.reduceat(rows.sum_ms[together], starts),
        np.minimum.reduceat(rows.min_ms[together], starts),
        np.maximum.reduceat(rows.max_ms[together], starts),
        np.add.reduceat(rows.fine_count[together], starts),
        np.cumsum(np.bincount(cells // width)),
        cells % width + lowest,
        # As floats, sums are exact up to 2**53 spans.
        np.bincount(place, weights=rows.spans).astype(np.int64),
    )
