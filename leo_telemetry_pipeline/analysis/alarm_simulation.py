"""Parametric bootstrap of weekly P50s: the days of one level, drawn many times, each time with other noise.

Belongs here: drawing them, and how often a year their P50 comes over a limit. Does not: which level that is (levels),
real weeks (alarm_replay), which limit to suggest (tuning).

A promise about weeks to come must allow for what is not known: the level and the noise are only known from some days.
So each rehearsal first draws which days the noise was learned from, and how far the level was off (a parametric
bootstrap of a prediction: Efron and Tibshirani, 1993, chapter 25; Beran, 1990).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from leo_telemetry_pipeline.analysis import noise
from leo_telemetry_pipeline.analysis.alarm_replay import WEEK
from leo_telemetry_pipeline.analysis.levels import LEAST_MS

YEAR_DAYS = 365.25
# So many alarms are rehearsed at the least, of which their number is then known to about a tenth.
ALARMS = 150
YEARS_MOST = 1500
# How wide the spans of one day may scatter, as the scale of a logistic distribution of logarithms.
SPREADS = np.geomspace(0.01, 1.5, 12)
# Halving so often finds a P50 to a four-thousandth of the distance between the days of its week.
HALVINGS = 12
# By so much the weeks may vary less or more than their days say.
SCALES = (0.7, 1.4)
RHO = (-0.5, 0.95)
# The level was fitted to the days whose noise is drawn again.
FITTED = 1
# Which part of a day's noise is that of its spans: what is tried.
SPANS_SHARE = (0.0, 0.25, 0.5, 0.75, 1.0)
TINY = np.finfo(float).tiny
SEED = 20_260_208
BATCH = 200


@dataclass(frozen=True)
class Stable:
    """Days of one level: their numbers in order, spans, logarithms of P50s without rhythm, the rhythm."""

    days: np.ndarray
    counts: np.ndarray
    x: np.ndarray
    rhythm: np.ndarray


@dataclass(frozen=True)
class Rehearsal:
    """Logarithms of P50s between which a week went up from one day to the next, ascending, over ``years``."""

    below: np.ndarray
    above: np.ndarray
    all: np.ndarray
    years: float

    def alarms_a_year(self, limit_ms: float) -> float:
        """Return how often a year the P50 of a week comes over a limit."""
        return float(self._crossings(np.array([np.log(limit_ms)]))[0] / self.years)

    def share_over(self, limit_ms: float) -> float:
        """Return the part of weeks that are over a limit, 0 to 1."""
        return 1 - float(np.searchsorted(self.all, np.log(limit_ms), side="right")) / len(self.all)

    def least_limit(self, alarms_a_year: float) -> float:
        """Return the lowest limit in ms, from the middle of all weeks up, over which they come so often or less."""
        tried = self.all[len(self.all) // 2 :]
        too_often = np.append(self._crossings(tried) > alarms_a_year * self.years, [False])
        # They come and go a few times around the limit by the chance of what was drawn: half way it is as likely.
        first, last = too_often.argmin(), len(too_often) - 1 - too_often[::-1].argmax() if too_often.any() else 0
        return float(np.exp((tried[min(first, len(tried) - 1)] + tried[last]) / 2))

    def _crossings(self, limits: np.ndarray) -> np.ndarray:
        below, above = (np.searchsorted(each, limits, side="right") for each in (self.below, self.above))
        return below - above


def rehearse(stable: Stable, weeks: np.ndarray, alarms_a_year: float) -> Rehearsal:
    """Draw weeks like those of a level until a limit of so many alarms a year is known.

    ``weeks``: the P50s in ms of the weeks that end on each day from the seventh of the level to its last, NaN where
    none is. The same input gives the same weeks.
    """
    places = _places(stable.days)
    there = (places >= 0).any(axis=1)
    places, real = places[there], np.log(np.maximum(weeks[there], LEAST_MS))
    known = np.isfinite(real)
    spread, scale = _fitted(stable, places[known], real[known])
    years = float(np.clip(ALARMS / alarms_a_year, 1.0, YEARS_MOST))
    times = int(np.ceil(years * YEAR_DAYS / len(places)))
    drawn = np.concatenate(list(_drawn(stable, places, spread, times)))
    middle = drawn.mean()
    # How far the level of such days is off is what the level of other such days is off.
    off = np.roll(drawn.mean(axis=1) - middle, 1)[:, None]
    drawn = real[known].mean() + scale * (drawn - middle - off)
    below, above = drawn[:, :-1].ravel(), drawn[:, 1:].ravel()
    up = below < above
    return Rehearsal(
        np.sort(below[up]), np.sort(above[up]), np.sort(drawn, axis=None), times * (len(places) - 1) / YEAR_DAYS
    )


def _places(days: np.ndarray) -> np.ndarray:
    """Return where the days of each week are, of the shape [weeks, 7]; -1 for days that are not there."""
    wanted = np.arange(days[0] + WEEK - 1, days[-1] + 1)[:, None] - np.arange(WEEK)
    at = np.minimum(np.searchsorted(days, wanted), len(days) - 1)
    return np.where(days[at] == wanted, at, -1)


def week_p50(x: np.ndarray, counts: np.ndarray, places: np.ndarray, spread: float) -> np.ndarray:
    """Return the logarithm of the P50 of each week, of the shape [rehearsals, weeks], from those of its days.

    The spans of a day are taken to scatter around its P50 as a logistic distribution does: where that is wide, the
    P50 of the week is the mean of its days, and where it is narrow their median.
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
    """Return the spread of a day's spans that explains real weeks best, and by how much more they vary than so."""
    days = (stable.x + stable.rhythm)[None]
    made = np.array([week_p50(days, stable.counts, places, spread)[0] for spread in SPREADS])
    made, real = made - made.mean(axis=1, keepdims=True), real - real.mean()
    best = int(((made - real) ** 2).sum(axis=1).argmin())
    return float(SPREADS[best]), float(np.clip((real.std() + TINY) / (made[best].std() + TINY), *SCALES))


def _drawn(stable: Stable, places: np.ndarray, spread: float, times: int) -> Iterator[np.ndarray]:
    """Yield the weeks of so many rehearsals, some at a time."""
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
    """Return the inverse of how noisy each day is for its spans: the part of noise that they make is the likeliest."""
    of_spans = np.median(stable.counts) / stable.counts
    left = noise.winsorized((stable.x - np.median(stable.x))[None])[0]
    tried = [(1 - share) + share * of_spans for share in SPANS_SHARE]
    likely = [-np.log(one).sum() - len(left) * np.log(np.mean(left**2 / one) + TINY) for one in tried]
    return 1 / np.sqrt(tried[int(np.argmax(likely))])


def _noise(steps: np.ndarray, rhos: np.ndarray, points: int, rng: np.random.Generator) -> np.ndarray:
    """Return first-order autoregressive noise, a row a memory, each from steps that were themselves drawn."""
    pools = steps[rng.integers(0, len(steps), (len(rhos), len(steps)))]
    chosen = np.take_along_axis(pools, rng.integers(0, len(steps), (len(rhos), points)), axis=1)
    chosen[:, 0] /= np.sqrt(1 - rhos**2)
    for at in range(1, points):
        chosen[:, at] += rhos * chosen[:, at - 1]
    return chosen
