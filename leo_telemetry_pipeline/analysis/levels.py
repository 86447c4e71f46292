"""Daily P50s of dimensions, with the weekly rhythm removed, and their levels between change points.

Belongs here: one history per dimension, and the level and noise of any of its days. Does not: finding change points
(changes), which level is normal (baselines), judging (judgement).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import pairwise

import numpy as np

from leo_telemetry_pipeline.analysis import changes, medians, noise
from leo_telemetry_pipeline.analysis.bucket_percentiles import mean_logs, percentiles
from leo_telemetry_pipeline.analysis.changes import ChangePoint, Prepared, Series, day_number
from leo_telemetry_pipeline.daily_rows import Rows, at_coarsest, resolution_of
from leo_telemetry_pipeline.dimension import Baseline, Dimension
from leo_telemetry_pipeline.resolution import WHOLE_MS, of_type

# In whole ms, a P50 of 0 means less than 0.5 ms.
LEAST_MS = 0.5
# Two weeks show the weekly rhythm; a level needs at least one week and uses at most four.
DAYS_LEAST = 14
LEVEL_LEAST = 7
SETTLED_DAYS = 28
# An accepted level needs this many.
ACCEPTED_LEAST = 3
OUTLIER = 2.5
# A tail needs a span in its slowest fifth.
TAIL_SPANS_LEAST = 5
# Means of logs, which are not rounded, are compared at a coarse resolution if each is this many steps of it.
STEPS_LEAST = 20
# Evidence of a baseline: the day since which the mix of work is another one.
MIXED_SINCE = "mixed_since"
# The same day with the mix, kept when the baseline has followed it: dimensions above may follow later.
LAST_MIX = "last_mix"


@dataclass(frozen=True)
class DailyP50s:
    """Daily span counts, P50s in ms, centers and tails of many dimensions, as arrays of equal length, unordered.

    ``place``: index into ``dimensions``; ``day``: days since 1970-01-01; ``center``: trimmed mean of log durations,
    by default the log P50; ``tail``: mean log duration of the slowest fifth, NaN if unknown; ``fine_count``: the number
    of spans with microseconds, None if P50s are exact.
    """

    dimensions: Sequence[Dimension]
    place: np.ndarray
    day: np.ndarray
    count: np.ndarray
    p50_ms: np.ndarray
    center: np.ndarray | None = None
    tail: np.ndarray | None = None
    fine_count: np.ndarray | None = None

    @property
    def resolution_ms(self) -> np.ndarray:
        """The resolution of each P50."""
        if self.fine_count is None:
            return np.zeros(len(self.p50_ms))
        of_clock = np.array([of_type(dimension_type) for dimension_type, _ in self.dimensions])
        return np.maximum(resolution_of(self.count, self.fine_count), of_clock[self.place] if len(of_clock) else 0.0)

    def without_tails(self, types: Collection[str]) -> "DailyP50s":
        """Return the days, those of dimensions of these types without tails."""
        if self.tail is None or not types:
            return self
        is_left_out = np.array([dimension_type in types for dimension_type, _ in self.dimensions], dtype=bool)
        return replace(self, tail=np.where(is_left_out[self.place], np.nan, self.tail))

    @classmethod
    def of_parts(cls, dimensions: Sequence[Dimension], parts: Iterable[tuple[np.ndarray, ...]]) -> "DailyP50s":
        """Concatenate parts, each with arrays of place, day, spans, P50, center, tail and spans with microseconds."""
        none = np.zeros(0, np.int64)
        empty = (none, none, none, *[np.zeros(0)] * 3, none)
        return cls(dimensions, *(np.concatenate(columns) for columns in zip(empty, *parts, strict=True)))


def of_rows(
    rows: Rows, gamma: float, central: tuple[float, float], slowest: tuple[float, float]
) -> tuple[np.ndarray, ...]:
    """Return day, spans, P50 in ms, center, tail and spans with microseconds of each row.

    ``central`` and ``slowest``: the ranks of center and tail, as shares of the spans.
    """
    [p50_ms] = percentiles((0.5,), rows.ends, rows.buckets, rows.spans, gamma)
    means = (mean_logs(rows.ends, rows.buckets, rows.spans, gamma, ranks, LEAST_MS) for ranks in (central, slowest))
    return rows.day, rows.count, np.clip(p50_ms, rows.min_ms, rows.max_ms), *means, rows.fine_count


@dataclass(frozen=True)
class History:
    """The days of one dimension with spans, in order.

    ``days`` since 1970-01-01; ``raw``: log P50s in ms; ``x``: the same without weekly rhythm; ``centers``:
    trimmed means of log durations without it, more precise than P50s if spans are few; ``spans_per_day``: the median;
    ``resolution_ms``: the coarsest of its days, to which all P50s are rounded; ``tails``: means of the log durations of
    the slowest fifth without the rhythm of the P50s, NaN if unknown.
    """

    name: Dimension
    days: np.ndarray
    counts: np.ndarray
    raw: np.ndarray
    x: np.ndarray
    centers: np.ndarray
    quality: np.ndarray
    spans_per_day: float
    resolution_ms: float = 0.0
    tails: np.ndarray | None = None

    @cached_property
    def tail(self) -> "History":
        """The days with a known tail, with tails in place of P50s and centers."""
        at = np.zeros(0, int) if self.tails is None else np.flatnonzero(np.isfinite(self.tails))
        tails = np.zeros(0) if self.tails is None else self.tails[at]
        days, counts, quality = (column[at] for column in (self.days, self.counts, self.quality))
        return History(self.name, days, counts, tails, tails, tails, quality, self.spans_per_day, self.resolution_ms)

    def level(self, at: np.ndarray, of: np.ndarray | None = None) -> float:
        """Return the mean of ``x`` (or ``of``) at these indices, weighted by squared quality, outliers clipped."""
        x, quality = (self.x if of is None else of)[at], self.quality[at]
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
        """Return standard deviation and autocorrelation of ``centers`` on these days of one level."""
        left = noise.deviations(self.centers[None, at], self.quality[None, at])
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
    names, all_series, centers, tails, spans = _series(daily)
    usable = [changes.points(each) for each in all_series]
    prepared = changes.prepare_points(usable, [each.resolution for each in all_series])
    histories = []
    for number, (name, each, (raw, quality, days, _)) in enumerate(zip(names, all_series, usable, strict=True)):
        x = prepared[number].x if number in prepared else raw
        counts = np.zeros(0) if each.counts is None else each.counts
        centered = centers[number] + x - raw
        more = quality, float(spans[number]), each.resolution, tails[number] + x - raw
        histories.append(History(name, days, counts, raw, x, centered, *more))
    return Days(tuple(histories), tuple(all_series), prepared)


def _series(
    daily: DailyP50s,
) -> tuple[list[Dimension], list[Series], list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return the dimensions with days, their series, the centers and tails of these, and their median spans per day."""
    by_name = sorted(range(len(daily.dimensions)), key=daily.dimensions.__getitem__)
    numbers = np.argsort(by_name)[daily.place] if by_name else daily.place
    order = np.lexsort((daily.day, numbers))
    first = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    unknown = np.full(len(daily.day), np.nan)
    logs = [unknown if column is None else column for column in (daily.center, daily.tail)]
    columns = [daily.day, daily.count.astype(float), daily.p50_ms.astype(float), *logs, daily.resolution_ms]
    series, centers, tails, spans = [], [], [], np.zeros(len(first))
    for row, at in enumerate(np.split(order, first[1:]) if len(first) else []):
        days_of, counts, p50s, means, slowest, steps = (column[at] for column in columns)
        spans[row] = np.median(counts)
        enough = (counts > 0) & np.isfinite(p50s)
        rounded, coarsest = at_coarsest(p50s[enough], steps[enough])
        rounded = np.where(rounded > 0, rounded, LEAST_MS)
        series.append(Series(rounded, counts[enough], days_of[enough], coarsest))
        # Centers and tails with microseconds cannot be rounded for a comparison with those of whole ms. In whole
        # seconds, one span of 0 s among some of 1 s would decide on a mean of logs.
        is_alike = np.ptp(steps) == 0 and coarsest <= WHOLE_MS
        is_fine = is_alike or (np.ptp(steps) == 0 and rounded.min(initial=np.inf) >= STEPS_LEAST * coarsest)
        centers.append(means[enough] if daily.center is not None and is_fine else np.log(rounded))
        known = (counts >= TAIL_SPANS_LEAST) & (is_alike | (np.exp(slowest) >= STEPS_LEAST * coarsest))
        tails.append(np.where(known, slowest, np.nan)[enough])
    return [daily.dimensions[place] for place in daily.place[order[first]]], series, centers, tails, spans


def change_points(days: Days) -> dict[Dimension, list[ChangePoint]]:
    """Return the change points of each dimension that has any, in order."""
    found = changes.find_prepared(days.prepared, len(days.series))
    return {history.name: of_one for history, of_one in zip(days.histories, found, strict=True) if of_one}


def days_by_level(history: History, changed: Sequence[ChangePoint]) -> list[np.ndarray]:
    """Return the indices of the days of each level, in order."""
    starts = np.searchsorted(history.days, [one.at for one in changed]).tolist()
    return [np.arange(*pair) for pair in pairwise([0, *starts, len(history.days)])]


def start_of(baseline: Baseline) -> int:
    """Return the first day of a baseline's level, counted from 1970-01-01; if unknown, a day before all history."""
    return day_number(baseline.regime_start or date.min)


def settled(history: History, changed: Sequence[ChangePoint], baseline: Baseline) -> np.ndarray:
    """Return the indices of the days that a baseline rests on: the first 28 of its level."""
    start = start_of(baseline)
    end = next((one.at for one in changed if one.at > start), np.inf)
    if len(history.days) and history.days[0] > start:
        # The history no longer has all days of the level: exclude days that are certainly not among the first 28.
        end = min(end, start + SETTLED_DAYS)
    return np.flatnonzero((history.days >= start) & (history.days < end))[:SETTLED_DAYS]
