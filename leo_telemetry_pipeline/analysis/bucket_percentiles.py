"""Percentiles of histograms.

Belongs here: the interpolation rule, and means between ranks, for many histograms at a time. Does not: reading
histograms (store.history).
``MEDIAN``, ``CENTER`` and ``TAIL`` of store.history.histograms are the same rules in SQL.
"""

from collections.abc import Sequence

import numpy as np

from leo_telemetry_pipeline.daily_rows import ZERO_BUCKET

QUANTILES = (0.5, 0.9, 0.95, 0.99)


def percentiles(
    quantiles: Sequence[float],
    ends: np.ndarray,
    buckets: np.ndarray,
    spans: np.ndarray,
    gamma: float,
    resolution_ms: float = 0.0,
) -> np.ndarray:
    """Return percentiles in ms of several histograms, of shape [percentiles, histograms].

    ``buckets`` and ``spans``: all histograms concatenated, buckets ascending within each; ``ends``: the end of each.
    Bucket i covers (gamma**(i-1), gamma**i], ZERO_BUCKET is zero. Interpolates between the two nearest ranks like
    ``percentile_cont``, with ranks spread evenly within their bucket. ``resolution_ms``: round each value to it, as
    ``duration_ms`` is to whole ms.
    """
    cumulative = np.cumsum(spans)
    last = cumulative[ends - 1]
    before = np.concatenate(([0], last[:-1]))
    ranks = np.asarray(quantiles)[:, None] * (last - before - 1)
    nearest = before + np.array([np.floor(ranks), np.ceil(ranks)]).astype(np.int64)
    values = _value_at(nearest, buckets, spans, cumulative, gamma)
    below, above = np.floor(values / resolution_ms + 0.5) * resolution_ms if resolution_ms else values
    return below + (above - below) * (ranks - np.floor(ranks))


def mean_logs(
    ends: np.ndarray,
    buckets: np.ndarray,
    spans: np.ndarray,
    gamma: float,
    ranks: tuple[float, float],
    least: float,
) -> np.ndarray:
    """Return the mean log duration of each histogram between two ranks, as shares of its spans.

    Arguments as in ``percentiles``; zeros count as ``least``.
    """
    cumulative = np.cumsum(spans)
    last = cumulative[ends - 1]
    before = np.concatenate(([0], last[:-1]))
    of, sizes = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0)), last - before
    upto = cumulative - before[of]
    low, high = ranks[0] * sizes[of], ranks[1] * sizes[of]
    weight = np.maximum(np.minimum(upto, high) - np.maximum(upto - spans, low), 0)
    logs = np.where(buckets <= ZERO_BUCKET, np.log(least), (buckets - 0.5) * np.log(gamma))
    starts = np.concatenate(([0], ends[:-1]))
    return np.add.reduceat(weight * logs, starts) / np.add.reduceat(weight, starts)


def _value_at(
    ranks: np.ndarray, buckets: np.ndarray, spans: np.ndarray, cumulative: np.ndarray, gamma: float
) -> np.ndarray:
    at = cumulative.searchsorted(ranks, side="right")
    bucket, in_bucket = buckets[at], spans[at]
    inside = (ranks - (cumulative[at] - in_bucket) + 0.5) / in_bucket
    return np.where(bucket <= ZERO_BUCKET, 0.0, gamma ** (bucket - 1.0) * (1 + (gamma - 1) * inside))
