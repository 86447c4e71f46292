"""Reference of a dimension: its normal level and noise, kept between analyses.

Belongs here: what a reference rests on, how it moves forward along a stable level, and the distance of the latest days
from it. Does not: which level is normal (baselines), guards (judgement). Levels are logarithms without rhythm.

History ends after 90 days, so a reference outlives the days it was estimated from and keeps its own uncertainty. It
follows a stable level, one day at a time and two weeks late, but not a slower one. Its anchor, the level of its first
28 days, never moves, so that a slow drift is found as well.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isnan, sqrt
from typing import Any

import numpy as np

from leo_telemetry_pipeline.analysis import noise, scan
from leo_telemetry_pipeline.analysis.levels import SETTLED_DAYS, History
from leo_telemetry_pipeline.dimension import Baseline

# A day is admitted once this many days after it are known, and only if their mean is less than LATE_MOST above normal.
LATE_DAYS = 14
GUARD = float(np.log(1.15))
LATE_MOST = 0.75 * GUARD
# Maximum effective number of days of a reference: it reflects roughly the last 90 days.
DAYS_MOST = 90
# Deviations are clipped to this many standard deviations before they change the reference.
CLIP = 3.0
# Deviations of the latest days are clipped to this many.
MOST = 4.0
RECENT_DAYS = 14
ANCHOR_ERRORS = 2.5
FREEDOM_LEAST = 3.0
# Autocorrelation up to one standard error counts as 0, from two on in full.
RHO_CHANCE = 1.0
# Scores from BOUNDED_LEAST on are bounded if the history has BOUNDING_DAYS days of the reference.
BOUNDED_LEAST = 3.0
BOUNDING_DAYS = 14

# Probability that a stable dimension reaches a score in one analysis: fitted to simulated years
# (benchmarks/bench_year.py).
P_SCALE = 1.5


@dataclass(frozen=True)
class Reference:
    """Normal level of a dimension and its noise.

    ``level``: of the centers of days; ``p50``: of their P50s, to which ratios refer. ``sigma`` and ``rho``: standard
    deviation and lag-1 correlation of centers of quality 1. ``days``: the effective number of days it rests on.
    ``until``: the last day that was considered, since 1970-01-01. ``anchor``: the first level, with its standard error
    ``anchor_error``.
    """

    level: float
    p50: float
    sigma: float
    rho: float
    days: float
    until: int
    anchor: float
    anchor_error: float

    def errors(self, weight: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Return the standard errors of the distance of ``count`` days of total ``weight``, in units of ``sigma``."""
        return np.sqrt(noise.variance_factor(count, self.memory) / weight + self.factor(self.days) / self.days)

    @property
    def freedom(self) -> float:
        """The degrees of freedom of ``sigma``: the level and a rhythm take four."""
        return max(self.days / self.factor(self.days) - 4, FREEDOM_LEAST)

    @property
    def memory(self) -> float:
        """``rho`` as far as it is significant, between 0 and 0.95."""
        trust = min(max(self.rho * sqrt(self.days) - RHO_CHANCE, 0.0), 1.0)
        return min(max(self.rho * trust, 0.0), noise.RHO_MOST)

    def factor(self, days: float) -> float:
        """Return the factor by which autocorrelation inflates the variance of a mean of ``days`` days."""
        return float(noise.variance_factor(days, self.memory))

    @property
    def error(self) -> float:
        """The standard error of the level."""
        return self.sigma * sqrt(self.factor(self.days) / self.days)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: round(value, 6) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Reference":
        """Return the reference whose JSON form this is."""
        return cls(**kept)


@dataclass(frozen=True)
class Distance:
    """How far the days ``since`` (indices into a history) are above normal.

    ``normal``: the level of P50s that they are compared with; ``score``: in standard errors.
    """

    since: np.ndarray
    normal: float
    score: float
    p_value: float


def is_kept(baseline: Baseline) -> bool:
    """Return whether a baseline has a reference."""
    return "reference" in baseline.evidence


def of(baseline: Baseline) -> Reference:
    """Return the reference of a baseline."""
    return Reference.from_json(baseline.evidence["reference"])


def first(history: History, at: np.ndarray) -> Reference:
    """Return the reference that rests on these days."""
    level, (sigma, rho) = history.level(at, history.centers), history.noise(at)
    deviations = history.quality[at] * (history.centers[at] - level)
    for _ in range(3):
        clipped = np.clip(deviations, -CLIP * sigma, CLIP * sigma)
        sigma = max(float(np.sqrt((clipped**2).sum() / max(len(at) - 1, 1))), noise.SIGMA_LEAST)
    p50, until = history.level(at), int(history.days[at[-1]])
    made = Reference(level, p50, sigma, rho, float(len(at)), until, level, 0.0)
    return replace(made, anchor_error=made.error)


def forward(history: History, reference: Reference) -> Reference:
    """Return the reference moved forward over later days, up to two weeks before the last one."""
    days = history.days
    if not len(days):
        return reference
    begin, end = np.searchsorted(days, (reference.until + 1, days[-1] - LATE_DAYS + 1)).tolist()
    weight = np.cumsum(history.quality**2)
    total = np.cumsum(history.quality**2 * history.centers)
    last = np.searchsorted(days, days[begin:end] + LATE_DAYS, side="right") - 1
    later = (total[last] - total[begin:end]) / (weight[last] - weight[begin:end])
    follows = np.diff(days[begin:end], prepend=days[begin - 1] if begin else -1) == 1
    previous = np.where(follows, history.centers[np.arange(begin, end) - 1], np.nan)
    columns = (later, history.centers[begin:end], history.x[begin:end], history.quality[begin:end], previous)
    for mean, *day in zip(*(column.tolist() for column in columns), strict=True):
        if mean < reference.level + LATE_MOST:
            reference = _admitted(reference, *day)
    return replace(reference, until=max(reference.until, int(days[-1]) - LATE_DAYS))


def _admitted(reference: Reference, center: float, p50: float, quality: float, previous: float) -> Reference:
    """Return the reference after one more day: running means of clipped deviations and their products.

    ``previous`` is the center of the day before, NaN if it has none.
    """
    most, share = CLIP * reference.sigma, 1 / (min(reference.days, DAYS_MOST - 1) + 1)
    deviation, of_p50, before = (
        min(max(by, -most), most)
        for by in (
            quality * (center - reference.level),
            quality * (p50 - reference.p50),
            previous - reference.level,
        )
    )
    variance = reference.sigma**2 + share * (deviation**2 * (1 - share) - reference.sigma**2)
    rho = reference.rho
    if not isnan(previous):
        rho += share * (deviation * before / reference.sigma**2 + share - rho)
    return Reference(
        reference.level + share * quality * deviation,
        reference.p50 + share * quality * of_p50,
        max(sqrt(variance), noise.SIGMA_LEAST),
        rho,
        min(reference.days + 1, DAYS_MOST),
        reference.until,
        reference.anchor,
        reference.anchor_error,
    )


def distance(history: History, reference: Reference, end: int) -> Distance:
    """Return the distance of the last 3, 4, ... or 14 days before ``end``, whichever are furthest above normal."""
    recent = np.flatnonzero((history.days >= end - RECENT_DAYS) & (history.days < end))
    nothing = Distance(recent, reference.p50, 0.0, 1.0)
    if len(recent) < scan.LEAST:
        return nothing
    scores = _scores(history, reference, recent)
    number = int(scores.argmax())
    since = recent[-scan.LEAST - number :]
    score = _bounded(history, reference, since, float(scores[number]))
    found = Distance(since, reference.p50, score, p_value(score))
    drift = _drift(history, reference, recent)
    return max((nothing, found, *drift), key=lambda each: each.score)


def _scores(history: History, reference: Reference, recent: np.ndarray) -> np.ndarray:
    """Return the mean deviation of the last 3, 4, ... days, its t value converted to a normal one (Wallace, 1959)."""
    latest = recent[::-1]
    quality, count = history.quality[latest], np.arange(1, len(latest) + 1)
    weight = np.cumsum(quality**2)
    t = (np.cumsum(quality * _deviations(history, reference, latest)) / weight / reference.errors(weight, count))[
        scan.LEAST - 1 :
    ]
    freedom = reference.freedom
    return np.sign(t) * np.sqrt(freedom * np.log1p(t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)


def _bounded(history: History, reference: Reference, since: np.ndarray, score: float) -> float:
    """Return the score, bounded by the large-deviation rate of such a mean under the reference's own deviations.

    A few days of the slower of two modes, or three outliers, are not a change (Cramer's theorem). The highest of the
    latest deviations counts as one of the reference's, whose own extremes may not have occurred yet.
    """
    before = np.flatnonzero((history.days <= reference.until) & (history.days < history.days[since[0]]))
    if score < BOUNDED_LEAST or len(before) < BOUNDING_DAYS:
        return score
    own, latest = _deviations(history, reference, before), _deviations(history, reference, since)
    own = np.append(own, latest.max()) - own.mean()
    spread = max(float(own.std()), scan.SPREAD_LEAST)
    weight = history.quality[since] ** 2
    mean = float(history.quality[since] @ latest / weight.sum()) / spread
    [rate] = scan.rates(np.array([[mean]]), own / spread)[0]
    return min(score, sqrt(2 * float(weight.sum()) / reference.factor(len(since)) * rate))


def _deviations(history: History, reference: Reference, at: np.ndarray) -> np.ndarray:
    return np.clip(history.quality[at] * (history.centers[at] - reference.level) / reference.sigma, -MOST, MOST)


def _drift(history: History, reference: Reference, recent: np.ndarray) -> list[Distance]:
    """Return the distance of the last 14 days from the anchor if it exceeds the guard by 2.5 standard errors.

    Uses the autocorrelation of the anchor's days: around the reference, which follows it, a drift is autocorrelated.
    """
    sigma = max(reference.anchor_error * sqrt(SETTLED_DAYS), reference.sigma)
    error = sigma * sqrt(1 / SETTLED_DAYS + 1 / float((history.quality[recent] ** 2).sum()))
    above = history.level(recent, history.centers) - reference.anchor
    if above <= GUARD + ANCHOR_ERRORS * error:
        return []
    score = _bounded(history, replace(reference, level=reference.anchor), recent, above / error)
    return [Distance(recent, reference.p50 + reference.anchor - reference.level, score, p_value(score))]


def p_value(score: float) -> float:
    """Return the probability that a stable dimension reaches ``score`` in one analysis."""
    return float(min(1.0, P_SCALE * np.exp(-0.5 * score**2)))
