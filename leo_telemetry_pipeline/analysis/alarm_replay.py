"""Replay of the alarm rule "P50 of seven days over a limit" on the daily history.

Belongs here: weekly P50s from daily histograms, counting alarms. Does not: reading days (store.history.daily),
simulated weeks (alarm_simulation), which limit to suggest (tuning). Imports no pandas.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from leo_telemetry_pipeline.analysis.bucket_percentiles import percentiles
from leo_telemetry_pipeline.daily_rows import Rows
from leo_telemetry_pipeline.resolution import WHOLE_MS

WEEK = 7


def weeks(portions: Iterable[Rows], dimensions: int, days: int, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return span counts and P50s in ms of the seven days ending on each day, both of shape [dimensions, days].

    ``portions``: from ``store.history.daily.read``. Weeks without spans, and the first six days, have count 0 and P50
    NaN.
    """
    counts, p50_ms = np.zeros((dimensions, days), np.int64), np.full((dimensions, days), np.nan)
    for dimension, low, by_day in _tables(list(portions), days):
        cumulative = np.cumsum(by_day, axis=0)
        week = cumulative[WEEK - 1 :] - np.vstack([np.zeros_like(cumulative[:1]), cumulative[:-WEEK]])
        row, bucket = np.nonzero(week)
        ends = np.flatnonzero(np.diff(row, append=-1)) + 1
        not_empty = row[ends - 1]
        cells = dimension, not_empty + WEEK - 1
        counts[cells] = week[not_empty].sum(axis=1)
        p50_ms[cells] = percentiles((0.5,), ends, bucket + low, week[row, bucket], gamma, WHOLE_MS)[0]
    return counts, p50_ms


def _tables(portions: list[Rows], days: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield each dimension, its lowest bucket, and its span counts of shape [days, buckets from the lowest]."""
    if not portions:
        return
    dimension, day, buckets, spans = (
        np.concatenate([getattr(rows, name) for rows in portions]) for name in ("dimension", "day", "buckets", "spans")
    )
    sizes = np.concatenate([np.diff(rows.ends, prepend=0) for rows in portions])
    of_dimension, of_day = np.repeat(dimension, sizes), np.repeat(day, sizes)
    order = np.argsort(of_dimension, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(of_dimension[order])) + 1):
        low = int(buckets[at].min())
        table = np.zeros((days, int(buckets[at].max()) - low + 1), np.int64)
        table[of_day[at], buckets[at] - low] = spans[at]
        yield int(of_dimension[at[0]]), low, table


def alarms(p50_ms: np.ndarray, limit_ms: float) -> int:
    """Count how often the weekly P50 rose above a limit; consecutive weeks above it are one alarm."""
    over = p50_ms[np.isfinite(p50_ms)] > limit_ms
    return int(np.count_nonzero(over & ~np.concatenate(([False], over[:-1]))))
