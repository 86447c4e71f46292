"""Distributions of durations for charts: shares of spans in few bins of equal ratio.

Belongs here: binning the days of two periods alike. Does not: reading days (store.history.daily), drawing (web).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leo_telemetry_pipeline.analysis.compare import Side
from leo_telemetry_pipeline.daily_rows import ZERO_BUCKET

BINS = 24
# Bins cover this share of the spans on each side; the few beyond them are counted in the outermost bins.
_OUTSIDE = 0.002


@dataclass(frozen=True)
class Distributions:
    """Distributions of several periods over the same bins.

    ``edges_ms``: one more than the bins. ``shares``: one list per period, each of sum 1.
    """

    edges_ms: tuple[float, ...]
    shares: tuple[tuple[float, ...], ...]


def distributions(sides: Sequence[Side], gamma: float) -> Distributions:
    """Return the distributions of periods, at least one, over the same bins."""
    spans = [side.spans.sum(axis=0) for side in sides]
    known = [np.arange(len(of)) + side.lowest for side, of in zip(sides, spans, strict=True)]
    filled = np.concatenate([at[of > 0] for at, of in zip(known, spans, strict=True)])
    # Zeros, below all buckets, count as the shortest duration.
    shortest = int(filled[filled > ZERO_BUCKET].min(initial=int(filled.max())))
    known = [np.maximum(at, shortest) for at in known]
    ends = [_ends(at, of) for at, of in zip(known, spans, strict=True)]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    width = max(1, -(-(high - low + 1) // BINS))
    bins = -(-(high - low + 1) // width)
    shares = []
    for at, of in zip(known, spans, strict=True):
        place = np.clip((at - low) // width, 0, bins - 1)
        shares.append(tuple((np.bincount(place, weights=of, minlength=bins) / of.sum()).tolist()))
    edges = gamma ** (low - 1.0 + width * np.arange(bins + 1))
    return Distributions(tuple(edges.tolist()), tuple(shares))


def _ends(buckets: np.ndarray, spans: np.ndarray) -> tuple[int, int]:
    cumulative = np.cumsum(spans) / spans.sum()
    first = int(np.searchsorted(cumulative, _OUTSIDE, side="right"))
    last = min(int(np.searchsorted(cumulative, 1 - _OUTSIDE, side="left")), len(buckets) - 1)
    return int(buckets[first]), int(buckets[last])
