"""Daily histograms of each dimension in logarithmic buckets.

Belongs here: counting days, and sealing a day before its spans may be dropped.
Does not: which days are stale (staleness), reading history (buckets, daily), aggregating days (blocks), percentiles
(analysis.bucket_percentiles).

Bucket i holds durations d in ms with GAMMA**(i-1) < d <= GAMMA**i, ZERO_BUCKET holds zeros: a relative error of at most
0.5 % (Masson, Rim and Lee, "DDSketch", VLDB 2019).
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import psycopg2.extensions
from psycopg2.extras import execute_values

from leo_telemetry_pipeline.daily_rows import ZERO_BUCKET
from leo_telemetry_pipeline.dimension import OTHER_KEYS
from leo_telemetry_pipeline.store import folded_names
from leo_telemetry_pipeline.store.days import Window, after, midnight, whole
from leo_telemetry_pipeline.store.dimensions import MOST_KEYS, OBSERVED, observations, types_among, types_to_judge
from leo_telemetry_pipeline.store.history import blocks, open_counts, span_counts, uncounted_days
from leo_telemetry_pipeline.store.history.open_counts import Open
from leo_telemetry_pipeline.store.history.span_counts import ALL_TYPES
from leo_telemetry_pipeline.store.history.watermark import Fence, lock, now, watermark
from leo_telemetry_pipeline.store.server.database import Database

ERROR = 0.005
GAMMA = 1 + ERROR
# In whole ms, a duration of 0 means less than this.
LEAST_MS = 0.5
# The ranks, as shares of the spans of a day, of its center and of its tail, the slowest fifth.
CENTRAL = (0.1, 0.9)
SLOWEST = (0.8, 1.0)
# Arguments of analysis.levels.of_rows.
LEVELS = (GAMMA, CENTRAL, SLOWEST)

_OBSERVED_MS = f"SELECT *, coalesce(fine_ms, judged_ms::float8) AS ms FROM ({{observations}}) AS o {OBSERVED}"
_BUCKET = f"CASE WHEN ms < 0.0005 THEN {ZERO_BUCKET} ELSE ceil(ln(ms) / ln({GAMMA!r}::float8))::integer END"

# Spans are grouped by hashing (``by_hashes``), and only the buckets of each row are sorted: comparing names is slow.
COUNTED = f"""
WITH bucketed AS (
    SELECT dimension_key, dimension_type, project, day, {_BUCKET} AS bucket,
           count(*) AS n, sum(ms) AS total, min(ms) AS least, max(ms) AS most, count(fine_ms) AS fine
    FROM ({_OBSERVED_MS}) AS o
    GROUP BY 1, 2, 3, 4, 5
), summed AS (
    SELECT day, dimension_type, dimension_key, project, sum(n)::bigint AS count, sum(total) AS sum_ms,
           min(least) AS min_ms, max(most) AS max_ms, sum(fine)::bigint AS fine_count, array_agg(bucket) AS buckets,
           array_agg(n) AS counts
    FROM bucketed
    GROUP BY dimension_key, dimension_type, project, day
)
SELECT day, dimension_type, dimension_key, project, count, sum_ms, min_ms, max_ms, fine_count, sorted.buckets,
       sorted.counts
FROM summed CROSS JOIN LATERAL (
    SELECT array_agg(bucket ORDER BY bucket) AS buckets, array_agg(n ORDER BY bucket) AS counts
    FROM unnest(summed.buckets, summed.counts) AS b (bucket, n)
) AS sorted
"""
# The same with the buckets of all spans in memory, about 20 bytes per span. The workers of a cluster then send one row
# per dimension, day and shard, where COUNTED sends one per bucket: of few spans, almost one per span. Citus 14 cannot
# plan a GROUP BY in a LATERAL subquery.
COUNTED_IN_MEMORY = f"""
SELECT day, dimension_type, dimension_key, project, count, sum_ms, min_ms, max_ms, fine_count, sorted.buckets,
       sorted.counts
FROM (
    SELECT dimension_key, dimension_type, project, day, count(*) AS count, sum(ms) AS sum_ms, min(ms) AS min_ms,
           max(ms) AS max_ms, count(fine_ms) AS fine_count, array_agg({_BUCKET}) AS of_spans
    FROM ({_OBSERVED_MS}) AS o
    GROUP BY 1, 2, 3, 4
) AS summed CROSS JOIN LATERAL (
    SELECT array_agg(bucket ORDER BY bucket) AS buckets, array_agg(n ORDER BY bucket) AS counts
    FROM (
        SELECT DISTINCT of_span AS bucket, count(*) OVER (PARTITION BY of_span) AS n FROM unnest(of_spans) AS of_span
    ) AS b
) AS sorted
"""
MOST_IN_MEMORY = 1_000_000

# P50 of a day, by the rule of analysis.bucket_percentiles.
_AT_RANK = f"""sum(
    CASE WHEN bucket <= {ZERO_BUCKET} THEN 0
         ELSE {GAMMA!r}::float8 ^ (bucket - 1) * (1 + {ERROR!r} * ({{rank}} - upto + n + 0.5::float8) / n) END
) FILTER (WHERE {{rank}} >= upto - n AND {{rank}} < upto)"""
MEDIAN = f"""(
    SELECT least(max_ms, greatest(
        min_ms, ({_AT_RANK.format(rank="(count - 1) / 2")} + {_AT_RANK.format(rank="count / 2")}) / 2))
    FROM (
        SELECT bucket, n, (sum(n) OVER (ORDER BY bucket))::bigint AS upto FROM unnest(buckets, counts) AS b (bucket, n)
    ) AS sums
)"""

# Mean of the log durations of a day between two ranks, by the rule of analysis.bucket_percentiles.
_MEAN_LOG = f"""(
    SELECT sum(weight * CASE WHEN bucket <= {ZERO_BUCKET} THEN ln({LEAST_MS!r}::float8)
                             ELSE (bucket - 0.5) * ln({GAMMA!r}::float8) END) / sum(weight)
    FROM (
        SELECT bucket, greatest(0, least(upto, {{1}}::float8 * count) - greatest(upto - n, {{0}}::float8 * count))
                       AS weight
        FROM (
            SELECT bucket, n, sum(n) OVER (ORDER BY bucket) AS upto FROM unnest(buckets, counts) AS b (bucket, n)
        ) AS sums
    ) AS weighted
)"""
CENTER, TAIL = (_MEAN_LOG.format(*ranks) for ranks in (CENTRAL, SLOWEST))


def by_hashes(cursor: psycopg2.extensions.cursor) -> None:
    """Disable sorting for the rest of a transaction, so that spans are grouped by hashing.

    The planner overestimates the lookup of handoffs so much that sorting and hashing appear to cost the same.
    """
    cursor.execute("SET LOCAL enable_sort = off")


def rebuild(
    database: Database,
    days: Sequence[date],
    types: Sequence[str],
    seen: Sequence[str],
    fence: Fence | None = None,
    *,
    part_day: datetime | None = None,
) -> int:
    """Recount days, small ones together in one transaction; return how many rows were written.

    The day that contains the moment ``part_day`` is counted only up to that moment. ``fence`` is called last in each
    transaction, and raises if the caller may no longer write.
    """
    part = part_day.date() if part_day is not None else None
    bound = now(database)
    written = sum(
        _recount(database, batch, types, seen, bound, fence)
        for batch in span_counts.batches(database, [day for day in days if day != part])
    )
    if part is not None and part in days:
        written += _recount(database, [part], types, seen, bound, fence, part_day)
    return written


def _recount(
    database: Database,
    days: Sequence[date],
    types: Sequence[str],
    seen: Sequence[str],
    bound: datetime,
    fence: Fence | None,
    until: datetime | None = None,
) -> int:
    with database.transaction() as cursor:
        lock(cursor, days)
        # Take the watermark first: spans committed by now are counted; all others are younger than the watermark.
        complete_before = watermark(cursor, bound)
        window = Window(midnight(days[0]), until or after(days[-1]))
        pieces = list(uncounted_days.pieces(cursor, window, days))
        still_open = open_counts.of_days(cursor, days, uncounted_days.sealed_before(cursor, days))
        written = _count(cursor, days, types, seen, 0, pieces, is_partial=until is not None)
        _note(cursor, types, complete_before, until, still_open)
        if fence is not None:
            fence(cursor)
    return written


def seal(database: Database, day: date) -> int | None:
    """Make a day's history final for the spans stored by now, so that they may be dropped; return the part's number.

    Return None if there is nothing new to seal. Later spans are counted separately. All dimension types of the day and
    of thresholds are recounted in the same transaction.
    """
    bound = now(database)
    with database.transaction() as cursor:
        lock(cursor, [day])
        sealed_before = watermark(cursor, bound)
        last, since = _last_part(cursor, day)
        still_open = open_counts.of_days(cursor, [day], {day: sealed_before})
        new, later = _piece(day, since, sealed_before), _piece(day, sealed_before, None)
        spans = span_counts.count_days(cursor, [day], last + 1, [new])
        if not spans:
            return None
        types, seen = _types(cursor, day)
        _count(cursor, [day], types, seen, last + 1, [new])
        _count(cursor, [day], types, seen, 0, [later])
        _note(cursor, types, sealed_before, None, still_open)
        cursor.execute(
            "INSERT INTO telemetry_sealed_days (day, part, sealed_before, spans) VALUES (%s, %s, %s, %s)",
            (day, last + 1, sealed_before, spans),
        )
    return last + 1


def count_again(database: Database, day: date) -> None:
    """Recount a day for all its types."""
    with database.transaction() as cursor:
        lock(cursor, [day])
        _, sealed_before = _last_part(cursor, day)
        # The meaning of a bare word depends on the span types of the day.
        span_counts.count_days(cursor, [day], 0, [_piece(day, sealed_before, None)])
        types, seen = _types(cursor, day)
    rebuild(database, [day], types, seen)


def _piece(day: date, created_from: datetime | None, created_to: datetime | None) -> dict[str, object]:
    return whole(day).parameters() | {"created_from": created_from, "created_to": created_to}


def _last_part(cursor: psycopg2.extensions.cursor, day: date) -> tuple[int, datetime | None]:
    cursor.execute(
        "SELECT coalesce(max(part), 0), max(sealed_before) FROM telemetry_sealed_days WHERE day = %s", (day,)
    )
    return cursor.fetchone() or (0, None)


def _types(cursor: psycopg2.extensions.cursor, day: date) -> tuple[list[str], list[str]]:
    seen = sorted(span_counts.span_types(cursor, [day]))
    cursor.execute(
        "SELECT dimension_type FROM telemetry_thresholds WHERE is_active"
        " UNION SELECT dimension_type FROM duration_histograms WHERE day = %s",
        (day,),
    )
    return types_to_judge(seen, [name for (name,) in cursor.fetchall()]), seen


def _count(
    cursor: psycopg2.extensions.cursor,
    days: Sequence[date],
    types: Sequence[str],
    seen: Sequence[str],
    part: int,
    pieces: Sequence[dict[str, object]],
    *,
    is_partial: bool = False,
) -> int:
    """Replace one part of the history of days, whose spans are those of ``pieces``; return the number of rows."""
    spans = span_counts.of_pieces(cursor, pieces) if is_partial else span_counts.count_days(cursor, days, part, pieces)
    cursor.execute(
        "DELETE FROM duration_histograms WHERE day = ANY(%s) AND part = %s AND dimension_type = ANY(%s)",
        (list(days), part, list(types)),
    )
    if not is_partial:
        # Fast path: planning the statement takes longer than counting a small day, and a new home's days are empty.
        types = types_among(types, span_counts.span_types(cursor, days, part))
        if not types:
            return 0
    sql, parameters = observations(types, seen, folded_names.read(cursor))
    by_hashes(cursor)
    counted = COUNTED_IN_MEMORY if spans <= MOST_IN_MEMORY else COUNTED
    levels = ", ".join(["NULL::float8"] * 3 if is_partial else (MEDIAN, CENTER, TAIL))
    written = 0
    for piece in pieces:
        cursor.execute(
            "INSERT INTO duration_histograms (day, dimension_type, dimension_key, project, part, count, sum_ms, min_ms,"
            " max_ms, fine_count, buckets, counts, p50_ms, center, tail) SELECT day, dimension_type, dimension_key,"
            f" project, %(part)s, count, sum_ms, min_ms, max_ms, fine_count, buckets, counts, {levels}"
            f" FROM ({counted.format(observations=sql)}) AS counted",
            parameters | piece | {"part": part},
        )
        written += cursor.rowcount
    return written - _pool(cursor, days, part)


def _pool(cursor: psycopg2.extensions.cursor, days: Sequence[date], part: int) -> int:
    """Pool the keys beyond MOST_KEYS of each type and day; return how many rows this saved."""
    parameters: dict[str, object] = {"part": part, "most_keys": MOST_KEYS, "other": OTHER_KEYS}
    cursor.execute(
        "SELECT day, dimension_type FROM duration_histograms WHERE day = ANY(%(days)s) AND part = %(part)s"
        " GROUP BY 1, 2 HAVING count(DISTINCT dimension_key) > %(most_keys)s",
        parameters | {"days": list(days)},
    )
    removed = 0
    for day, dimension_type in cursor.fetchall():
        cursor.execute(_TAKEN_OUT, parameters | {"day": day, "type": dimension_type})
        for rows, *row in cursor.fetchall():
            cursor.execute(
                "INSERT INTO duration_histograms (day, dimension_type, dimension_key, project, part, count, sum_ms,"
                " min_ms, max_ms, fine_count, buckets, counts) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (day, dimension_type, OTHER_KEYS, row[0], part, *row[1:]),
            )
            removed += rows - 1
    return removed


_TAKEN_OUT = """
WITH least AS (
    SELECT dimension_key FROM duration_histograms
    WHERE day = %(day)s AND part = %(part)s AND dimension_type = %(type)s AND dimension_key <> %(other)s
    GROUP BY 1 ORDER BY sum(count) DESC, dimension_key OFFSET %(most_keys)s
), removed AS (
    DELETE FROM duration_histograms
    WHERE day = %(day)s AND part = %(part)s AND dimension_type = %(type)s
      AND (dimension_key = %(other)s OR dimension_key IN (SELECT dimension_key FROM least))
    RETURNING *
), entries AS (
    SELECT project, bucket, sum(n)::bigint AS n FROM removed, unnest(buckets, counts) AS b (bucket, n) GROUP BY 1, 2
), arrays AS (
    SELECT project, array_agg(bucket ORDER BY bucket) AS buckets, array_agg(n ORDER BY bucket) AS counts
    FROM entries GROUP BY 1
)
SELECT count(*), project, sum(count)::bigint, sum(sum_ms), min(min_ms), max(max_ms), sum(fine_count)::bigint,
       arrays.buckets, arrays.counts
FROM removed JOIN arrays USING (project) GROUP BY project, arrays.buckets, arrays.counts
"""


def _note(
    cursor: psycopg2.extensions.cursor,
    types: Sequence[str],
    complete_before: datetime,
    until: datetime | None,
    still_open: Mapping[date, Open],
) -> None:
    blocks.forget(cursor, still_open)
    execute_values(
        cursor,
        """
        INSERT INTO duration_histogram_days
            (day, dimension_type, complete_before, counted_until, open_spans, open_nearby, looked_at) VALUES %s
        ON CONFLICT (day, dimension_type) DO UPDATE
        SET complete_before = excluded.complete_before, counted_until = excluded.counted_until, is_stale = false,
            open_spans = excluded.open_spans, open_nearby = excluded.open_nearby, looked_at = excluded.looked_at
        """,
        [
            (day, dimension_type, complete_before, until, open_.spans, open_.nearby, open_.looked_at)
            for day, open_ in still_open.items()
            for dimension_type in dict.fromkeys([*types, ALL_TYPES])
        ],
        template="(%s, %s, %s, %s::timestamptz, %s, %s::uuid[], %s)",
        page_size=1_000,
    )


def forget_day(cursor: psycopg2.extensions.cursor, day: date) -> None:
    """Mark a day as uncounted; its sealed parts remain."""
    blocks.forget(cursor, [day])
    cursor.execute("DELETE FROM duration_histogram_days WHERE day = %s", (day,))
