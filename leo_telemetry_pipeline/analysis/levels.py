"""The daily P50s of a dimension, without their weekly rhythm, and the levels that they kept for a while.

Belongs here: from a frame of days to one history a dimension, a level of some of its days, the noise of those.
Does not: finding the changes between levels (changes), which level is normal (baselines), judging (judgement).
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from leo_telemetry_pipeline.analysis import changes, medians, noise
from leo_telemetry_pipeline.analysis.changes import Prepared, Series

KEY = ["dimension_type", "dimension_key"]

# The P50 of fewer spans than this says too little of its day to be a point.
DAY_SPANS = 8
# Durations are whole ms: a P50 of 0 is one of less than half a ms.
LEAST_MS = 0.5
# Two weeks tell the weekly rhythm; a level counts from one week on, and needs no more than four.
DAYS_LEAST = 14
REGIME_LEAST = 7
SETTLED_DAYS = 28
OUTLIER = 2.5

CHANGE_COLUMNS = (
    *KEY,
    "onset_day",
    "onset_from",
    "onset_to",
    "before_p50_ms",
    "after_p50_ms",
    "ratio",
    "score",
    "p_value",
)


@dataclass(frozen=True)
class History:
    """The days of one dimension that have enough spans, in order.

    ``days`` since 1970-01-01; ``raw`` logarithms of P50s in ms, ``x`` the same without rhythm; ``spans_a_day`` the
    median of all days that have spans.
    """

    name: tuple[str, str]
    days: np.ndarray
    counts: np.ndarray
    raw: np.ndarray
    x: np.ndarray
    quality: np.ndarray
    spans_a_day: float

    def level(self, at: np.ndarray) -> float:
        """Return the mean of ``x`` on the days at these places, days weighing by their quality, outliers clipped."""
        x, quality = self.x[at], self.quality[at]
        weight = quality**2
        middle, most = medians.weighted(x, weight), OUTLIER * self.day_to_day / quality
        return float(np.minimum(np.maximum(x, middle - most), middle + most) @ weight / weight.sum())

    def p50_ms(self, at: np.ndarray) -> float:
        """Return the P50 of the spans of these days, as the median of daily P50s, days weighing by their spans."""
        return float(np.exp(medians.weighted(self.raw[at], self.counts[at])))

    @cached_property
    def day_to_day(self) -> float:
        """The robust standard deviation of one day's ``x``, from the differences of neighbours: no step touches it."""
        return float(noise.difference_sigma(self.x[None], self.quality[None])[0, 0])

    def noise(self, at: np.ndarray) -> tuple[float, float]:
        """Return sigma and memory of ``x`` on these days of one level."""
        left = noise.deviations(self.x[None, at], self.quality[None, at])
        sigmas = noise.sigma(left)
        return float(sigmas[0, 0]), float(noise.memory(left, left, sigmas)[0, 0])


def day_numbers(days: pd.Series) -> np.ndarray:
    """Return dates or moments as days since 1970-01-01."""
    return pd.to_datetime(days).to_numpy().astype("datetime64[D]").astype("int64")


@dataclass(frozen=True)
class Days:
    """The days of many dimensions, read once for all that is asked of them: a history and a series each, by number."""

    histories: tuple[History, ...]
    series: tuple[Series, ...]
    prepared: dict[int, Prepared]


def days_of(daily: pd.DataFrame) -> Days:
    """Return the days of a frame: dimension_type, dimension_key, day, count (spans), p50_ms, a row a day with spans."""
    names, all_series, spans = _series(daily)
    usable = [changes.points(each) for each in all_series]
    prepared = changes.prepare_points(usable)
    made = []
    for number, (name, each, (raw, quality, days, _)) in enumerate(zip(names, all_series, usable, strict=True)):
        x = prepared[number].x if number in prepared else raw
        counts = np.zeros(0) if each.counts is None else each.counts
        made.append(History(name, days, counts, raw, x, quality, float(spans[number])))
    return Days(tuple(made), tuple(all_series), prepared)


def _series(daily: pd.DataFrame) -> tuple[list[tuple[str, str]], list[Series], np.ndarray]:
    """Return the dimensions of a frame, their days with enough spans in order, and their median spans a day."""
    numbers = daily.groupby(KEY, sort=True).ngroup().to_numpy()
    days = day_numbers(daily["day"])
    order = np.lexsort((days, numbers))
    first = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    types, keys = (daily[column].to_numpy()[order[first]] for column in KEY)
    columns = [days, daily["count"].to_numpy(dtype=float), daily["p50_ms"].to_numpy(dtype=float)]
    made, spans = [], np.zeros(len(first))
    for row, at in enumerate(np.split(order, first[1:]) if len(first) else []):
        days_of, counts, p50s = (column[at] for column in columns)
        spans[row] = np.median(counts)
        enough = (counts >= DAY_SPANS) & np.isfinite(p50s)
        made.append(Series(np.maximum(p50s[enough], LEAST_MS), counts[enough], days_of[enough]))
    return list(zip(types, keys, strict=True)), made, spans


def found_changes(days: Days) -> pd.DataFrame:
    """Return CHANGE_COLUMNS, a row a change."""
    rows = []
    found = changes.find_prepared(days.prepared, len(days.series))
    for history, each, of_series in zip(days.histories, days.series, found, strict=True):
        numbers = np.zeros(0, dtype="int64") if each.days is None else each.days
        for change in of_series:
            onset = (numbers[at] for at in (change.at, change.onset_from, change.onset_to))
            sizes = (change.before, change.after, change.ratio, change.score, change.p_value)
            rows.append((*history.name, *onset, *sizes))
    made = pd.DataFrame(rows, columns=list(CHANGE_COLUMNS))
    dates = {name: made[name].to_numpy(dtype="int64").astype("datetime64[D]") for name in CHANGE_COLUMNS[2:5]}
    return made.assign(**{name: pd.Series(values).astype("datetime64[s]") for name, values in dates.items()}).astype(
        dict.fromkeys(KEY, "object") | dict.fromkeys(CHANGE_COLUMNS[5:], "float64")
    )


@dataclass(frozen=True)
class Onset:
    """Where a level begins in a history: days since 1970-01-01, and what the detector said of it."""

    day: int
    earliest: int
    latest: int
    ratio: float
    score: float
    p_value: float


def onsets(found: pd.DataFrame) -> dict[tuple[str, str], list[Onset]]:
    """Return the onsets of each dimension, in order, from the frame of ``found_changes``."""
    days = [day_numbers(found[name]).tolist() for name in CHANGE_COLUMNS[2:5]]
    numbers = [found[name].tolist() for name in ("ratio", "score", "p_value")]
    made: dict[tuple[str, str], list[Onset]] = {}
    names = zip(found["dimension_type"], found["dimension_key"], strict=True)
    for name, *values in zip(names, *days, *numbers, strict=True):
        made.setdefault(name, []).append(Onset(*values))
    return {name: sorted(each, key=lambda one: one.day) for name, each in made.items()}


def regimes(history: History, changed: list[Onset]) -> list[np.ndarray]:
    """Return the places of the days of each level that a history had, in order."""
    starts = np.searchsorted(history.days, [one.day for one in changed]).tolist()
    return [np.arange(*pair) for pair in pairwise([0, *starts, len(history.days)])]


def settled(history: History, changed: list[Onset], regime_start: int) -> np.ndarray:
    """Return the places of the days that a baseline rests on: the first 28 of its level that are in the history."""
    end = next((one.day for one in changed if one.day > regime_start), np.inf)
    if len(history.days) and history.days[0] > regime_start:
        # Nobody knows how many days are gone: what is sure to be later is not one of them.
        end = min(end, regime_start + SETTLED_DAYS)
    return np.flatnonzero((history.days >= regime_start) & (history.days < end))[:SETTLED_DAYS]
