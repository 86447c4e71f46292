"""Change-point detection by binary segmentation, after removing rhythm.

Belongs here: the one detector, with one setting, that every analysis uses. Does not: the statistic (scan), noise
(noise), which level is normal (baselines), candidate breaks of a forecast (statespace).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from leo_telemetry_pipeline.analysis import noise, scan
from leo_telemetry_pipeline.resolution import least_ratio

POINTS_LEAST = 8
# A change of less than 5 % is not actionable.
RATIO_LEAST = 1.05
BATCH = 512


@dataclass(frozen=True)
class Series:
    """Values in time order; optionally the number of spans of each, and its UTC day since 1970-01-01.

    Values that are not finite or have 0 spans are gaps. Zeros count as half the smallest positive value.
    ``resolution``: the values are rounded to multiples of it; 0 if they are exact.
    """

    values: np.ndarray
    counts: np.ndarray | None = None
    days: np.ndarray | None = None
    resolution: float = 0.0


@dataclass(frozen=True)
class ChangePoint:
    """One change of level, in the unit of the values.

    ``at``: first point of the new level, as an index or, if the series has days, a day since 1970-01-01; its 95 %
    interval is ``earliest`` to ``latest``. ``before`` and ``after``: medians without rhythm. ``ratio``: the least ratio
    of the levels that the resolution of the values allows. ``score``: distance of the levels in units of noise;
    ``p_value``: probability of such a score in a stable series of the same length.
    """

    at: int
    earliest: int
    latest: int
    before: float
    after: float
    ratio: float
    score: float
    p_value: float

    @property
    def onset(self) -> date:
        """The most likely first day."""
        return date_of(self.at)

    @property
    def onset_from(self) -> date:
        """The earliest plausible first day."""
        return date_of(self.earliest)

    @property
    def onset_to(self) -> date:
        """The latest plausible first day."""
        return date_of(self.latest)

    @property
    def confidence(self) -> float:
        """1 minus the p-value."""
        return 1 - self.p_value


_EPOCH = date(1970, 1, 1).toordinal()


def day_number(day: date) -> int:
    """Return a date as days since 1970-01-01."""
    return day.toordinal() - _EPOCH


def date_of(number: int) -> date:
    """Return the date of a number of days since 1970-01-01."""
    return date.fromordinal(_EPOCH + number)


class SeriesPart(NamedTuple):
    """A part of one series."""

    series: int
    begin: int
    end: int


class Prepared(NamedTuple):
    """One series ready to be split: logarithms without rhythm, quality and day (or index) of each point, resolution."""

    x: np.ndarray
    quality: np.ndarray
    places: np.ndarray
    resolution: float = 0.0


# Logarithms, quality, days (-1 if unknown) and indices of the points of a series, without gaps.
Points = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def find(values: Sequence[float] | np.ndarray, counts: object = None, days: object = None) -> list[ChangePoint]:
    """Return the changes of one series, in order."""
    of, on = (None if each is None else np.asarray(each) for each in (counts, days))
    return find_all([Series(np.asarray(values, dtype=float), of, on)])[0]


def find_all(series: Sequence[Series]) -> list[list[ChangePoint]]:
    """Return the changes of each series, in order; none in a series of under 8 points."""
    return find_prepared(prepare(series), len(series))


def find_prepared(prepared: dict[int, Prepared], series: int) -> list[list[ChangePoint]]:
    """Return the changes of each of ``series`` series; none for those too short to be prepared."""
    found: list[list[ChangePoint]] = [[] for _ in range(series)]
    for number, changes in _kept(prepared, _splits(prepared)).items():
        places = prepared[number].places
        found[number] = [
            replace(change, **{name: int(places[getattr(change, name)]) for name in ("at", "earliest", "latest")})
            for change in changes
        ]
    return found


def prepare(series: Sequence[Series]) -> dict[int, Prepared]:
    """Return the series that are long enough, by number, without gaps and rhythm."""
    return prepare_points([points(each) for each in series], [each.resolution for each in series])


def prepare_points(usable: Sequence[Points], resolutions: Sequence[float]) -> dict[int, Prepared]:
    """Prepare series given by their ``points`` and the resolution of their values."""
    prepared: dict[int, Prepared] = {}
    for numbers in _by_length({number: len(each[0]) for number, each in enumerate(usable)}):
        x, quality, days = (np.array([usable[number][part] for number in numbers]) for part in range(3))
        x = x - _rhythm(x, quality, days)
        for row, number in enumerate(numbers):
            prepared[number] = Prepared(
                x[row], quality[row], usable[number][2 if days[row, 0] >= 0 else 3], resolutions[number]
            )
    return prepared


def points(series: Series) -> Points:
    """Return logarithms, quality, days (-1 if unknown) and indices of the points, without gaps."""
    values = np.asarray(series.values, dtype=float)
    counts = np.ones(len(values)) if series.counts is None else np.asarray(series.counts, dtype=float)
    days = np.full(len(values), -1) if series.days is None else np.asarray(series.days)
    places = np.flatnonzero(np.isfinite(values) & (counts > 0))
    values, counts = values[places], counts[places]
    above = values[values > 0]
    x = np.log(np.maximum(values, above.min() / 2 if len(above) else 1.0))
    half = np.median(counts) if len(counts) else 1.0
    # Only part of a day's variance is sampling noise: a day with a tenth of the spans has over a tenth of the weight.
    return x, np.sqrt(2 * counts / (counts + half)), days[places], places


def _rhythm(x: np.ndarray, quality: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return weekend effect and waves of each row; steps and waves are separated by alternating between them."""
    found = np.zeros_like(x)
    dated = days[:, 0] >= 0
    found[dated] = noise.weekend_effect(x[dated], days[dated])
    left = x - found
    found = found + noise.waves(left - np.median(left, axis=1, keepdims=True))
    for _ in range(2):
        left = x - found
        found = found + noise.waves(noise.without_step(left, scan.candidate(left, quality)))
    return found


def _by_length(lengths: dict) -> Iterator[list]:
    """Yield batches of keys of equal length, without those that are too short."""
    groups = defaultdict(list)
    for key, length in lengths.items():
        if length >= POINTS_LEAST:
            groups[length].append(key)
    for keys in groups.values():
        yield from (keys[first : first + BATCH] for first in range(0, len(keys), BATCH))


def _splits(prepared: dict[int, Prepared]) -> dict[int, list[int]]:
    """Split each series recursively at a change, or else around a stretch at another level."""
    found = defaultdict(list)
    segments = [SeriesPart(number, 0, len(each.x)) for number, each in prepared.items()]
    while segments:
        changed = {segment: [change.at] for segment, _, change in _tested(prepared, segments) if change}
        whole = [segment for segment in segments if segment not in changed]
        split = changed | _stretches(prepared, whole)
        segments = []
        for segment, places in split.items():
            edges = [segment.begin, *(segment.begin + at for at in places), segment.end]
            found[segment.series] += edges[1:-1]
            segments += [SeriesPart(segment.series, *pair) for pair in pairwise(edges)]
    return {number: sorted(splits) for number, splits in found.items()}


def _stretches(prepared: dict[int, Prepared], segments: list[SeriesPart]) -> dict[SeriesPart, list[int]]:
    """Return begin and end of the stretch at another level of each segment that has one."""
    found = {}
    for batch in _by_length({segment: segment.end - segment.begin for segment in segments}):
        begins, ends = scan.stretches(*_arrays(prepared, batch))
        found |= {batch[row]: [int(begins[row]), int(ends[row])] for row in np.flatnonzero(ends)}
    return found


def _arrays(prepared: dict[int, Prepared], batch: list[SeriesPart]) -> tuple[np.ndarray, np.ndarray]:
    """Return logarithms and qualities of segments of equal length."""
    parts = [(prepared[segment.series], slice(segment.begin, segment.end)) for segment in batch]
    return np.array([each.x[part] for each, part in parts]), np.array([each.quality[part] for each, part in parts])


def _kept(prepared: dict[int, Prepared], splits: dict[int, list[int]]) -> dict[int, list[ChangePoint]]:
    """Retest each split between its neighbours; remove the weakest until none fails."""
    kept: dict[int, list[ChangePoint]] = {}
    while splits:
        edges = {number: [0, *found, len(prepared[number].x)] for number, found in splits.items()}
        segments = [SeriesPart(number, *pair) for number, at in edges.items() for pair in zip(at, at[2:], strict=False)]
        tested = defaultdict(list)
        for segment, score, change in sorted(_tested(prepared, segments), key=lambda each: each[0]):
            tested[segment.series].append((score, change and _moved(change, segment.begin)))
        again = {}
        for number, results in tested.items():
            changes = [change for _, change in results if change]
            if len(changes) == len(results) and all(first.at < second.at for first, second in pairwise(changes)):
                kept[number] = changes
                continue
            weakest = min(range(len(results)), key=lambda each: (results[each][1] is not None, results[each][0]))
            again[number] = splits[number][:weakest] + splits[number][weakest + 1 :]
        splits = {number: found for number, found in again.items() if found}
    return kept


def _tested(
    prepared: dict[int, Prepared], segments: list[SeriesPart]
) -> Iterator[tuple[SeriesPart, float, ChangePoint | None]]:
    """Yield each segment that is long enough, with its score and its change or None."""
    for batch in _by_length({segment: segment.end - segment.begin for segment in segments}):
        x, quality = _arrays(prepared, batch)
        scores, splits, sigmas, rhos = scan.splits(x, quality)
        least = scan.score_least(x.shape[1])
        for row, segment in enumerate(batch):
            change = None
            if scores[row] >= least:
                one = x[row], quality[row], sigmas[row, 0], rhos[row, 0], splits[row]
                change = _change(*one, float(scores[row]), prepared[segment.series].resolution)
            yield segment, float(scores[row]), change


def _change(
    x: np.ndarray, quality: np.ndarray, sigma: float, rho: float, split: int, score: float, resolution: float
) -> ChangePoint | None:
    at, (first, last), (low, high) = scan.onset(x, quality, sigma, rho, split)
    before, after = float(np.exp(low)), float(np.exp(high))
    ratio = least_ratio(after, before, resolution)
    if abs(np.log(ratio)) < np.log(RATIO_LEAST):
        return None
    return ChangePoint(at, first, last, before, after, ratio, score, scan.p_value(score, len(x)))


def _moved(change: ChangePoint, by: int) -> ChangePoint:
    return replace(change, at=change.at + by, earliest=change.earliest + by, latest=change.latest + by)
