"""How dimensions went from day to day: percentiles of every day, a row a dimension and a column a day.

Belongs here: percentiles of many days at once, the days on which time or volume changed. Does not: reading days
(store.history.daily), the detector (analysis.changes), printing. Imports no pandas, so that commands answer at once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np

from leo_telemetry_pipeline.analysis import changes
from leo_telemetry_pipeline.analysis.changes import ChangePoint, Series, day_number

QUANTILES = (0.5, 0.9, 0.95, 0.99)

Detector = Callable[[Sequence[Series]], list[list[ChangePoint]]]


class Rows(Protocol):
    """Some days by bucket, one row a day and dimension, as ``store.history.daily`` reads them; times in ms."""

    @property
    def dimension(self) -> np.ndarray:
        """The place of each row's dimension among those asked for."""
        ...

    @property
    def day(self) -> np.ndarray:
        """The days since the first one asked for."""
        ...

    @property
    def count(self) -> np.ndarray:
        """How many spans a row has."""
        ...

    @property
    def sum_ms(self) -> np.ndarray:
        """Their time together."""
        ...

    @property
    def min_ms(self) -> np.ndarray:
        """The least of their times."""
        ...

    @property
    def max_ms(self) -> np.ndarray:
        """The most of their times."""
        ...

    @property
    def ends(self) -> np.ndarray:
        """Where the buckets of each row end in the two arrays below."""
        ...

    @property
    def buckets(self) -> np.ndarray:
        """The buckets of all rows, ascending within a row."""
        ...

    @property
    def spans(self) -> np.ndarray:
        """How many spans are in each."""
        ...


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
    percentiles = np.full((len(QUANTILES), *shape), np.nan)
    for rows in portions:
        at = rows.dimension, rows.day
        count[at], sum_ms[at] = rows.count, rows.sum_ms
        percentiles[:, *at] = quantiles(rows, gamma)
    return Daily(count, sum_ms, *percentiles)


def quantiles(rows: Rows, gamma: float) -> np.ndarray:
    """Return the percentiles QUANTILES of every row in ms, of the shape [percentiles, rows].

    The same numbers as ``analysis.p50.quantiles``, for all rows at once.
    """
    upto = np.cumsum(rows.spans)
    before = np.concatenate(([0], upto[rows.ends[:-1] - 1]))
    found = [percentile(one, rows.count, before, rows.buckets, rows.spans, upto, gamma) for one in QUANTILES]
    return np.clip(found, rows.min_ms, rows.max_ms)


def percentile(
    quantile: float,
    count: np.ndarray,
    before: np.ndarray,
    buckets: np.ndarray,
    spans: np.ndarray,
    upto: np.ndarray,
    gamma: float,
) -> np.ndarray:
    """Return one percentile in ms of each of some rows whose buckets follow one another.

    ``before`` and ``count``: how many spans the earlier rows have, and the row itself; ``upto``: the running sum of
    ``spans``. Like ``percentile_cont`` it interpolates between the two nearest ranks.
    """
    rank = quantile * (count - 1)
    low, high = (
        _value_at(before + of.astype(np.int64), buckets, spans, upto, gamma) for of in (np.floor(rank), np.ceil(rank))
    )
    return low + (high - low) * (rank - np.floor(rank))


def _value_at(ranks: np.ndarray, buckets: np.ndarray, spans: np.ndarray, upto: np.ndarray, gamma: float) -> np.ndarray:
    at = np.searchsorted(upto, ranks, side="right")
    bucket, there = buckets[at].astype(float), spans[at]
    inside = (ranks - (upto[at] - there) + 0.5) / there
    return np.where(bucket < 0, 0.0, gamma ** (bucket - 1) * (1 + (gamma - 1) * inside))


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
