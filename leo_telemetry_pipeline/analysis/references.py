"""Reference of a dimension: its normal level and noise, kept between analyses.

Belongs here: what a reference rests on, how it moves forward along a stable level, and the distance of the latest days
from it. Does not: which level is normal (baselines), guards (judgement). Levels are logarithms without rhythm.

History ends after 90 days, so a reference outlives the days it was estimated from and keeps its own uncertainty. It
follows a stable level, one day at a time and two weeks late, but not a slower one. Its anchor, the level of its first
28 days, never moves, so that a slow drift is found as well.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import expm1, isnan, sqrt
from typing import Any

import numpy as np

from leo_telemetry_pipeline.analysis import noise, scan
from leo_telemetry_pipeline.analysis.levels import SETTLED_DAYS, History
from leo_telemetry_pipeline.dimension import Baseline

# A day is admitted once this many days after it are known, and only if their mean, and that of the days as far around
# it, is less than LATE_MOST of the guard, or LATE_ERRORS of its own standard errors, above normal.
LATE_DAYS = 14
GUARD = float(np.log(1.15))
LATE_MOST = 0.75
LATE_ERRORS = 2.5
# Least share of a new day: a reference reflects roughly the last 90 days, and lags six weeks behind what it follows.
SHARE_LEAST = 1 / 45
# Deviations are clipped to this many standard deviations before they change the reference.
CLIP = 3.0
# Lower for their products, or a few slow days in a row would be taken for autocorrelation; and the variance of normal
# deviates that are clipped so.
RHO_CLIP, RHO_VARIANCE = 1.5, 0.78
# Deviations of the latest days are clipped where they are as improbable as this many under normal noise.
MOST = 4.0
RECENT_DAYS = 14
# A variance of the latest days of this many times that of the reference is chance; beyond, it counts.
VARIANCE_CHANCE = 3.0
VARIANCE_CLIP = 1.5
VARIANCE_STEPS = 6
# Mean square of the smaller two thirds of normal deviates.
SMALLER_VARIANCE = 0.3
ANCHOR_ERRORS = 2.5
FOLLOWED_LEAST = 0.75
FREEDOM_LEAST = 3.0
# Autocorrelation up to 1.5 standard errors counts as 0, from 2.5 in full.
RHO_CHANCE = 1.5
# The tails of the reference bound scores from BOUNDED_LEAST on if it has BOUNDING_DAYS days in the history.
BOUNDED_LEAST = 3.0
BOUNDING_DAYS = 14

# Probability that P_DAYS days of a stable dimension reach a score: fitted to simulated years (bench_year.py).
P_SCALE = 2.2
P_DAYS = 7
# A score of 4.1 over a week: 1 % of stable dimensions reach it in a year of weekly analyses, 2 % in one of daily ones.
P_MOST = 0.0005


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

    def scores(self, t: np.ndarray) -> np.ndarray:
        """Return the normal deviates with the probabilities of ``t`` standard errors (Wallace, 1959)."""
        freedom = self.freedom
        return np.sign(t) * np.sqrt(freedom * np.log1p(t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)

    @property
    def freedom(self) -> float:
        """The degrees of freedom of ``sigma``: the level and a rhythm take four."""
        return max(self.days / self.factor(self.days) - 4, FREEDOM_LEAST)

    @property
    def most(self) -> float:
        """The deviation that ``scores`` turns into ``MOST``."""
        freedom = self.freedom
        return sqrt(freedom * expm1((MOST * (8 * freedom + 3) / (8 * freedom + 1)) ** 2 / freedom))

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

    ``normal``: the level of P50s that they are compared with; ``above``: of their centers, as a log ratio; ``score``:
    in standard errors.
    """

    since: np.ndarray
    normal: float
    above: float
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


def forward(history: History, reference: Reference, guard: float = GUARD) -> Reference:
    """Return the reference moved forward over later days, up to two weeks before the last one.

    ``guard``: the least log ratio that counts as slow.
    """
    days = history.days
    if not len(days):
        return reference
    begin, end = np.searchsorted(days, (reference.until + 1, days[-1] - LATE_DAYS + 1)).tolist()
    least = _normal_from(history, reference, begin, end, guard)
    follows = np.diff(days[begin:end], prepend=days[begin - 1] if begin else -1) == 1
    previous = np.where(follows, history.centers[np.arange(begin, end) - 1], np.nan)
    columns = (least, history.centers[begin:end], history.x[begin:end], history.quality[begin:end], previous)
    for level, *day in zip(*(column.tolist() for column in columns), strict=True):
        if reference.level > level:
            reference = _admitted(reference, *day)
    return replace(reference, until=max(reference.until, int(days[-1]) - LATE_DAYS))


def _normal_from(history: History, reference: Reference, begin: int, end: int, guard: float = GUARD) -> np.ndarray:
    """Return the level above which the reference must be for the days after and around each day to be normal.

    The last days of an incident are only a small part of two weeks that begin with them.
    """
    at = np.arange(begin, end)
    before, after = np.searchsorted(history.days, history.days[at] + [[-LATE_DAYS], [LATE_DAYS + 1]])
    weight, x = history.quality**2, history.centers - history.centers[:1]
    sums = np.array([np.append(0.0, np.cumsum(weight * of)) for of in (np.ones(len(x)), x, x**2)])
    following = _least_level(sums[:, after] - sums[:, at + 1], after - at - 1, reference, guard)
    around = _least_level(sums[:, after] - sums[:, before], after - before, reference, guard)
    return np.maximum(following, around) + history.centers[:1]


def _least_level(sums: np.ndarray, days: np.ndarray, reference: Reference, guard: float) -> np.ndarray:
    """Return the level above which the reference must be for some days to be normal, NaN without days.

    ``sums``: of their weights, values and squares. Their standard error is that of their own variance: the reference
    may not have seen the slower of two modes yet.
    """
    weights = np.where(days > 0, sums[0], np.nan)
    means = sums[1] / weights
    variance = np.maximum(sums[2] / weights - means**2, 0) / np.maximum(days - 1, 1)
    errors = np.sqrt(reference.factor(LATE_DAYS) * variance)
    return means - np.maximum(LATE_MOST * guard, LATE_ERRORS * errors)


def _admitted(reference: Reference, center: float, p50: float, quality: float, previous: float) -> Reference:
    """Return the reference after one more day: running means of clipped deviations and their products.

    ``previous`` is the center of the day before, NaN if it has none.
    """
    most, share = CLIP * reference.sigma, max(1 / (reference.days + 1), SHARE_LEAST)
    # Not a loop: this runs for every day of every dimension.
    deviation = min(max(quality * (center - reference.level), -most), most)
    of_p50 = min(max(quality * (p50 - reference.p50), -most), most)
    variance = reference.sigma**2 + share * (deviation**2 * (1 - share) - reference.sigma**2)
    rho = reference.rho
    if not isnan(previous):
        least = RHO_CLIP * reference.sigma
        now, before = (min(max(one, -least), least) for one in (deviation, previous - reference.level))
        rho += share * (now * before / (RHO_VARIANCE * reference.sigma**2) + share - rho)
    return Reference(
        reference.level + share * quality * deviation,
        reference.p50 + share * quality * of_p50,
        max(sqrt(variance), noise.SIGMA_LEAST),
        rho,
        1 / ((1 - share) ** 2 / reference.days + share**2),
        reference.until,
        reference.anchor,
        reference.anchor_error,
    )


def distance(history: History, reference: Reference, end: int) -> Distance:
    """Return the distance of the last 3, 4, ... or 14 days before ``end``, whichever are furthest above normal."""
    recent = np.flatnonzero((history.days >= end - RECENT_DAYS) & (history.days < end))
    if len(recent) < scan.LEAST:
        return Distance(recent, reference.p50, 0.0, 0.0, 1.0)
    found = (_latest(history, reference, recent), *_drift(history, reference, recent))
    return min(found, key=lambda each: each.p_value)


def _latest(history: History, reference: Reference, recent: np.ndarray) -> Distance:
    latest = recent[::-1]
    quality, count = history.quality[latest], np.arange(1, len(latest) + 1)
    weight = np.cumsum(quality**2)
    means = np.cumsum(quality * _deviations(history, reference, latest)) / weight
    errors = reference.errors(weight, count)
    scores = reference.scores(means / errors)
    days = scan.LEAST + int((np.sign(scores) * scores**2 + 2 * np.log(count))[scan.LEAST - 1 :].argmax())
    since, error = recent[-days:], errors[days - 1] * _spread(history, reference, recent)
    score = _score(history, reference, since, float(means[days - 1]), error)
    above = history.level(since, history.centers) - reference.level
    return Distance(since, reference.p50, above, score, p_value(score, days))


def _score(history: History, reference: Reference, since: np.ndarray, mean: float, error: float) -> float:
    """Return the score of a ``mean`` deviation of the days ``since``; both in units of ``sigma``.

    A few days of the slower of two modes, or three outliers, are not a change: the mean counts no more than the one
    with the same large-deviation rate under normal noise (Cramer's theorem).
    """
    score = float(reference.scores(np.array(mean / error)))
    if score < BOUNDED_LEAST:
        return score
    end = int(np.searchsorted(history.days, min(reference.until + 1, history.days[since[0]])))
    admitted = np.flatnonzero(reference.level > _normal_from(history, reference, 0, end))
    before = np.append(admitted, np.arange(end, since[0]))
    if len(before) < BOUNDING_DAYS:
        return score
    own = _deviations(history, reference, before)
    own = own - own.mean()
    spread = max(float(own.std()), scan.SPREAD_LEAST)
    [rate] = scan.rates(np.array([[mean / spread]]), own / spread)[0]
    return min(score, float(reference.scores(np.array(sqrt(2 * rate) / error))))


def _spread(history: History, reference: Reference, recent: np.ndarray) -> float:
    """Return by how much the noise of the latest days exceeds that of the reference; 1 if by chance.

    From differences of consecutive days without the largest third, so that a step or a weekly rhythm does not add.
    """
    steps = np.diff(_deviations(history, reference, recent, VARIANCE_CLIP)) / np.sqrt(2)
    smaller = np.sort(steps**2)[: -(-2 * len(steps) // 3)]
    if len(smaller) < VARIANCE_STEPS:
        return 1.0
    return sqrt(max(float(smaller.mean()) / SMALLER_VARIANCE / VARIANCE_CHANCE, 1.0))


def _deviations(history: History, reference: Reference, at: np.ndarray, share: float = 1.0) -> np.ndarray:
    most = share * reference.most
    return np.clip(history.quality[at] * (history.centers[at] - reference.level) / reference.sigma, -most, most)


def _drift(history: History, reference: Reference, recent: np.ndarray) -> list[Distance]:
    """Return the distance of the last 14 days from the anchor if it exceeds the guard by 2.5 standard errors.

    The reference must have followed by most of the guard, too. Uses the autocorrelation of the anchor's days: around
    the reference, a drift is autocorrelated.
    """
    weight = history.quality[recent] ** 2
    sigma = max(reference.anchor_error * sqrt(SETTLED_DAYS), reference.sigma)
    error = sigma * sqrt(1 / SETTLED_DAYS + 1 / float(weight.sum()))
    followed = reference.level - reference.anchor
    mean = float(history.quality[recent] @ _deviations(history, reference, recent) / weight.sum())
    above = followed + mean * reference.sigma
    if above <= GUARD + ANCHOR_ERRORS * error or followed <= FOLLOWED_LEAST * GUARD:
        return []
    score = _score(history, reference, recent, above / reference.sigma, error / reference.sigma)
    return [Distance(recent, reference.p50 - followed, above, score, p_value(score, len(recent)))]


def p_value(score: float, days: int) -> float:
    """Return the probability that the last ``days`` days of a stable dimension reach ``score`` in one analysis.

    A year has more stretches of three days than of two weeks (Duembgen and Spokoiny, 2001).
    """
    return float(min(1.0, P_SCALE * P_DAYS / days * np.exp(-0.5 * max(score, 0.0) ** 2)))
