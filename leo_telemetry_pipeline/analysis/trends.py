"""Daily trends of dimensions: percentiles per day, one row per dimension and one column per day.

Belongs here: daily series, and the days on which duration or volume changed. Does not: reading days
(store.history.daily), the detector (changes), printing. Imports no pandas, so that commands start fast.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from leo_telemetry_pipeline.analysis import changes
from leo_telemetry_pipeline.analysis.bucket_percentiles import QUANTILES, percentiles
from leo_telemetry_pipeline.analysis.changes import ChangePoint, Series, day_number
from leo_telemetry_pipeline.daily_rows import Rows, at_coarsest, resolution_of

Detector = Callable[[Sequence[Series]], list[list[ChangePoint]]]


@dataclass(frozen=True)
class Daily:
    """Daily series; each array has the shape [dimensions, days].

    On days without spans, ``count``, ``sum_ms`` and ``fine_count`` are 0 and the percentiles, in ms, are NaN.
    """

    count: np.ndarray
    sum_ms: np.ndarray
    p50_ms: np.ndarray
    p90_ms: np.ndarray
    p95_ms: np.ndarray
    p99_ms: np.ndarray
    fine_count: np.ndarray


@dataclass(frozen=True)
class DimensionChanges:
    """Changes of one dimension's duration and volume, oldest first."""

    time: tuple[ChangePoint, ...]
    volume: tuple[ChangePoint, ...]


def daily(portions: Iterable[Rows], dimensions: int, days: int, gamma: float) -> Daily:
    """Return the daily series, holding one portion in memory at a time."""
    shape = dimensions, days
    count, sum_ms, fine_count = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape, np.int64)
    of_days = np.full((len(QUANTILES), *shape), np.nan)
    for rows in portions:
        cells = rows.dimension, rows.day
        count[cells], sum_ms[cells], fine_count[cells] = rows.count, rows.sum_ms, rows.fine_count
        estimates = percentiles(QUANTILES, rows.ends, rows.buckets, rows.spans, gamma)
        of_days[:, *cells] = np.clip(estimates, rows.min_ms, rows.max_ms)
    return Daily(count, sum_ms, *of_days, fine_count=fine_count)


def dimension_changes(
    found: Daily, first: date, closed: int, find_all: Detector = changes.find_all
) -> list[DimensionChanges]:
    """Return the changes of each dimension's P50 and span count in the first ``closed`` days from ``first``."""
    count, p50_ms = found.count[:, :closed], found.p50_ms[:, :closed]
    there = [np.flatnonzero(row) for row in count]
    epoch = day_number(first)
    steps = resolution_of(count, found.fine_count[:, :closed])
    times = []
    for row, days in enumerate(there):
        p50s, coarsest = at_coarsest(p50_ms[row, days], steps[row, days])
        times.append(Series(p50s, count[row, days].astype(float), days + epoch, coarsest))
    volumes = [Series(count[row, days].astype(float), None, days + epoch) for row, days in enumerate(there)]
    both = zip(find_all(times), find_all(volumes), strict=True)
    return [DimensionChanges(*(tuple(sorted(found, key=lambda one: one.at)) for found in each)) for each in both]
