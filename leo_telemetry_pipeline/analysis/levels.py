"""Daily P50s of dimensions, with the weekly rhythm removed, and their levels between change points.

Belongs here: one history per dimension, and the level and noise of any of its days. Does not: finding change points
(changes), which level is normal (baselines), judging (judgement).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise

import numpy as np

from leo_telemetry_pipeline.analysis import changes, medians, noise
from leo_telemetry_pipeline.analysis.changes import ChangePoint, Prepared, Series, day_number
from leo_telemetry_pipeline.daily_rows import at_coarsest, resolution_of
from leo_telemetry_pipeline.dimension import Baseline, Dimension

# A day with fewer spans is not a point: its P50 is too noisy.
DAY_SPANS = 8
# The P50 of a window is in whole ms: 0 means less than 0.5 ms.
LEAST_MS = 0.5
# Two weeks show the weekly rhythm; a level needs at least one week and uses at most four.
DAYS_LEAST = 14
LEVEL_LEAST = 7
SETTLED_DAYS = 28
OUTLIER = 2.5


@dataclass(frozen=True)
class DailyP50s:
    """Daily span counts and P50s in ms of many dimensions, as arrays of equal length, unordered.

    ``place``: index into ``dimensions``; ``day``: days since 1970-01-01; ``fine_count``: the number of spans with
    microseconds, None if P50s are exact.
    """

    dimensions: Sequence[Dimension]
    place: np.ndarray
    day: np.ndarray
    count: np.ndarray
    p50_ms: np.ndarray
    fine_count: np.ndarray | None = None

    @property
    def resolution_ms(self) -> np.ndarray:
        """The resolution of each P50."""
        if self.fine_count is None:
            return np.zeros(len(self.p50_ms))
        return resolution_of(self.count, self.fine_count)

    @classmethod
    def of_parts(cls, dimensions: Sequence[Dimension], parts: Iterable[tuple[np.ndarray, ...]]) -> "DailyP50s":
        """Concatenate parts, each with arrays of place, day, spans, P50 and spans with microseconds."""
        none = np.zeros(0, np.int64)
        empty = (none, none, none, np.zeros(0), none)
        return cls(dimensions, *(np.concatenate(columns) for columns in zip(empty, *parts, strict=True)))


@dataclass(frozen=True)
class History:
    """The days of one dimension with enough spans, in order.

    ``days`` since 1970-01-01; ``raw``: log P50s in ms; ``x``: the same without weekly rhythm; ``spans_per_day``: the
    median of all days with spans; ``resolution_ms``: the coarsest of its days, to which all are rounded.
    """

    name: Dimension
    days: np.ndarray
    counts: np.ndarray
    raw: np.ndarray
    x: np.ndarray
    quality: np.ndarray
    spans_per_day: float
    resolution_ms: float = 0.0

    def level(self, at: np.ndarray) -> float:
        """Return the mean of ``x`` at these indices, weighted by squared quality, outliers clipped."""
        x, quality = self.x[at], self.quality[at]
        weight = quality**2
        middle, most = medians.weighted(x, weight), OUTLIER * self.day_to_day / quality
        return float(np.minimum(np.maximum(x, middle - most), middle + most) @ weight / weight.sum())

    def p50_ms(self, at: np.ndarray) -> float:
        """Return the P50 in ms of these days: the median of daily P50s, weighted by spans."""
        return float(np.exp(medians.weighted(self.raw[at], self.counts[at])))

    @cached_property
    def day_to_day(self) -> float:
        """The robust standard deviation of ``x``, from differences of consecutive days, which ignore steps."""
        return float(noise.difference_sigma(self.x[None], self.quality[None])[0, 0])

    def noise(self, at: np.ndarray) -> tuple[float, float]:
        """Return standard deviation and autocorrelation of ``x`` on these days of one level."""
        left = noise.deviations(self.x[None, at], self.quality[None, at])
        sigmas = noise.sigma(left)
        return float(sigmas[0, 0]), float(noise.memory(left, left, sigmas)[0, 0])


@dataclass(frozen=True)
class Days:
    """The days of many dimensions: one history and one series each; ``prepared``: series by index."""

    histories: tuple[History, ...]
    series: tuple[Series, ...]
    prepared: dict[int, Prepared]


def days_of(daily: DailyP50s) -> Days:
    """Return the days of many dimensions as histories and series, sorted by name."""
    names, all_series, spans = _series(daily)
    usable = [changes.points(each) for each in all_series]
    prepared = changes.prepare_points(usable, [each.resolution for each in all_series])
    histories = []
    for number, (name, each, (raw, quality, days, _)) in enumerate(zip(names, all_series, usable, strict=True)):
        x = prepared[number].x if number in prepared else raw
        counts = np.zeros(0) if each.counts is None else each.counts
        histories.append(History(name, days, counts, raw, x, quality, float(spans[number]), each.resolution))
    return Days(tuple(histories), tuple(all_series), prepared)


def _series(daily: DailyP50s) -> tuple[list[Dimension], list[Series], np.ndarray]:
    """Return the dimensions with days, their series of days with enough spans, and their median spans per day."""
    by_name = sorted(range(len(daily.dimensions)), key=daily.dimensions.__getitem__)
    numbers = np.argsort(by_name)[daily.place] if by_name else daily.place
    order = np.lexsort((daily.day, numbers))
    first = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    columns = [daily.day, daily.count.astype(float), daily.p50_ms.astype(float), daily.resolution_ms]
    series, spans = [], np.zeros(len(first))
    for row, at in enumerate(np.split(order, first[1:]) if len(first) else []):
        days_of, counts, p50s, steps = (column[at] for column in columns)
        spans[row] = np.median(counts)
        enough = (counts >= DAY_SPANS) & np.isfinite(p50s)
        p50s, coarsest = at_coarsest(p50s[enough], steps[enough])
        series.append(Series(p50s, counts[enough], days_of[enough], coarsest))
    return [daily.dimensions[place] for place in daily.place[order[first]]], series, spans


def change_points(days: Days) -> dict[Dimension, list[ChangePoint]]:
    """Return the change points of each dimension that has any, in order."""
    found = changes.find_prepared(days.prepared, len(days.series))
    return {history.name: of_one for history, of_one in zip(days.histories, found, strict=True) if of_one}


def days_by_level(history: History, changed: Sequence[ChangePoint]) -> list[np.ndarray]:
    """Return the indices of the days of each level, in order."""
    starts = np.searchsorted(history.days, [one.at for one in changed]).tolist()
    return [np.arange(*pair) for pair in pairwise([0, *starts, len(history.days)])]


def start_of(baseline: Baseline) -> int:
    """Return the first day of a baseline's level since 1970-01-01; if unknown, a day before all history."""
    return day_number(baseline.regime_start or date.min)


def settled(history: History, changed: Sequence[ChangePoint], baseline: Baseline) -> np.ndarray:
    """Return the indices of the days that a baseline rests on: the first 28 of its level."""
    start = start_of(baseline)
    end = next((one.at for one in changed if one.at > start), np.inf)
    if len(history.days) and history.days[0] > start:
        # The history no longer has all days of the level: exclude days that are certainly not among the first 28.
        end = min(end, start + SETTLED_DAYS)
    return np.flatnonzero((history.days >= start) & (history.days < end))[:SETTLED_DAYS]
