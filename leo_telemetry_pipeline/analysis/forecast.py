"""Forecast of the probability that a dimension is a bottleneck some days from now.

Belongs here: selecting dimensions and horizons, and the forecast of each. Does not: the models (statespace), accuracy
of past forecasts and calibration (backtest), display.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leo_telemetry_pipeline.analysis import bottlenecks, medians, statespace
from leo_telemetry_pipeline.analysis.statespace import HISTORY_DAYS, WINDOW_DAYS
from leo_telemetry_pipeline.dimension import Dimension

HORIZONS = (7, 14)
LEAST_DAYS = 14
MOST_DIMENSIONS = 300
INTERVAL = 0.9

NO_BASELINE = "no baseline"
NOT_SEEN = f"not seen in the last {WINDOW_DAYS} days"
TOO_FEW_DAYS = f"fewer than {LEAST_DAYS} days in the last {HISTORY_DAYS}"
NOT_CHOSEN = "not among the {most} dimensions with the most time per week"

_LARGEST_LOG_ODDS = 6.0


@dataclass(frozen=True)
class ForecastInput:
    """A dimension's closed days (UTC day numbers, gaps allowed), their spans and P50s in ms, and its threshold.

    ``week_ms``: its total time in the last seven days.
    """

    dimension_type: str
    dimension_key: str
    days: np.ndarray
    counts: np.ndarray
    p50_ms: np.ndarray
    baseline_p50_ms: float | None
    multiplier: float = bottlenecks.DEFAULT_MULTIPLIER
    week_ms: float = 0.0

    @property
    def dimension(self) -> Dimension:
        """The dimension's type and key."""
        return self.dimension_type, self.dimension_key

    def upto(self, day: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the days up to ``day``, ascending, with spans and P50s, without invalid values."""
        days = np.asarray(self.days, dtype="int64")
        counts, p50 = np.asarray(self.counts, dtype="float64"), np.asarray(self.p50_ms, dtype="float64")
        order = np.argsort(days, kind="stable")
        good = (days <= day) & (counts > 0) & np.isfinite(counts) & np.isfinite(p50) & (p50 >= 0)
        order = order[good[order]]
        return days[order], counts[order], p50[order]


@dataclass(frozen=True)
class Forecast:
    """Forecast of the window that ends with ``day``, a UTC day number, or the ``reason`` why there is none.

    ``probability``: of a P50 over the threshold. ``p50_ms``: the median forecast; ``low_ms`` to ``high_ms``: its 90 %
    prediction interval.
    """

    dimension_type: str
    dimension_key: str
    horizon_days: int
    day: int
    probability: float | None = None
    p50_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Calibration:
    """Platt scaling: a line through the log odds; by default the identity."""

    intercept: float = 0.0
    slope: float = 1.0

    def of(self, probability: Any) -> Any:
        """Return the calibrated probability, or an array of them; never 0 or 1."""
        return 1 / (1 + np.exp(-(self.intercept + self.slope * log_odds(probability))))


def log_odds(probability: Any) -> Any:
    """Return the log odds, clipped to ±6: no history is long enough to know more."""
    inside = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.clip(np.log(inside / (1 - inside)), -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)


def forecast(
    histories: Sequence[ForecastInput],
    today: int,
    *,
    horizons: Sequence[int] = HORIZONS,
    most: int = MOST_DIMENSIONS,
    calibration: Calibration | None = None,
) -> list[Forecast]:
    """Forecast each dimension for each horizon in days after ``today``, the last closed UTC day.

    One row per dimension and horizon, in input order; a dimension without a forecast, or not among the ``most`` with
    the most time per week, has a reason instead. ``calibration``: from the backtest.
    """
    learned = calibration or Calibration()
    chosen = choose(histories, today, most)
    rows: list[Forecast] = []
    for history in histories:
        reason = why_not(history, today)
        if not reason and history.dimension not in chosen:
            reason = NOT_CHOSEN.format(most=most)
        if reason:
            rows += [Forecast(*history.dimension, horizon, today + horizon, reason=reason) for horizon in horizons]
            continue
        for horizon, expected in zip(horizons, expect(history, today, horizons), strict=True):
            low, middle, high = expected.interval(INTERVAL)
            probability = float(learned.of(expected.above(threshold(history))))
            rows.append(Forecast(*history.dimension, horizon, today + horizon, probability, middle, low, high))
    return rows


def choose(histories: Iterable[ForecastInput], today: int, most: int) -> Collection[tuple[str, str]]:
    """Return the dimensions with the most time per week that can be forecast; ties by name."""
    able = [history for history in histories if not why_not(history, today)]
    able.sort(key=lambda history: (-history.week_ms, history.dimension))
    return {history.dimension for history in able[:most]}


def why_not(history: ForecastInput, today: int) -> str:
    """Return why a dimension cannot be forecast on a day, empty if it can."""
    baseline = history.baseline_p50_ms
    if baseline is None or not 0 < baseline < np.inf or not 0 < history.multiplier < np.inf:
        return NO_BASELINE
    days, _, _ = history.upto(today)
    if not np.any(days > today - WINDOW_DAYS):
        return NOT_SEEN
    return TOO_FEW_DAYS if np.count_nonzero(days > today - HISTORY_DAYS) < LEAST_DAYS else ""


def threshold(history: ForecastInput) -> float:
    """Return the P50 in ms over which a dimension with a baseline is a bottleneck."""
    assert history.baseline_p50_ms is not None
    return history.baseline_p50_ms * history.multiplier * bottlenecks.ROUNDING


def expect(history: ForecastInput, today: int, horizons: Sequence[int]) -> list[statespace.Mixture]:
    """Return the predictive distributions of the windows that end ``horizons`` days after ``today``."""
    return statespace.expect(*history.upto(today), today, horizons)


def window_p50(history: ForecastInput, last_day: int) -> float | None:
    """Return the P50 in ms of the window up to a day, None if empty: the median of its days, weighted by spans."""
    days, counts, p50 = history.upto(last_day)
    inside = days > last_day - WINDOW_DAYS
    return medians.weighted(p50[inside], counts[inside]) if inside.any() else None
