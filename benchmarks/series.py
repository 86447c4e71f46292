"""Made-up timings in which the truth is known: six families of noise, steps, drifts, weeks of daily medians.

Belongs here: generators of arrays, each drawn from a generator of random numbers that the caller seeds.
Does not: detection, or what is measured of it.
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
    """Draw normal noise of which 5 % of the points take five times as long."""
    return normal(rng, series, points) * np.where(rng.random((series, points)) < 0.05, 5.0, 1.0)


def bimodal(rng: np.random.Generator, series: int, points: int) -> np.ndarray:
    """Draw normal noise of which 20 % of the points take twice as long."""
    return normal(rng, series, points) * np.where(rng.random((series, points)) < 0.2, 2.0, 1.0)


def autoregressive(rng: np.random.Generator, series: int, points: int) -> np.ndarray:
    """Draw first-order autoregressive noise, coefficient 0.6, with a coefficient of variation of 10 %."""
    drawn = rng.standard_normal((series, points))
    noise = np.empty_like(drawn)
    noise[:, 0] = drawn[:, 0]
    for at in range(1, points):
        noise[:, at] = RHO * noise[:, at - 1] + np.sqrt(1 - RHO**2) * drawn[:, at]
    return np.maximum(1 + CV * noise, 0.01)


def daily_wave(rng: np.random.Generator, series: int, points: int) -> np.ndarray:
    """Draw normal noise on a sine of 20 % with a period of 24 points, as of a day seen hourly, in any phase."""
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
    """Return the series with the points from each onset on longer by ``step`` (0.5 is +50 %)."""
    return values * np.where(np.arange(values.shape[1]) >= onsets[:, None], 1 + step, 1.0)


def weeks(
    rng: np.random.Generator, series: int, days: int, spans: int | None = None, sigma: float = SPAN_SIGMA
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the P50 in ms, spans and number of each day from a Monday on, weekends 40 % faster than weekdays.

    A span is log-normal around 1 s. ``spans`` a day, or else 50 on weekdays and 10 to 50 on weekends.
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
