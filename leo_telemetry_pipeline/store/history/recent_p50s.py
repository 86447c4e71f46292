"""P50s of closed days, for small charts of a few dimensions.

Belongs here: the query on the P50s that daily history stores. Does not: other percentiles (daily, which reads buckets).
"""

from collections.abc import Sequence
from datetime import date

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store.days import DAY
from leo_telemetry_pipeline.store.server.database import Database


def of(
    database: Database, dimensions: Sequence[Dimension], last: date, days: int
) -> dict[Dimension, list[float | None]]:
    """Return the P50s in ms of the ``days`` days up to ``last``, oldest first, None for a day without spans.

    A day with several projects or sealed parts has several P50s: their mean, weighted by spans, stands for it.
    """
    first = last - (days - 1) * DAY
    wanted = [first + number * DAY for number in range(days)]
    rows = database.rows(
        """
        SELECT dimension_type, dimension_key, day - %(first)s, sum(p50_ms * count) / sum(count)
        FROM duration_histograms
        -- Three lists, so that the index finds each day and dimension; pairs would read all dimensions of a type.
        WHERE day = ANY(%(days)s::date[]) AND dimension_type = ANY(%(types)s) AND dimension_key = ANY(%(keys)s)
          AND p50_ms IS NOT NULL
        GROUP BY 1, 2, 3
        """,
        {
            "first": first,
            "days": wanted,
            "types": sorted({of_type for of_type, _ in dimensions}),
            "keys": sorted({key for _, key in dimensions}),
        },
    )
    found: dict[Dimension, list[float | None]] = {name: [None] * days for name in dimensions}
    for of_type, key, place, p50_ms in rows:
        if (of_type, key) in found:
            found[of_type, key][place] = float(p50_ms)
    return found
