"""Parametric bootstrap of weekly P50s at one level.

Belongs here: simulated weeks, and how often per year they exceed a limit. Does not: finding levels (levels), real
weeks (alarm_replay), which limit to suggest (tuning).

Level and noise are estimated from a sample of days, so each replicate also draws their estimation errors (bootstrap
of a prediction: Efron and Tibshirani, 1993, chapter 25; Beran, 1990).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from leo_telemetry_pipeline.analysis import noise
from leo_telemetry_pipeline.analysis.alarm_replay import WEEK
from leo_telemetry_pipeline.analysis.levels import LEAST_MS

YEAR_DAYS = 365.25
# Enough simulated alarms for a rate within about 10 %.
ALARMS = 150
YEARS_MOST = 1500
# Candidate scales of the logistic distribution of log durations within a day.
SPREADS = np.geomspace(0.01, 1.5, 12)
# 12 bisections find the P50 of a week to within 1/4000 of the range of its daily P50s.
HALVINGS = 12
# Bounds of the ratio of observed to simulated standard deviation of weekly P50s.
SCALES = (0.7, 1.4)
RHO = (-0.5, 0.95)
# Degrees of freedom used: the level was fitted to the days that are resampled.
FITTED = 1
# Candidate shares of a day's noise variance that are due to its number of spans.
SPANS_SHARE = (0.0, 0.25, 0.5, 0.75, 1.0)
TINY = np.finfo(float).tiny
SEED = 20_260_208
BATCH = 200


@dataclass(frozen=True)
class Stable:
    """Days of one level: ascending day numbers, span counts, log P50s without rhythm (``x``), and the rhythm itself."""

    days: np.ndarray
    counts: np.ndarray
    x: np.ndarray
    rhythm: np.ndarray


@dataclass(frozen=True)
class Simulation:
    """Simulated weekly log P50s, sorted: ``all``, and those before (``below``) and after (``above``) each increase."""

    below: np.ndarray
    above: np.ndarray
    all: np.ndarray
    years: float

    def alarms_a_year(self, limit_ms: float) -> float:
        """Return the number of alarms per year."""
        return float(self._crossings(np.array([np.log(limit_ms)]))[0] / self.years)

    def share_over(self, limit_ms: float) -> float:
        """Return the share of weeks above a limit, 0 to 1."""
        return 1 - float(np.searchsorted(self.all, np.log(limit_ms), side="right")) / len(self.all)

    def least_limit(self, alarms_a_year: float) -> float:
        """Return the lowest limit in ms, not below the median week, with at most this many alarms per year."""
        limits = self.all[len(self.all) // 2 :]
        too_often = np.append(self._crossings(limits) > alarms_a_year * self.years, [False])
        # Sampling noise makes the rate cross its target several times: take the middle of the crossings.
        first, last = too_often.argmin(), len(too_often) - 1 - too_often[::-1].argmax() if too_often.any() else 0
        return float(np.exp((limits[min(first, len(limits) - 1)] + limits[last]) / 2))

    def _crossings(self, limits: np.ndarray) -> np.ndarray:
        below, above = (np.searchsorted(ends, limits, side="right") for ends in (self.below, self.above))
        return below - above


def simulate(stable: Stable, weeks: np.ndarray, alarms_a_year: float) -> Simulation:
    """Simulate enough weeks of a level to find the limit with this many alarms per year; deterministic.

    ``weeks``: weekly P50s in ms, one for the week ending on each day from the seventh of the level; NaN without spans.
    """
    places = _places(stable.days)
    not_empty = (places >= 0).any(axis=1)
    places, real = places[not_empty], np.log(np.maximum(weeks[not_empty], LEAST_MS))
    known = np.isfinite(real)
    spread, scale = _fitted(stable, places[known], real[known])
    years = float(np.clip(ALARMS / alarms_a_year, 1.0, YEARS_MOST))
    times = int(np.ceil(years * YEAR_DAYS / len(places)))
    drawn = np.concatenate(list(_drawn(stable, places, spread, times)))
    middle = drawn.mean()
    # Subtract an estimation error of the level: the deviation of another replicate's mean.
    error = np.roll(drawn.mean(axis=1) - middle, 1)[:, None]
    drawn = real[known].mean() + scale * (drawn - middle - error)
    below, above = drawn[:, :-1].ravel(), drawn[:, 1:].ravel()
    up = below < above
    simulated_years = times * (len(places) - 1) / YEAR_DAYS
    return Simulation(np.sort(below[up]), np.sort(above[up]), np.sort(drawn, axis=None), simulated_years)


def _places(days: np.ndarray) -> np.ndarray:
    """Return the positions of each week's days, of shape [weeks, 7]; -1 for missing days."""
    wanted = np.arange(days[0] + WEEK - 1, days[-1] + 1)[:, None] - np.arange(WEEK)
    at = np.minimum(np.searchsorted(days, wanted), len(days) - 1)
    return np.where(days[at] == wanted, at, -1)


def week_p50(x: np.ndarray, counts: np.ndarray, places: np.ndarray, spread: float) -> np.ndarray:
    """Return the log P50 of each week, of shape [replicates, weeks], from the log P50s ``x`` of its days.

    Log durations of a day are modelled as logistic around its P50: with a large ``spread`` the P50 of a week is the
    mean of its days, with a small one it is their median.
    """
    of_week, weight = x[:, places], np.where(places >= 0, counts[places], 0.0)
    low = np.where(places >= 0, of_week, np.inf).min(axis=2)
    high = np.where(places >= 0, of_week, -np.inf).max(axis=2)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        is_low = np.einsum("rwd,wd->rw", np.tanh((middle[:, :, None] - of_week) / (2 * spread)), weight) < 0
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return (low + high) / 2


def _fitted(stable: Stable, places: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """Return the spread that fits the observed weeks best, and the ratio of observed to modelled deviation."""
    days = (stable.x + stable.rhythm)[None]
    fits = np.array([week_p50(days, stable.counts, places, spread)[0] for spread in SPREADS])
    fits, real = fits - fits.mean(axis=1, keepdims=True), real - real.mean()
    best = int(((fits - real) ** 2).sum(axis=1).argmin())
    return float(SPREADS[best]), float(np.clip((real.std() + TINY) / (fits[best].std() + TINY), *SCALES))


def _drawn(stable: Stable, places: np.ndarray, spread: float, times: int) -> Iterator[np.ndarray]:
    """Yield the simulated weeks of ``times`` replicates, in batches."""
    rng = np.random.default_rng(SEED)
    points = len(stable.x)
    quality = _quality(stable)
    left = quality * (stable.x - np.average(stable.x, weights=quality**2))
    rho = float(np.clip(noise.correlation(left[None], noise.sigma(left[None]), 1)[0, 0], *RHO))
    steps = left[1:] - rho * left[:-1]
    steps = (steps - steps.mean()) * np.sqrt(points / (points - FITTED))
    for first in range(0, times, BATCH):
        rows = min(BATCH, times - first)
        rhos = np.clip(rho + np.sqrt((1 - rho**2) / points) * rng.standard_normal(rows), *RHO)
        x = _noise(steps, rhos, points, rng) / quality + stable.rhythm
        yield week_p50(x, stable.counts, places, spread)


def _quality(stable: Stable) -> np.ndarray:
    """Return the inverse standard deviation of each day, with the most likely value of ``SPANS_SHARE``."""
    of_spans = np.median(stable.counts) / stable.counts
    left = noise.winsorized((stable.x - np.median(stable.x))[None])[0]
    variances = [(1 - share) + share * of_spans for share in SPANS_SHARE]
    likely = [-np.log(each).sum() - len(left) * np.log(np.mean(left**2 / each) + TINY) for each in variances]
    return 1 / np.sqrt(variances[int(np.argmax(likely))])


def _noise(steps: np.ndarray, rhos: np.ndarray, points: int, rng: np.random.Generator) -> np.ndarray:
    """Return AR(1) noise, one row per autocorrelation; each row resamples innovations from a resample of ``steps``."""
    pools = steps[rng.integers(0, len(steps), (len(rhos), len(steps)))]
    chosen = np.take_along_axis(pools, rng.integers(0, len(steps), (len(rhos), points)), axis=1)
    chosen[:, 0] /= np.sqrt(1 - rhos**2)
    for at in range(1, points):
        chosen[:, at] += rhos * chosen[:, at - 1]
    return chosen
