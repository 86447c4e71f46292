"""The P50s of all weeks of a history: what the rule "P50 of seven days over a limit" looked at, day after day.

Belongs here: weeks from days by bucket, and when a limit alarmed. Does not: reading days (store.history.daily),
bootstrapped weeks (alarm_simulation), which limit to suggest (tuning). Imports no pandas.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from leo_telemetry_pipeline.analysis.bucket_percentiles import percentiles
from leo_telemetry_pipeline.daily_rows import Rows

WEEK = 7


def weeks(portions: Iterable[Rows], dimensions: int, days: int, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return spans and P50 in ms of the seven days that end with each day, both of the shape [dimensions, days].

    ``portions`` as ``store.history.daily.read`` yields them. 0 spans and NaN where there is none, and in the first six
    days, whose weeks began before.
    """
    counts, p50_ms = np.zeros((dimensions, days), np.int64), np.full((dimensions, days), np.nan)
    for dimension, low, by_day in _tables(list(portions), days):
        upto = np.cumsum(by_day, axis=0)
        week = upto[WEEK - 1 :] - np.vstack([np.zeros_like(upto[:1]), upto[:-WEEK]])
        row, bucket = np.nonzero(week)
        ends = np.flatnonzero(np.diff(row, append=-1)) + 1
        there = row[ends - 1]
        on = dimension, there + WEEK - 1
        counts[on] = week[there].sum(axis=1)
        p50_ms[on] = percentiles((0.5,), ends, bucket + low, week[row, bucket], gamma)[0]
    return counts, p50_ms


def _tables(portions: list[Rows], days: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield each dimension with its lowest bucket and its spans of the shape [days, buckets from there on]."""
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
    """Count how often the P50 of a week came over a limit; it stays one alarm until a week is not over any more."""
    over = p50_ms[np.isfinite(p50_ms)] > limit_ms
    return int(np.count_nonzero(over & ~np.concatenate(([False], over[:-1]))))
