"""Scan statistic for one change of level, in units of the series' own noise.

Belongs here: the statistic, its calibration, and locating the onset. Does not: noise (noise), several changes in one
series (changes). Arrays are series x points of logarithms.

For each split, the statistic is the larger of two likelihood ratios, of clipped means and of ranks, with effective
sample sizes. Clipped means detect three slow days after sixty; ranks detect a shift within one mode of two. The tails
of the noise bound the ratio of means, so that three outliers, or three points of the slower mode, are not a change.
"""

import numpy as np

from leo_telemetry_pipeline.analysis import noise

# The fewest points of a level.
LEAST = 3

# The one setting: the false alarm rate per test of a stable series. Why this value: docs/decisions.
P_MOST = 0.0005

# Fitted to stable series of 10 to 200 points; benchmarks/calibrate_changes.py prints the fit.
P_SCALE = 8.0
P_FEW = 12.0

STRETCH_LEAST = 3.5
# Largest autocorrelation that may remain without a stretch, in standard errors of a correlation.
STRETCH_MEMORY = 1.5
STRETCH_CLIP = 1.5

# Lower bound of the standard deviation of clipped noise, in sigmas.
SPREAD_LEAST = 0.5

# The loss is capped at that of 3 sigmas, 3**2 / 2.
LOSS_MOST = 4.5
# Half the 95 % quantile of chi-square with one degree of freedom.
LOSS_NEAR = 1.92

THETAS = np.concatenate([-np.geomspace(0.1, 8.0, 24)[::-1], np.geomspace(0.1, 8.0, 24)])


def p_value(score: float, points: int) -> float:
    """Return the probability that a stable series of ``points`` points reaches ``score`` at any split."""
    return float(min(1.0, P_SCALE * np.exp(-0.5 * max(score - P_FEW / points, 0.0) ** 2)))


def score_least(points: int, p_most: float = P_MOST) -> float:
    """Return the critical score for a p-value of ``p_most`` in a series of ``points`` points."""
    return float(np.sqrt(2 * np.log(P_SCALE / p_most)) + P_FEW / points)


def splits(
    x: np.ndarray, quality: np.ndarray, least: int = LEAST
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return each series' highest score, the first point after that split, and sigma and autocorrelation as columns.

    ``quality``: inverse relative standard deviation of each point, usually 1. Both sides of a split have ``least``
    points or more.
    """
    points = x.shape[1]
    deviation = noise.deviations(x, quality)
    split = candidate(x, quality, least)
    left = quality * noise.without_step(x, split)
    sigmas = noise.sigma(left)
    rho = noise.memory(left, deviation, sigmas, noise.jump(x, split))
    rest = noise.clipped(left / sigmas)
    rest = rest - rest.mean(axis=1, keepdims=True)
    spread = np.sqrt((rest**2).sum(axis=1, keepdims=True) / (points - 2))
    spread = np.maximum(spread, SPREAD_LEAST)
    before, after, weight_before, weight_after = _means(noise.clipped(deviation / sigmas) / spread, quality, rho)
    ratios = _inner(weight_before * before**2 + weight_after * after**2, least)
    for row in np.flatnonzero(ratios.max(axis=1) >= score_least(points) ** 2):
        per_split = rates(np.stack([before[row], after[row]]), rest[row] / spread[row])
        most = 2 * (weight_before[row] * per_split[0] + weight_after[row] * per_split[1])
        ratios[row] = np.minimum(ratios[row], most)
    before, after, weight_before, weight_after = _means(quality * ranks(x), quality, rho)
    ratios = np.maximum(ratios, _inner(weight_before * before**2 + weight_after * after**2, least))
    best = np.sqrt(ratios.max(axis=1)), ratios.argmax(axis=1) + 1
    # Noise without the step, as the onset is located only if there is a step.
    return *best, noise.tight_sigma(left), noise.memory(left, left, sigmas)


def stretches(x: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return begin and end of a clear stretch at another level in each series, 0 without one.

    A past slow week looks like autocorrelation, which would hide it and the next one. A stretch is clear at 3.5 sigmas
    if removing it leaves no autocorrelation.
    """
    begin, end = np.zeros((2, len(x)), dtype=int)
    points = x.shape[1]
    for level in (x, noise.without_step(x, candidate(x, quality))):
        left, height, (first, after) = noise.without_stretch(level, quality)
        sigmas, tight = noise.sigma(left), noise.tight_sigma(left)
        # Clipped low enough that a second stretch does not count as autocorrelation.
        rho = noise.correlation(np.clip(left / tight, -STRETCH_CLIP, STRETCH_CLIP), np.ones_like(sigmas), 3)
        plain = ((height >= STRETCH_LEAST * sigmas) & (rho <= STRETCH_MEMORY / np.sqrt(points)))[:, 0]
        plain &= (end == 0) & (first >= LEAST) & (after - first >= LEAST) & (points - after >= LEAST)
        begin, end = np.where(plain, first, begin), np.where(plain, after, end)
    return begin, end


def candidate(x: np.ndarray, quality: np.ndarray, least: int = LEAST) -> np.ndarray:
    """Return the first point after the most likely split of each series, assuming independent noise."""
    deviation = noise.deviations(x, quality)
    clipped = noise.clipped(deviation / noise.sigma(deviation))
    before, after, weight_before, weight_after = _means(clipped, quality, np.zeros((len(x), 1)))
    return _inner(weight_before * before**2 + weight_after * after**2, least).argmax(axis=1) + 1


def _inner(ratios: np.ndarray, least: int) -> np.ndarray:
    """Return the ratios, set to 0 for splits that leave fewer than ``least`` points on a side."""
    inner = np.zeros_like(ratios)
    inner[:, least - 1 : 1 - least] = ratios[:, least - 1 : 1 - least]
    return inner


def _means(values: np.ndarray, quality: np.ndarray, rho: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return for each split the means of both sides minus the overall mean, and their effective sample sizes."""
    points = values.shape[1]
    count = np.arange(1, points)
    weight = np.cumsum(quality**2, axis=1)
    total = weight[:, -1:]
    sums = np.cumsum(quality * values, axis=1)
    excess = (sums - weight * sums[:, -1:] / total)[:, :-1]
    weight = weight[:, :-1]
    independent_before = weight / noise.variance_factor(count, rho)
    independent_after = (total - weight) / noise.variance_factor(points - count, rho)
    return excess / weight, -excess / (total - weight), independent_before, independent_after


def rates(means: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return the large-deviation rates of ``means`` (Cramer's theorem) under noise ``rest``.

    Uses the larger of the cumulants of ``rest`` and of a standard normal.
    """
    cumulants = np.maximum(np.log(np.exp(THETAS[:, None] * rest).mean(axis=1)), THETAS**2 / 2)
    return np.maximum((THETAS[:, None, None] * means - cumulants[:, None, None]).max(axis=0), 0.0)


def ranks(x: np.ndarray) -> np.ndarray:
    """Return the ranks in each row, ties averaged, scaled to mean 0 and variance 1."""
    series, points = x.shape
    order = np.argsort(x, axis=1, kind="stable")
    ordered = np.take_along_axis(x, order, axis=1)
    differs = ordered[:, 1:] > ordered[:, :-1]
    edge = np.ones((series, 1), dtype=bool)
    place = np.arange(points)
    first = np.maximum.accumulate(np.where(np.hstack([edge, differs]), place, 0), axis=1)
    last = np.where(np.hstack([differs, edge]), place, points)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    ranked = np.empty(x.shape)
    np.put_along_axis(ranked, order, np.sqrt(12) * (((first + last) / 2 + 0.5) / points - 0.5), axis=1)
    return ranked


def onset(
    x: np.ndarray, quality: np.ndarray, sigma: float, rho: float, split: int
) -> tuple[int, tuple[int, int], tuple[float, float]]:
    """Return the onset of one series' new level, its 95 % interval, and both levels.

    Maximum likelihood for AR(1) innovations, with a capped loss for robustness to outliers.
    """
    at, places = split, np.arange(LEAST, len(x) - LEAST + 1)
    losses = np.zeros(len(places))
    for _ in range(2):
        low, high = quality * (x - np.median(x[:at])) / sigma, quality * (x - np.median(x[at:])) / sigma
        within_low, within_high, across = (_losses(*pair, rho) for pair in ((low, low), (high, high), (high, low)))
        upto_low, upto_high = np.cumsum(within_low), np.cumsum(within_high)
        losses = upto_low[places - 1] + across[places] + upto_high[-1] - upto_high[places]
        at = int(places[losses.argmin()])
    near = places[losses <= losses.min() + LOSS_NEAR]
    return at, (int(near[0]), int(near[-1])), (float(np.median(x[:at])), float(np.median(x[at:])))


def _losses(now: np.ndarray, before: np.ndarray, rho: float) -> np.ndarray:
    innovations = np.append(now[0], (now[1:] - rho * before[:-1]) / np.sqrt(1 - rho**2))
    return np.minimum(innovations**2 / 2, LOSS_MOST)
