"""Noise and rhythm of series: scale, autocorrelation, weekend effect, waves.

Belongs here: estimates for many series of equal length at a time. Does not: finding changes (scan, changes).
Arrays are series x points of logarithms; one number per series is a column.
"""

import numpy as np

from leo_telemetry_pipeline.analysis import medians

# Standard deviation of a normal distribution, divided by its median absolute deviation.
MAD_TO_SIGMA = 1.4826
# Lower bound of noise: 1 %.
SIGMA_LEAST = 0.01
SIGMA_CLIP = 2.5
CLIP = 4.5

RHO_MOST = 0.95
# Autocorrelation up to 0.75 standard errors counts as 0, from 1.75 on in full.
RHO_CHANCE = 0.75
# Share of a step that counts as autocorrelation: half, and more in short series.
RHO_OF_STEP = 0.5
RHO_OF_STEP_FEW = 24.0
# Of a step that jumps by 6 to 10 sigmas of neighbours' differences, less and less counts as autocorrelation; of a
# larger jump, nothing.
JUMP_SIDE = 3
JUMP_MEMORY = (6.0, 10.0)

STRETCH_ERRORS = 7.0

WAVE_LEAST_POINTS = 40
WAVE_CYCLES = 2.5
WAVE_SHARE = 0.25
WAVE_OVER_NOISE = 12.0
WAVES_MOST = 3
GRID = 4

WEEK_LEAST_DAYS = 14
WEEK_LEAST_REST = 3
WEEK_ERRORS = 3.0
# The standard error of a median is 1.25 times that of a mean.
MEDIAN_ERROR = 1.25


def clipped(sigmas: np.ndarray) -> np.ndarray:
    """Clip deviations in sigmas to ±4.5."""
    return np.clip(sigmas, -CLIP, CLIP)


def deviations(x: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Return the deviation of each point from its row's median, scaled by its quality."""
    return quality * (x - np.median(x, axis=1, keepdims=True))


def without_step(x: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Return each row minus the median on each side of its split."""
    before = np.arange(x.shape[1]) < split[:, None]
    return x - np.where(before, medians.masked(x, before), medians.masked(x, ~before))


def without_stretch(x: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Remove the likeliest stretch at another level from each row.

    Return the rows scaled by quality, the height of the stretch (a column; 0 below 7 standard errors), and its start
    and end. About ten lengths are tried; the stretch whose mean deviates by the most standard errors wins.
    """
    deviation = deviations(x, quality)
    values = clipped(deviation / sigma(deviation))
    points, best = x.shape[1], np.zeros(len(x))
    sums = np.pad(np.cumsum(values - values.mean(axis=1, keepdims=True), axis=1), ((0, 0), (1, 0)))
    ends = np.zeros((2, len(x)), dtype=int)
    for length in np.unique(np.geomspace(4, max(points // 2, 4), 10).astype(int)):
        far = np.abs(sums[:, length:] - sums[:, :-length]) / np.sqrt(length * (1 - length / points))
        first, height = far.argmax(axis=1), far.max(axis=1)
        ends = np.where(height > best, [first, first + length], ends)
        best = np.maximum(best, height)
    place = np.arange(points)
    inside = (place >= ends[0][:, None]) & (place < ends[1][:, None])
    low, high = medians.masked(x, ~inside), medians.masked(x, inside)
    far = np.where(best >= STRETCH_ERRORS, np.abs(high - low)[:, 0], 0.0)
    return quality * (x - np.where(inside, high, low)), far[:, None], ends


def tight_sigma(left: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each row from its median absolute deviation, as a column, at least 1 %."""
    return np.maximum(MAD_TO_SIGMA * np.median(np.abs(left), axis=1, keepdims=True), SIGMA_LEAST)


def sigma(left: np.ndarray) -> np.ndarray:
    """Return the winsorized standard deviation of each row as a column, at least 1 %."""
    return np.maximum(np.sqrt((winsorized(left) ** 2).mean(axis=1, keepdims=True)), SIGMA_LEAST)


def winsorized(left: np.ndarray) -> np.ndarray:
    """Clip each row to 2.5 times its ``tight_sigma``."""
    most = SIGMA_CLIP * tight_sigma(left)
    return np.clip(left, -most, most)


def difference_sigma(x: np.ndarray, quality: np.ndarray | None = None) -> np.ndarray:
    """Return the standard deviation from neighbours' differences, as a column; steps do not affect it."""
    steps = np.diff(x, axis=1) / np.sqrt(2)
    if quality is not None:
        steps = steps * np.minimum(quality[:, 1:], quality[:, :-1])
    return tight_sigma(steps) if steps.shape[1] else np.full((len(x), 1), SIGMA_LEAST)


def jump(x: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Return the distance between the medians of three points on each side of each row's split, as a column.

    In units of ``difference_sigma``: an autocorrelated series drifts far only gradually.
    """
    sides = split[:, None] + np.arange(-JUMP_SIDE, JUMP_SIDE)
    points = np.take_along_axis(x, np.clip(sides, 0, x.shape[1] - 1), axis=1)
    before, after = (np.median(part, axis=1, keepdims=True) for part in np.split(points, 2, axis=1))
    return np.abs(after - before) / difference_sigma(x)


def memory(left: np.ndarray, whole: np.ndarray, sigmas: np.ndarray, jumps: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the first-order autocorrelation of each row as a column, 0 if not significant.

    ``left``: without the candidate step; ``whole``: with it. Fitting a step to an autocorrelated series removes part
    of the autocorrelation, so most of what the step explains is added back, unless the step is too abrupt for drift
    (``jumps``, see ``jump``).
    """
    points = left.shape[1]
    rho = correlation(left, sigmas, 2)
    trust = np.clip(rho * np.sqrt(points) - RHO_CHANCE, 0, 1)
    low, high = JUMP_MEMORY
    share = min(1.0, RHO_OF_STEP + RHO_OF_STEP_FEW / points) * np.clip((high - jumps) / (high - low), 0, 1)
    rho = rho + share * np.maximum(correlation(whole, sigma(whole), 1) - rho, 0)
    return np.clip(rho * trust, 0, RHO_MOST)


def correlation(left: np.ndarray, sigmas: np.ndarray, fitted: int) -> np.ndarray:
    """Return the lag-1 autocorrelation of each row as a column.

    Corrects the bias of -(1 + 3 rho) / n per ``fitted`` level (Kendall, 1954).
    """
    values = clipped(left / sigmas)
    values = values - values.mean(axis=1, keepdims=True)
    power = np.maximum((values**2).sum(axis=1, keepdims=True), np.finfo(float).tiny)
    rho = (values[:, 1:] * values[:, :-1]).sum(axis=1, keepdims=True) / power
    return rho + fitted * (1 + 3 * np.maximum(rho, 0)) / left.shape[1]


def variance_factor(count: np.ndarray | float, rho: np.ndarray | float) -> np.ndarray:
    """Return the variance inflation of a mean of ``count`` points by autocorrelation, at least 1."""
    factor = (1 + rho) / (1 - rho) - 2 * rho * (1 - rho**count) / (count * (1 - rho) ** 2)
    return np.maximum(factor, 1.0)


def waves(left: np.ndarray) -> np.ndarray:
    """Return the waves in each row: up to three sines, each with at least 2.5 periods in the series."""
    found = np.zeros_like(left)
    rows = np.arange(len(left)) if left.shape[1] >= WAVE_LEAST_POINTS else np.zeros(0, dtype=int)
    for _ in range(WAVES_MOST):
        if not len(rows):
            break
        sines, real = _sines(left[rows] - found[rows])
        rows = rows[real]
        found[rows] += sines[real]
    return found


def _sines(left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the strongest sine of each row, and whether it is significant.

    It must explain a quarter of the variance, exceed red noise with the autocorrelation of the residuals at its
    frequency (Allen and Smith, 1996), and have the same phase in both halves of the series.
    """
    points, sigmas = left.shape[1], sigma(left)
    values = clipped(left / sigmas)
    values = values - values.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(values, GRID * points, axis=1)) ** 2 / points
    power[:, : int(np.ceil(WAVE_CYCLES * GRID))] = 0
    peak = power.argmax(axis=1)
    frequency = (peak + _vertex(power, peak))[:, None] / (GRID * points)
    turning = np.exp(-2j * np.pi * frequency * np.arange(points))
    turned = values * turning
    sines = np.real(2 * turned.mean(axis=1, keepdims=True) * np.conj(turning))
    rest = values - sines
    rho = np.clip(correlation(rest, np.ones_like(sigmas), 3), 0, RHO_MOST)
    red = (1 - rho**2) / (1 - 2 * rho * np.cos(2 * np.pi * frequency) + rho**2)
    height, noise = power.max(axis=1), (red * (rest**2).mean(axis=1, keepdims=True))[:, 0]
    real = (height > 0) & (2 * height >= WAVE_SHARE * (values**2).sum(axis=1)) & (height >= WAVE_OVER_NOISE * noise)
    return sines * sigmas, real & _steady(turned)


def _vertex(power: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """Return the offset of the vertex of the parabola through each peak and its neighbours, in grid steps."""
    rows, last = np.arange(len(power)), power.shape[1] - 1
    left, top, right = (power[rows, np.clip(peak + by, 0, last)] for by in (-1, 0, 1))
    bend = np.minimum(left - 2 * top + right, -np.finfo(float).tiny)
    return np.clip((left - right) / (2 * bend), -0.5, 0.5)


def _steady(turned: np.ndarray) -> np.ndarray:
    """Return whether both halves of each row agree in phase and, within a factor of two, in amplitude."""
    half = turned.shape[1] // 2
    first, second = turned[:, :half].mean(axis=1), turned[:, -half:].mean(axis=1)
    sizes = np.abs(np.stack([first, second]))
    together = np.abs(first + second) >= 0.85 * sizes.sum(axis=0)
    return together & (sizes.min(axis=0) >= 0.5 * sizes.max(axis=0))


def weekend_effect(x: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return each row's weekend effect; 0 on working days, for less than two weeks, or if not significant.

    ``days``: UTC days since 1970-01-01, one row per series. Points are compared with the median of the week around
    them, so that a step does not look like a rhythm.
    """
    weekend = (days + 3) % 7 >= 5
    rests = weekend.sum(axis=1, keepdims=True)
    enough = (rests >= WEEK_LEAST_REST) & (days[:, -1:] - days[:, :1] >= WEEK_LEAST_DAYS - 1)
    left = x - medians.running(x)
    rest, work = medians.masked(left, weekend), medians.masked(left, ~weekend)
    error = MEDIAN_ERROR * sigma(left - np.where(weekend, rest, work)) / np.sqrt(np.maximum(rests, 1))
    real = enough & (rests < x.shape[1]) & (np.abs(rest - work) >= WEEK_ERRORS * error)
    return np.where(real & weekend, rest - work, 0.0)
