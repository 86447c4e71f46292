"""Effect of an episode of slowness: P50s before, while slow and after, and the time given back per week.

Belongs here: the effect as a pure function of daily history. Does not: which days are slow (actions.item_steps).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leo_telemetry_pipeline.analysis import noise
from leo_telemetry_pipeline.analysis.compare import Side, difference, median, part

DAYS_PER_WEEK = 7
# Shorter durations have no logarithm, or one without meaning.
_LEAST_MS = 1e-3


@dataclass(frozen=True)
class Effect:
    """P50s in ms before, at worst, while slow and after; ``ratio`` is after over slow. None if unknown.

    Intervals (``low``, ``high``) are of 95 %. Time given back: the difference of the P50s times the spans per week.
    """

    before_ms: float | None
    worst_ms: float | None
    slow_ms: float
    after_ms: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    spans_per_week: float
    given_back_ms_per_week: float
    given_back_low: float | None
    given_back_high: float | None
    slow_days: int
    after_days: int


def effect(before: Side | None, slow: Side, after: Side, worst_ms: float | None, gamma: float) -> Effect:
    """Compare the days after an episode with its slow days."""
    p50 = difference(slow, after, 0.5, gamma, _memory([side for side in (before, slow, after) if side], gamma))
    weekly = after.count / len(after.days) * DAYS_PER_WEEK
    low, high = (None if end is None else -end * weekly for end in (p50.difference_ms.high, p50.difference_ms.low))
    return Effect(
        before_ms=None if before is None else median(before, gamma),
        worst_ms=worst_ms,
        slow_ms=p50.a_ms,
        after_ms=p50.b_ms,
        ratio=p50.ratio.value,
        ratio_low=p50.ratio.low,
        ratio_high=p50.ratio.high,
        spans_per_week=weekly,
        given_back_ms_per_week=(p50.a_ms - p50.b_ms) * weekly,
        given_back_low=low,
        given_back_high=high,
        slow_days=len(slow.days),
        after_days=len(after.days),
    )


def _memory(sides: Sequence[Side], gamma: float) -> float:
    """Return the first-order autocorrelation of daily P50s around the level of their side, at least 0."""
    left = np.concatenate([of_days - np.median(of_days) for of_days in (_log_p50s(side, gamma) for side in sides)])
    rho = noise.correlation(left[None], noise.sigma(left[None]), fitted=len(sides))[0, 0]
    return float(np.clip(rho, 0.0, noise.RHO_MOST))


def _log_p50s(side: Side, gamma: float) -> np.ndarray:
    of_days = (part(side, day, day + 1) for day in side.days.tolist())
    p50s = np.array([median(of_day, gamma) for of_day in of_days if of_day])
    return np.log(np.maximum(p50s, _LEAST_MS))
