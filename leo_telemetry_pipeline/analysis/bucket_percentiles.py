"""Percentiles of values that are known by bucket.

Belongs here: the one rule, for many histograms at a time. Does not: how histograms are read (store.history), which
percentiles a table shows. ``store.history.histograms.MEDIAN`` is the same rule in SQL.
"""

from collections.abc import Sequence

import numpy as np

QUANTILES = (0.5, 0.9, 0.95, 0.99)


def percentiles(
    quantiles: Sequence[float], ends: np.ndarray, buckets: np.ndarray, spans: np.ndarray, gamma: float
) -> np.ndarray:
    """Return percentiles in ms of several histograms, of the shape [percentiles, histograms].

    Their buckets follow one another, ascending within a histogram; ``ends`` tells where those of each end. Bucket i
    spans (gamma**(i-1), gamma**i], bucket -1 is zero. Like ``percentile_cont`` it interpolates between the two nearest
    ranks; each of those is taken as lying evenly within its bucket.
    """
    upto = np.cumsum(spans)
    last = upto[ends - 1]
    before = np.concatenate(([0], last[:-1]))
    ranks = np.asarray(quantiles)[:, None] * (last - before - 1)
    nearest = before + np.array([np.floor(ranks), np.ceil(ranks)]).astype(np.int64)
    below, above = _value_at(nearest, buckets, spans, upto, gamma)
    return below + (above - below) * (ranks - np.floor(ranks))


def _value_at(ranks: np.ndarray, buckets: np.ndarray, spans: np.ndarray, upto: np.ndarray, gamma: float) -> np.ndarray:
    at = upto.searchsorted(ranks, side="right")
    bucket, there = buckets[at], spans[at]
    inside = (ranks - (upto[at] - there) + 0.5) / there
    return np.where(bucket < 0, 0.0, gamma ** (bucket - 1.0) * (1 + (gamma - 1) * inside))
