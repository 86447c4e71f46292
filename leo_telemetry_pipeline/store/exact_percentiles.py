"""Exact percentiles of each dimension over a window, computed by PostgreSQL.

Belongs here: ``percentile_cont``, which interpolates linearly. Does not: the same from histograms.
"""

from collections.abc import Sequence

from leo_telemetry_pipeline.dimension import OTHER_KEYS
from leo_telemetry_pipeline.store import folded_names
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.dimensions import OBSERVED, observations, to_pool
from leo_telemetry_pipeline.store.history.histograms import by_hashes
from leo_telemetry_pipeline.store.server.database import Database


def of_window(database: Database, window: Window, types: Sequence[str], seen: Sequence[str]) -> list[tuple]:
    """Measure each dimension of some types over a window; keys beyond MOST_KEYS of a type are pooled.

    Rows: dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms, p99_ms, sum_ms, queue_p50_ms.
    """
    rows = _measured(database, window, types, seen, None)
    pooled = set(to_pool({row[:2]: row[2] for row in rows}))
    for dimension_type in {of_type for of_type, _ in pooled}:
        kept = [row[1] for row in rows if row[0] == dimension_type and row[:2] not in pooled]
        rows = [row for row in rows if row[0] != dimension_type]
        rows += _measured(database, window, [dimension_type], seen, kept)
    return sorted(rows, key=lambda row: row[:2])


def _measured(
    database: Database, window: Window, types: Sequence[str], seen: Sequence[str], kept: Sequence[str] | None
) -> list[tuple]:
    sql, parameters = observations(types, seen, folded_names.of(database))
    with database.transaction() as cursor:
        by_hashes(cursor)
        cursor.execute(
            PERCENTILES.format(observations=sql),
            parameters | window.parameters() | {"kept": None if kept is None else list(kept)},
        )
        return cursor.fetchall()


# Times are collected per dimension before they are sorted: the workers of a cluster then send one row per dimension
# and shard instead of one per span.
PERCENTILES = f"""
SELECT dimension_type, dimension_key, n, p[1], p[2], p[3], p[4], sum_ms,
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FROM unnest(queue_waits) AS ms)
FROM (
    SELECT dimension_type,
           CASE WHEN %(kept)s::text[] IS NULL OR dimension_key = ANY(%(kept)s) THEN dimension_key
                ELSE '{OTHER_KEYS}' END AS dimension_key,
           count(*) AS n, sum(coalesce(fine_ms, judged_ms)) AS sum_ms, array_agg(judged_ms) AS times,
           array_agg(queue_wait_ms) FILTER (WHERE queue_wait_ms IS NOT NULL) AS queue_waits
    FROM ({{observations}}) AS o {OBSERVED}
    GROUP BY 1, 2
) AS collected CROSS JOIN LATERAL (
    SELECT percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY ms) AS p FROM unnest(times) AS ms
) AS sorted
"""
