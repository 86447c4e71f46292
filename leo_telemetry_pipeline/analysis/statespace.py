"""Predictive distribution of the P50 of a future window, from daily P50s.

Belongs here: preparing the series, state-space models of its logarithm, and their mixture.
Does not: thresholds, dimensions, accuracy (forecast, backtest).

Models: a level, random walk or slope, with white or AR(1) noise, with or without level breaks, filtered by
statsmodels. Bayesian model averaging instead of selection: nothing is optimised, so nothing can fail to converge.
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

# Stands for a P50 of 0 in whole ms, which has no logarithm.
_ZERO_MS = 0.5
# Correction of the noise estimated from differences of neighbours for typical autocorrelation.
_HIDDEN = 1.3
# Probability of a level break per day, and its size (standard deviation of the log).
_HAZARD = 0.01
_JUMP = 0.4
# Weight of the noise prior, in days.
_PRIOR_DAYS = 6.0
# Outliers are clipped to this distance from the days around them, in sigmas.
_FARTHEST = 3.0
# Least score of a candidate break and least days per side, both below the detector's: the likelihood decides.
_TRIED = 3.0
_EITHER_SIDE = 2
# Search range of interval ends, in scales, and bisection steps.
_WIDEST = 20.0
_HALVINGS = 40


@dataclass(frozen=True)
class Mixture:
    """Predictive distribution of a window's log P50 in ms: a mixture of Student's t distributions."""

    weights: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    freedom: float

    def above(self, p50_ms: float) -> float:
        """Return the probability that the window's P50 is over ``p50_ms``."""
        return float(1 - self._below(np.log(np.array([p50_ms])))[0])

    def interval(self, share: float) -> tuple[float, float, float]:
        """Return lower end, median and upper end, in ms, of the central interval with probability ``share``."""
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
    """Return the predictive distribution of the 7-day window that ends each of ``horizons`` days after ``today``.

    ``days``: ascending UTC day numbers up to today, at least two, gaps allowed. Model weights are prior times marginal
    likelihood, with the noise variance integrated out under an inverse gamma prior (West and Harrison, Bayesian
    Forecasting and Dynamic Models, chapters 4 and 12).
    """
    series = _series(days, counts, p50_ms, today)
    breaks = _breaks(series.values)
    tried = [(model, breaks[:number]) for model in _models() for number in range(len(breaks) + 1)]
    seen = _filtered(series, tried)
    evidence = np.array([filtered.evidence for filtered in seen])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    return [_ahead(series, horizon, weights, [model for model, _ in tried], seen) for horizon in horizons]


@dataclass(frozen=True)
class _Scaled:
    """One value per day, standardised by centre and noise, NaN for gaps.

    ``doubts``: additional variance of days with fewer spans than usual.
    """

    values: np.ndarray
    doubts: np.ndarray
    centre: float
    noise: float


def _series(days: np.ndarray, counts: np.ndarray, p50_ms: np.ndarray, today: int) -> _Scaled:
    recent = days > today - HISTORY_DAYS
    days, counts, logs = days[recent], counts[recent], np.log(np.where(p50_ms[recent] == 0, _ZERO_MS, p50_ms[recent]))
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
    """Return up to two candidate break days by the detector's statistic, most likely first."""
    first = _likeliest(values, 0, len(values))
    if first is None:
        return []
    parts = [_likeliest(values, 0, first[1]), _likeliest(values, first[1], len(values))]
    return [first[1], *(day for _, day in sorted(filter(None, parts), reverse=True)[:1])]


def _likeliest(values: np.ndarray, start: int, end: int) -> tuple[float, int] | None:
    days = start + np.flatnonzero(~np.isnan(values[start:end]))
    if len(days) < 2 * _EITHER_SIDE:
        return None
    scores, splits, _, _ = scan.splits(values[days][None], np.ones((1, len(days))), _EITHER_SIDE)
    return (float(scores[0]), int(days[splits[0]])) if scores[0] > _TRIED else None


@dataclass(frozen=True)
class _Model:
    """State-space model with state (level, slope, AR(1) noise), in units of the noise."""

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
    # Constant, random walk, slowly changing slope: more variants did not improve forecasts.
    levels = ((0.0, 0.0, 0.0, 2.0), (0.3, 0.0, 0.0, 1.0), (0.02, 0.1, 0.03, 1.0))
    return tuple(_Model(*level[:3], *noise, level[3]) for noise in noises for level in levels)


@dataclass(frozen=True)
class _Filtered:
    """Result of filtering: the last state and its covariance, the noise variance, and the log evidence."""

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
    """Mix the models, each with and without a level break before most of the window."""
    means, variances = np.empty(len(seen)), np.empty(len(seen))
    for index, (model, filtered) in enumerate(zip(models, seen, strict=True)):
        of_state, new = _window(model, horizon)
        means[index] = of_state @ filtered.state
        variances[index] = filtered.variance * (of_state @ filtered.spread @ of_state + new)
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
    """Return the weights of today's state in the mean of a future window, and the variance added until then."""
    powers = [np.linalg.matrix_power(model.transition, step) for step in range(horizon + 1)]
    days = [day for day in range(horizon - WINDOW_DAYS + 1, horizon + 1) if day > 0]
    observed = np.array([1.0, 0.0, 1.0])
    new = model.white / len(days)
    for step in range(1, horizon + 1):
        weight = sum((observed @ powers[day - step] for day in days if day >= step), np.zeros(3)) / len(days)
        new += float(weight @ model.shocks @ weight)
    return sum((observed @ powers[day] for day in days), np.zeros(3)) / len(days), new
