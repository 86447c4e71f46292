"""Sample traces of a dimension, and their spans.

Belongs here: choosing stored traces. Does not: analysing them (analysis).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from leo_telemetry_pipeline.dimension import DaySample, Dimension
from leo_telemetry_pipeline.store import folded_names
from leo_telemetry_pipeline.store.days import Window, after, midnight, started_on
from leo_telemetry_pipeline.store.dimensions import IN_WINDOW, OBSERVED, REACH_MS, observations, trace_spans
from leo_telemetry_pipeline.store.server.database import Database


def longest(
    database: Database,
    window: Window,
    dimensions: Sequence[Dimension],
    seen: Sequence[str],
    *,
    newest_first: bool = False,
    most: int = 3,
) -> dict[Dimension, list[str]]:
    """Return up to ``most`` traces of each dimension: those with its longest judged times, longest first.

    ``newest_first`` reads the window day by day from its end, and stops at ``most``, which is faster.
    """
    pieces = _days_backwards(window) if newest_first else [window]
    return _traces(database, pieces, dimensions, seen, "longest_ms DESC, trace_id", most)


def nearest(
    database: Database, window: Window, dimension: Dimension, seen: Sequence[str], judged_ms: float, most: int
) -> list[str]:
    """Return the traces of a dimension whose judged times are closest to a time."""
    order = f"abs(longest_ms - {float(judged_ms)!r}), trace_id"
    return _traces(database, [window], [dimension], seen, order, most).get(dimension, [])


def of_days(
    database: Database,
    window: Window,
    days: Sequence[date],
    dimensions: Sequence[Dimension],
    seen: Sequence[str],
    most: int,
) -> dict[date, dict[Dimension, DaySample]]:
    """Return a sample of the traces of each dimension on each of some days of a window.

    It takes one trace from each of ``most`` equal groups by judged time: the one with the lowest hash, so that
    dimensions with the same traces share most of their samples.
    """
    types = sorted({dimension_type for dimension_type, _ in dimensions})
    within = f"{IN_WINDOW} AND ({started_on(days)})"
    sql, parameters = observations(types, seen, folded_names.of(database), within)
    rows = database.rows(
        f"""
        SELECT day, dimension_type, dimension_key, count(*),
               percentile_cont(0.5) WITHIN GROUP (ORDER BY longest_ms),
               array_agg(trace_id::text ORDER BY part) FILTER (WHERE place = 1)
        FROM (
            SELECT parts.*, row_number() OVER (PARTITION BY day, dimension_type, dimension_key, part
                                               ORDER BY md5(trace_id::text)) AS place
            -- Not ntile, whose larger groups come first.
            FROM (SELECT of_traces.*, (row_number() OVER (PARTITION BY day, dimension_type, dimension_key
                                                          ORDER BY longest_ms, trace_id) - 1)
                         * least(%(most)s, count(*) OVER (PARTITION BY day, dimension_type, dimension_key))
                         / count(*) OVER (PARTITION BY day, dimension_type, dimension_key) AS part
                  FROM (SELECT day, dimension_type, dimension_key, trace_id, max(judged_ms) AS longest_ms
                        FROM ({sql}) AS o {OBSERVED}
                        WHERE (dimension_type, dimension_key)
                              IN (SELECT * FROM unnest(%(wanted_types)s::text[], %(wanted_keys)s::text[]))
                        GROUP BY 1, 2, 3, 4) AS of_traces) AS parts) AS ranked
        GROUP BY 1, 2, 3
        """,
        parameters
        | window.parameters()
        | {"wanted_types": [a for a, _ in dimensions], "wanted_keys": [b for _, b in dimensions], "most": most},
    )
    samples: dict[date, dict[Dimension, DaySample]] = {}
    for day, dimension_type, key, *sample in rows:
        samples.setdefault(day, {})[dimension_type, key] = DaySample(*sample)
    return samples


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
    samples: dict[Dimension, list[str]] = {}
    for piece in pieces:
        wanted = [dimension for dimension in dimensions if len(samples.get(dimension, ())) < most]
        if not wanted:
            break
        for dimension, traces in _traces_of(database, piece, wanted, seen, order, most):
            known = samples.setdefault(dimension, [])
            known += [trace for trace in traces if trace not in known][: most - len(known)]
    return samples


def _traces_of(
    database: Database, window: Window, dimensions: Sequence[Dimension], seen: Sequence[str], order: str, most: int
) -> list[tuple[Dimension, list[str]]]:
    types = sorted({dimension_type for dimension_type, _ in dimensions})
    sql, parameters = observations(types, seen, folded_names.of(database))
    rows = database.rows(
        f"""
        SELECT dimension_type, dimension_key, (array_agg(trace_id::text ORDER BY {order}))[1:%(most)s]
        FROM (SELECT dimension_type, dimension_key, trace_id, max(coalesce(fine_ms, judged_ms)) AS longest_ms
              FROM ({sql}) AS o {OBSERVED}
              WHERE (dimension_type, dimension_key)
                    IN (SELECT * FROM unnest(%(wanted_types)s::text[], %(wanted_keys)s::text[]))
              GROUP BY 1, 2, 3) AS of_traces
        GROUP BY 1, 2
        """,
        parameters
        | window.parameters()
        | {"wanted_types": [a for a, _ in dimensions], "wanted_keys": [b for _, b in dimensions], "most": most},
    )
    return [((dimension_type, key), traces) for dimension_type, key, traces in rows]


def spans_of(database: Database, window: Window, traces: Sequence[str]) -> list[tuple]:
    """Return the spans of traces around a window, with the columns of trace_spans."""
    folds = folded_names.of(database)
    parameters = window.parameters() | folds.parameters() | {"reach": REACH_MS, "traces": list(traces)}
    return database.rows(trace_spans(folds), parameters)
