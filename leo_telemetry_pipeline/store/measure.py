"""The spans of a window, measured exactly where they are.

Belongs here: counting them, percentiles of each dimension, traces that show a dimension, and all
that is in them.
Does not: what a dimension is (dimensions), the same from daily history (buckets).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from leo_telemetry_pipeline.dimension import OTHER_KEYS, Dimension
from leo_telemetry_pipeline.store.days import Window, after, midnight
from leo_telemetry_pipeline.store.dimensions import MOST_KEYS, OBSERVED, REACH_MS, TRACE_SPANS, observations
from leo_telemetry_pipeline.store.server.database import Database


def count(database: Database, window: Window) -> tuple[int, int]:
    """Return how many spans and traces started in a window."""
    return database.rows(
        "SELECT count(*), count(DISTINCT s.trace_id) FROM workflow_trace_log AS s"
        " WHERE s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s"
        " AND (%(project)s::text IS NULL OR coalesce(s.project, '') = %(project)s)",
        window.parameters(),
    )[0]


def count_skewed(database: Database, window: Window) -> tuple[int, int]:
    """Return (children outside their parent's time by over a second, children with a parent) of a window."""
    return database.rows(
        """
        SELECT count(*) FILTER (WHERE c.start_time_ms < p.start_time_ms - 1000
                                   OR coalesce(c.end_time_ms, c.start_time_ms + c.duration_ms, c.start_time_ms)
                                    > coalesce(p.end_time_ms, p.start_time_ms + p.duration_ms) + 1000), count(*)
        FROM workflow_trace_log AS c JOIN workflow_trace_log AS p
          ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
          AND p.start_time_ms >= %(from_ms)s - %(reach)s AND p.start_time_ms < %(to_ms)s + %(reach)s
        WHERE c.start_time_ms >= %(from_ms)s AND c.start_time_ms < %(to_ms)s
          AND (%(project)s::text IS NULL OR coalesce(c.project, '') = %(project)s)
        """,
        window.parameters() | {"reach": REACH_MS},
    )[0]


def exact_p50(database: Database, window: Window, types: Sequence[str], seen: Sequence[str]) -> list[tuple]:
    """Measure each dimension of some types over a window, exactly.

    Rows: dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms, p99_ms, sum_ms, queue_p50_ms,
    by PostgreSQL's ``percentile_cont``, which interpolates linearly between the two nearest ranks. The keys that a
    type has beyond MOST_KEYS are measured together.
    """
    rows = _exact_p50(database, window, types, seen, None)
    for dimension_type, number in Counter(row[0] for row in rows).items():
        if number > MOST_KEYS:
            of_type = sorted((row for row in rows if row[0] == dimension_type), key=lambda row: (-row[2], row[1]))
            kept = [row[1] for row in of_type[:MOST_KEYS]]
            rows = [row for row in rows if row[0] != dimension_type]
            rows += _exact_p50(database, window, [dimension_type], seen, kept)
    return sorted(rows, key=lambda row: row[:2])


def _exact_p50(
    database: Database, window: Window, types: Sequence[str], seen: Sequence[str], kept: Sequence[str] | None
) -> list[tuple]:
    sql, parameters = observations(types, seen)
    return database.rows(
        f"""
        SELECT dimension_type, dimension_key, n, p[1], p[2], p[3], p[4], sum_ms, queue_p50_ms FROM (
            SELECT dimension_type,
                   CASE WHEN %(kept)s::text[] IS NULL OR dimension_key = ANY(%(kept)s) THEN dimension_key
                        ELSE '{OTHER_KEYS}' END AS dimension_key,
                   count(*) AS n, sum(judged_ms)::double precision AS sum_ms,
                   percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY judged_ms) AS p,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY queue_wait_ms) AS queue_p50_ms
            FROM ({sql}) AS o {OBSERVED}
            GROUP BY 1, 2) AS measured
        """,
        parameters | window.parameters() | {"kept": None if kept is None else list(kept)},
    )


def evidence(
    database: Database,
    window: Window,
    dimensions: Sequence[Dimension],
    seen: Sequence[str],
    *,
    newest_first: bool = False,
) -> dict[Dimension, list[str]]:
    """Return up to three traces of each dimension, those with its longest judged times first.

    With ``newest_first`` the days of the window are looked at from its end on, and no further than needed: three are
    quickly found among many.
    """
    pieces = _days_backwards(window) if newest_first else [window]
    return _traces(database, pieces, dimensions, seen, "longest_ms DESC, trace_id", 3)


def sample(
    database: Database, window: Window, dimensions: Sequence[Dimension], seen: Sequence[str], most: int
) -> dict[Dimension, list[str]]:
    """Return up to ``most`` traces of each dimension, long and short ones alike, of the newest days that have them."""
    # By chance, but the same for the same traces: their ids are random.
    return _traces(database, _days_backwards(window), dimensions, seen, "md5(trace_id::text)", most)


def _days_backwards(window: Window) -> list[Window]:
    return [replace(window, start=midnight(day)).up_to(after(day)) for day in reversed(window.days)]


def _traces(
    database: Database,
    pieces: Sequence[Window],
    dimensions: Sequence[Dimension],
    seen: Sequence[str],
    order: str,
    most: int,
) -> dict[Dimension, list[str]]:
    found: dict[Dimension, list[str]] = {}
    for piece in pieces:
        wanted = [dimension for dimension in dimensions if len(found.get(dimension, ())) < most]
        if not wanted:
            break
        for dimension, traces in _traces_of(database, piece, wanted, seen, order, most):
            known = found.setdefault(dimension, [])
            known += [trace for trace in traces if trace not in known][: most - len(known)]
    return found


def _traces_of(
    database: Database,
    window: Window,
    dimensions: Sequence[Dimension],
    seen: Sequence[str],
    order: str,
    most: int,
) -> list[tuple[Dimension, list[str]]]:
    sql, parameters = observations(sorted({dimension_type for dimension_type, _ in dimensions}), seen)
    rows = database.rows(
        f"""
        SELECT dimension_type, dimension_key, (array_agg(trace_id::text ORDER BY {order}))[1:%(most)s]
        FROM (SELECT dimension_type, dimension_key, trace_id, max(judged_ms) AS longest_ms
              FROM ({sql}) AS o {OBSERVED}
              WHERE (dimension_type, dimension_key) IN (SELECT * FROM unnest(%(wanted_types)s, %(wanted_keys)s))
              GROUP BY 1, 2, 3) AS of_traces
        GROUP BY 1, 2
        """,
        parameters
        | window.parameters()
        | {"wanted_types": [a for a, _ in dimensions], "wanted_keys": [b for _, b in dimensions], "most": most},
    )
    return [((dimension_type, key), traces) for dimension_type, key, traces in rows]


def spans_of(database: Database, window: Window, traces: Sequence[str]) -> list[tuple]:
    """Return the spans of some traces that are seen in a window, each as SPAN_COLUMNS of store.dimensions."""
    return database.rows(TRACE_SPANS, window.parameters() | {"reach": REACH_MS, "traces": list(traces)})
