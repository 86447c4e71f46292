"""How dimensions went from day to day: percentiles of every day, a row a dimension and a column a day.

Belongs here: series of days, the days on which time or volume changed. Does not: reading days (store.history.daily),
the detector (analysis.changes), printing. Imports no pandas, so that commands answer at once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from leo_telemetry_pipeline.analysis import changes
from leo_telemetry_pipeline.analysis.bucket_percentiles import QUANTILES, percentiles
from leo_telemetry_pipeline.analysis.changes import ChangePoint, Series, day_number
from leo_telemetry_pipeline.daily_rows import Rows

Detector = Callable[[Sequence[Series]], list[list[ChangePoint]]]


@dataclass(frozen=True)
class Daily:
    """Series of days, each array of the shape [dimensions, days].

    Where a day has no span, ``count`` and ``sum_ms`` are 0 and the percentiles, in ms, are NaN.
    """

    count: np.ndarray
    sum_ms: np.ndarray
    p50_ms: np.ndarray
    p90_ms: np.ndarray
    p95_ms: np.ndarray
    p99_ms: np.ndarray


@dataclass(frozen=True)
class Turns:
    """What changed of one dimension, oldest first: how long it takes, and how often it runs."""

    time: tuple[ChangePoint, ...]
    volume: tuple[ChangePoint, ...]


def daily(portions: Iterable[Rows], dimensions: int, days: int, gamma: float) -> Daily:
    """Return the series of so many dimensions and days; what is read is held a portion at a time."""
    shape = dimensions, days
    count, sum_ms = np.zeros(shape, np.int64), np.zeros(shape)
    of_days = np.full((len(QUANTILES), *shape), np.nan)
    for rows in portions:
        at = rows.dimension, rows.day
        count[at], sum_ms[at] = rows.count, rows.sum_ms
        found = percentiles(QUANTILES, rows.ends, rows.buckets, rows.spans, gamma)
        of_days[:, *at] = np.clip(found, rows.min_ms, rows.max_ms)
    return Daily(count, sum_ms, *of_days)


def turns(found: Daily, first: date, closed: int, find_all: Detector = changes.find_all) -> list[Turns]:
    """Return what changed of each dimension, in the first ``closed`` days from ``first`` on.

    The same detector looks at P50s and at the number of spans, on the days that have spans.
    """
    count, p50_ms = found.count[:, :closed], found.p50_ms[:, :closed]
    there = [np.flatnonzero(row) for row in count]
    epoch = day_number(first)
    times = [Series(p50_ms[row, days], count[row, days].astype(float), days + epoch) for row, days in enumerate(there)]
    volumes = [Series(count[row, days].astype(float), None, days + epoch) for row, days in enumerate(there)]
    both = zip(find_all(times), find_all(volumes), strict=True)
    return [Turns(*(tuple(sorted(found, key=lambda one: one.at)) for found in each)) for each in both]
