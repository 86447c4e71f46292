"""Longest of the recent spans of dimensions.

Belongs here: the query on daily history. Does not: time-outs that follow from it (analysis.time_outs).
"""

from collections.abc import Collection
from dataclasses import dataclass

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class Longest:
    """Number of recent spans of a dimension, and the judged time in ms of the longest one."""

    spans: int
    longest_ms: float


def of(database: Database, dimensions: Collection[Dimension], spans_most: int) -> dict[Dimension, Longest]:
    """Return the longest span of the latest days, back to the day that completes ``spans_most`` spans."""
    names = sorted(dimensions)
    rows = database.rows(
        """
        WITH days AS (
            SELECT dimension_type, dimension_key, sum(count) AS spans, max(max_ms) AS longest_ms,
                   sum(sum(count)) OVER (PARTITION BY dimension_type, dimension_key ORDER BY day DESC) AS upto
            FROM duration_histograms
            WHERE (dimension_type, dimension_key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
            GROUP BY dimension_type, dimension_key, day
        )
        SELECT dimension_type, dimension_key, sum(spans)::bigint, max(longest_ms)
        FROM days WHERE upto - spans < %s GROUP BY 1, 2
        """,
        ([of_type for of_type, _ in names], [key for _, key in names], spans_most),
    )
    return {(of_type, key): Longest(spans, longest_ms) for of_type, key, spans, longest_ms in rows}
