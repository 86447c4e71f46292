"""Simulated timings with known changes: six families of noise, steps, weeks of daily medians.

Belongs here: arrays drawn with the caller's random generator. Does not: detection, measurements.
"""

from collections.abc import Callable

import numpy as np

WAVE_POINTS = 24
WAVE = 0.2
CV = 0.1
RHO = 0.6
WEEKDAY_SPANS = 50
WEEKEND_SPANS = (10, 50)
WEEKEND_LEVEL = 0.6
SPAN_SIGMA = 0.3

# A Monday, as days since 1970-01-01.
MONDAY = 20_458


def normal(rng: np.random.Generator, series: int, points: int) -> np.ndarray:
    """Draw normal noise with a coefficient of variation of 10 % around 1."""
    return np.maximum(1 + CV * rng.standard_normal((series, points)), 0.01)


def log_normal(rng: np.random.Generator, series: int, points: int) -> np.ndarray:
    """Draw log-normal noise with sigma 0.5."""
    return np.exp(0.5 * rng.standard_normal((series, points)))


def outliers(rng: np.random.Generator, series: int, points: int) -> np.ndarray:
    """Draw normal noise with 5 % of the points five times as long."""
    return normal(rng, series, points) * np.where(rng.random((series, points)) < 0.05, 5.0, 1.0)


def bimodal(rng: np.random.Generator, series: int, points: int) -> np.ndarray:
    """Draw normal noise with 20 % of the points twice as long."""
    return normal(rng, series, points) * np.where(rng.random((series, points)) < 0.2, 2.0, 1.0)


def ar1(rng: np.random.Generator, series: int, points: int, rho: float) -> np.ndarray:
    """Draw normal noise around 0 with variance 1 and a first-order autocorrelation."""
    drawn = rng.standard_normal((series, points))
    noise = np.empty_like(drawn)
    noise[:, 0] = drawn[:, 0]
    for at in range(1, points):
        noise[:, at] = rho * noise[:, at - 1] + np.sqrt(1 - rho**2) * drawn[:, at]
    return noise


def autoregressive(rng: np.random.Generator, series: int, points: int) -> np.ndarray:
    """Draw AR(1) noise with coefficient 0.6 and a coefficient of variation of 10 %."""
    return np.maximum(1 + CV * ar1(rng, series, points, RHO), 0.01)


def daily_wave(rng: np.random.Generator, series: int, points: int) -> np.ndarray:
    """Draw normal noise on a 20 % sine with a period of 24 points (hours of a day) and random phase."""
    phase = rng.random((series, 1)) * 2 * np.pi
    return normal(rng, series, points) * (1 + WAVE * np.sin(2 * np.pi * np.arange(points) / WAVE_POINTS + phase))


FAMILIES: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "normal": normal,
    "log-normal": log_normal,
    "outliers": outliers,
    "bimodal": bimodal,
    "AR(1)": autoregressive,
    "daily wave": daily_wave,
}


def stepped(values: np.ndarray, onsets: np.ndarray, step: float) -> np.ndarray:
    """Return the series with a step of ``step`` (0.5 is +50 %) at each onset."""
    return values * np.where(np.arange(values.shape[1]) >= onsets[:, None], 1 + step, 1.0)


def weeks(
    rng: np.random.Generator, series: int, days: int, spans: int | None = None, sigma: float = SPAN_SIGMA
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw P50 in ms, span count and number of each day from a Monday, with weekends 40 % faster than weekdays.

    Spans are log-normal around 1 s; ``spans`` per day, by default 50 on weekdays and 10 to 50 on weekends.
    """
    numbers = MONDAY + np.arange(days)
    weekend = np.arange(days) % 7 >= 5
    counts = np.where(weekend, rng.integers(WEEKEND_SPANS[0], WEEKEND_SPANS[1] + 1, (series, days)), WEEKDAY_SPANS)
    if spans is not None:
        counts = np.full((series, days), spans)
    drawn = rng.standard_normal((series, days, int(counts.max())))
    drawn[np.arange(drawn.shape[2]) >= counts[:, :, None]] = np.nan
    medians = np.exp(sigma * np.nanmedian(drawn, axis=2))
    return 1000 * medians * np.where(weekend, WEEKEND_LEVEL, 1.0), counts, numbers
