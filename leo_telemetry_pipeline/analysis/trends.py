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
    """Changes of one dimension's P50, volume and, if asked for, P90, oldest first."""

    time: tuple[ChangePoint, ...]
    volume: tuple[ChangePoint, ...]
    p90: tuple[ChangePoint, ...] = ()


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
    times = _series(found, found.p50_ms, first, closed)
    volumes = [Series(each.counts, None, each.days) for each in times if each.counts is not None]
    both = zip(find_all(times), find_all(volumes), strict=True)
    return [DimensionChanges(*map(_in_order, each)) for each in both]


def p50_changes(found: Daily, first: date, closed: int) -> list[tuple[ChangePoint, ...]]:
    """Return the changes of each dimension's P50 in the first ``closed`` days from ``first``."""
    return [_in_order(each) for each in changes.find_all(_series(found, found.p50_ms, first, closed))]


def p90_changes(found: Daily, first: date, closed: int) -> list[tuple[ChangePoint, ...]]:
    """Return the changes of each dimension's P90 in the first ``closed`` days from ``first``."""
    return [_in_order(each) for each in changes.find_all(_series(found, found.p90_ms, first, closed))]


def _series(found: Daily, of_days: np.ndarray, first: date, closed: int) -> list[Series]:
    count = found.count[:, :closed]
    steps = resolution_of(count, found.fine_count[:, :closed])
    series = []
    for row, counts in enumerate(count):
        days = np.flatnonzero(counts)
        values, coarsest = at_coarsest(of_days[row, days], steps[row, days])
        series.append(Series(values, counts[days].astype(float), days + day_number(first), coarsest))
    return series


def _in_order(changed: Sequence[ChangePoint]) -> tuple[ChangePoint, ...]:
    return tuple(sorted(changed, key=lambda one: one.at))
