"""Weighted, masked and running medians, which NumPy lacks.

Belongs here: medians. Does not: deviations from them (noise).
"""

import numpy as np

# Half width of a running median: the window is a week.
REACH = 3


def weighted(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted median, the midpoint if two values qualify.

    The tolerance of 1e-12 absorbs rounding of sums of fractional weights.
    """
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    half = cumulative[-1] / 2
    low = np.searchsorted(cumulative, half * (1 - 1e-12))
    high = np.searchsorted(cumulative, half * (1 + 1e-12), side="right")
    return float((values[order[low]] + values[order[min(high, len(values) - 1)]]) / 2)


def masked(x: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return the median of each row's points where ``of`` is true, as a column; 0 without any."""
    count = of.sum(axis=1)
    ordered = np.sort(np.where(of, x, np.inf), axis=1)
    rows = np.arange(len(x))
    low, high = ordered[rows, np.maximum(count - 1, 0) // 2], ordered[rows, np.minimum(count // 2, x.shape[1] - 1)]
    return np.where(count > 0, (low + high) / 2, 0.0)[:, None]


def running(x: np.ndarray) -> np.ndarray:
    """Return the median of the seven points around each point; the first three share one, as do the last three."""
    if x.shape[1] <= 2 * REACH:
        return np.broadcast_to(np.median(x, axis=1, keepdims=True), x.shape)
    inner = np.median(np.lib.stride_tricks.sliding_window_view(x, 2 * REACH + 1, axis=1), axis=2)
    return np.pad(inner, ((0, 0), (REACH, REACH)), mode="edge")


def running_by_day(days: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the median of the days within three days of each.

    Unlike in ``running``, windows shrink at the end: a forecast must follow a step at once.
    """
    near = np.abs(days[:, None] - days) <= REACH
    return np.ma.median(np.ma.masked_array(np.broadcast_to(values, near.shape), ~near), axis=1).data
