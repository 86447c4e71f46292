"""What the P50 of a coming window may be, by the P50 of each day before.

Belongs here: the series that is made of the days, the state-space models of its logarithm, and their mixture.
Does not: thresholds, dimensions, how good it was (forecast, backtest).

statsmodels filters every model: a level that may walk or have a slope, under noise that may have a memory, with or
without breaks of the level. None is chosen: each counts by its likelihood, so nothing is fitted that could fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import lgamma
from typing import Any

import numpy as np

from leo_telemetry_pipeline.analysis import medians, noise, scan

WINDOW_DAYS = 7
HISTORY_DAYS = 90

# Sub-millisecond spans have duration 0, which has no logarithm.
_LEAST_MS = 0.5
# A memory of the noise makes neighbours alike: so many times the noise that they show is there at a usual one.
_HIDDEN = 1.3
# How often a level breaks (a day), and by how much (standard deviation of the log).
_HAZARD = 0.01
_JUMP = 0.4
# What is believed of the noise before any day was seen, in days of evidence.
_PRIOR_DAYS = 6.0
# In units of the noise: how far from the days around it a day may count as lying, so that an odd one moves little.
_FARTHEST = 3.0
# A break is tried where the detector's statistic is this high, with this many days on either side. Both are less than a
# change needs, as the likelihood decides.
_TRIED = 3.0
_EITHER_SIDE = 2
# Where the end of an interval is looked for, in scales, and how closely.
_WIDEST = 20.0
_HALVINGS = 40


@dataclass(frozen=True)
class Mixture:
    """What is expected of a window's log P50 in ms: Student's t distributions, each with its weight."""

    weights: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    freedom: float

    def above(self, p50_ms: float) -> float:
        """Return the probability that the window's P50 is over so many ms."""
        return float(1 - self._below(np.log(np.array([p50_ms])))[0])

    def interval(self, share: float) -> tuple[float, float, float]:
        """Return the lower end, the median and the upper end, in ms, of where the P50 lies with that probability."""
        wanted = np.array([(1 - share) / 2, 0.5, (1 + share) / 2])
        span = _WIDEST * self.scales
        low, high = np.full(3, np.min(self.means - span)), np.full(3, np.max(self.means + span))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            under = self._below(middle) < wanted
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        lower, median, upper = (float(np.exp(end)) for end in (low + high) / 2)
        return lower, median, upper

    def _below(self, log_ms: np.ndarray) -> np.ndarray:
        from scipy.special import stdtr  # noqa: TID251  # statsmodels brings it, and only a forecast imports it

        return stdtr(self.freedom, (log_ms[:, None] - self.means) / self.scales) @ self.weights


def expect(
    days: np.ndarray, counts: np.ndarray, p50_ms: np.ndarray, today: int, horizons: Sequence[int]
) -> list[Mixture]:
    """Return what is expected of the window of 7 days that ends so many days after ``today``.

    ``days``: ascending UTC day numbers up to today, at least two, gaps allowed; with the spans and the P50 of each.
    Bayesian model averaging: weights are prior times marginal likelihood, the noise's variance integrated out under
    an inverse gamma prior (West and Harrison, Bayesian Forecasting and Dynamic Models, chapters 4 and 12).
    """
    series = _series(days, counts, p50_ms, today)
    breaks = _breaks(series.values)
    tried = [(model, breaks[:number]) for model in _models() for number in range(len(breaks) + 1)]
    seen = _filtered(series, tried)
    evidence = np.array([one.evidence for one in seen])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    return [_ahead(series, horizon, weights, [model for model, _ in tried], seen) for horizon in horizons]


@dataclass(frozen=True)
class _Scaled:
    """A value for every day, in units of the noise around a centre, NaN where there is none.

    ``doubts``: the variance that a day has beyond a usual one's, because it has fewer spans.
    """

    values: np.ndarray
    doubts: np.ndarray
    centre: float
    noise: float


def _series(days: np.ndarray, counts: np.ndarray, p50_ms: np.ndarray, today: int) -> _Scaled:
    recent = days > today - HISTORY_DAYS
    days, counts, logs = days[recent], counts[recent], np.log(np.maximum(p50_ms[recent], _LEAST_MS))
    weekend = noise.weekend_effect(logs[None], days[None])[0]
    logs = logs - (weekend - medians.weighted(weekend, counts))
    sigma = float(noise.difference_sigma(_HIDDEN * logs[None])[0, 0])
    around = medians.running_by_day(days, logs)
    logs = around + np.clip(logs - around, -_FARTHEST * sigma, _FARTHEST * sigma)
    centre = float(np.median(logs[-2 * WINDOW_DAYS :]))
    values, doubts = np.full(today - days[0] + 1, np.nan), np.zeros(today - days[0] + 1)
    values[days - days[0]] = (logs - centre) / sigma
    doubts[days - days[0]] = np.clip(np.median(counts) / counts, 1, 16) - 1
    return _Scaled(values, doubts, centre, sigma)


def _breaks(values: np.ndarray) -> list[int]:
    """Return up to two days on which the level may have broken, the likeliest first, by the detector's statistic."""
    first = _likeliest(values, 0, len(values))
    if first is None:
        return []
    parts = [_likeliest(values, 0, first[1]), _likeliest(values, first[1], len(values))]
    return [first[1], *(day for _, day in sorted(filter(None, parts), reverse=True)[:1])]


def _likeliest(values: np.ndarray, start: int, end: int) -> tuple[float, int] | None:
    there = start + np.flatnonzero(~np.isnan(values[start:end]))
    if len(there) < 2 * _EITHER_SIDE:
        return None
    scores, splits, _, _ = scan.splits(values[there][None], np.ones((1, len(there))), _EITHER_SIDE)
    return (float(scores[0]), int(there[splits[0]])) if scores[0] > _TRIED else None


@dataclass(frozen=True)
class _Model:
    """Level, slope and the noise's memory as one state; all in units of the noise, whose variance is 1."""

    walk: float
    slope: float
    slope_walk: float
    memory: float
    white: float
    prior: float

    @property
    def transition(self) -> np.ndarray:
        return np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, self.memory]])

    @property
    def shocks(self) -> np.ndarray:
        return np.diag([self.walk**2, self.slope_walk**2, (1 - self.white) * (1 - self.memory**2)])

    @property
    def start(self) -> np.ndarray:
        return np.diag([1e4, self.slope**2, 1 - self.white])


@cache
def _models() -> tuple[_Model, ...]:
    noises = ((0.0, 1.0), (0.5, 0.2), (0.8, 0.3))
    # Stands still, walks, has a slope that changes slowly: more of each made no forecast better.
    levels = ((0.0, 0.0, 0.0, 2.0), (0.3, 0.0, 0.0, 1.0), (0.02, 0.1, 0.03, 1.0))
    return tuple(_Model(*level[:3], *noise, level[3]) for noise in noises for level in levels)


@dataclass(frozen=True)
class _Filtered:
    """What a model makes of the series: its last state, the noise's variance, and how well it foretold each day."""

    state: np.ndarray
    spread: np.ndarray
    variance: float
    freedom: float
    evidence: float


def _filtered(series: _Scaled, tried: Sequence[tuple[_Model, Sequence[int]]]) -> list[_Filtered]:
    from statsmodels.tsa.statespace.kalman_filter import KalmanFilter

    kalman = KalmanFilter(k_endog=1, k_states=3, k_posdef=3)
    kalman.bind(np.asfortranarray(series.values[None]))
    kalman["design"] = np.array([[1.0, 0.0, 1.0]])
    kalman["selection"] = np.eye(3)
    there = ~np.isnan(series.values)
    seen = []
    for model, breaks in tried:
        shocks = np.repeat(model.shocks[:, :, None], len(there), axis=2)
        for day in breaks:
            shocks[0, 0, day - 1] += (_JUMP / series.noise) ** 2
        kalman["transition"] = model.transition
        kalman["state_cov"] = shocks
        kalman["obs_cov"] = (model.white + series.doubts)[None, None]
        kalman.initialize_known(np.zeros(3), model.start)
        result: Any = kalman.filter()
        errors, variances = result.forecasts_error[0][there], result.forecasts_error_cov[0, 0][there]
        freedom, squares = _PRIOR_DAYS + len(errors), _PRIOR_DAYS + float(np.sum(errors**2 / variances))
        evidence = lgamma(freedom / 2) - freedom / 2 * np.log(squares) - float(np.sum(np.log(variances))) / 2
        evidence += np.log(model.prior) + len(breaks) * np.log(_HAZARD)
        last = result.filtered_state[:, -1], result.filtered_state_cov[:, :, -1]
        seen.append(_Filtered(*last, squares / freedom, freedom, evidence))
    return seen


def _ahead(
    series: _Scaled, horizon: int, weights: np.ndarray, models: Sequence[_Model], seen: Sequence[_Filtered]
) -> Mixture:
    """Put the models together, each twice: as things are, and with the level broken before most of the window."""
    means, variances = np.empty(len(seen)), np.empty(len(seen))
    for index, (model, one) in enumerate(zip(models, seen, strict=True)):
        of_state, new = _window(model, horizon)
        means[index] = of_state @ one.state
        variances[index] = one.variance * (of_state @ one.spread @ of_state + new)
    broken = 1 - (1 - _HAZARD) ** max(horizon - WINDOW_DAYS // 2, 0)
    scales = series.noise * np.sqrt(variances)
    return Mixture(
        np.concatenate([weights * (1 - broken), weights * broken]),
        np.tile(series.centre + series.noise * means, 2),
        np.concatenate([scales, np.hypot(scales, _JUMP)]),
        seen[0].freedom,
    )


@cache
def _window(model: _Model, horizon: int) -> tuple[np.ndarray, float]:
    """Return how the mean of a coming window weighs today's state, and the variance that comes new until then."""
    powers = [np.linalg.matrix_power(model.transition, step) for step in range(horizon + 1)]
    days = [day for day in range(horizon - WINDOW_DAYS + 1, horizon + 1) if day > 0]
    observed = np.array([1.0, 0.0, 1.0])
    new = model.white / len(days)
    for step in range(1, horizon + 1):
        weight = sum((observed @ powers[day - step] for day in days if day >= step), np.zeros(3)) / len(days)
        new += float(weight @ model.shocks @ weight)
    return sum((observed @ powers[day] for day in days), np.zeros(3)) / len(days), new
