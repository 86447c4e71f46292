"""Daily history of many dimensions as arrays, passed from the store to the analysis.

Belongs here: the value, and the resolution of its days.
Does not: reading it (store.history.daily), percentiles (analysis).
"""

from dataclasses import dataclass

import numpy as np

from leo_telemetry_pipeline.resolution import MICROSECOND, WHOLE_MS

# Below the bucket of the shortest duration, 1 microsecond.
ZERO_BUCKET = -1400
# A few durations in whole ms among many with microseconds barely move a median.
_FINE_SHARE = 0.9


@dataclass(frozen=True)
class Rows:
    """Whole days, one row per day and dimension, unordered; times in ms.

    ``fine_count`` is the number of spans with microseconds. ``dimension`` is an index into the requested dimensions,
    ``day`` counts from the start of the window. ``buckets`` and ``spans`` (number per bucket) hold all rows one after
    another: ``ends`` is where each row ends, and its buckets are ascending.
    """

    dimension: np.ndarray
    day: np.ndarray
    count: np.ndarray
    sum_ms: np.ndarray
    min_ms: np.ndarray
    max_ms: np.ndarray
    fine_count: np.ndarray
    ends: np.ndarray
    buckets: np.ndarray
    spans: np.ndarray


def resolution_of(count: np.ndarray, fine_count: np.ndarray) -> np.ndarray:
    """Return the resolution in ms of histograms with ``count`` spans, ``fine_count`` of them with microseconds."""
    return np.where(fine_count >= _FINE_SHARE * count, MICROSECOND, WHOLE_MS)


def at_coarsest(p50_ms: np.ndarray, resolution_ms: np.ndarray) -> tuple[np.ndarray, float]:
    """Return P50s of several days at the coarsest resolution among them, and that resolution; 0 becomes half a step."""
    if not len(p50_ms):
        return p50_ms, 0.0
    coarsest, finest = float(resolution_ms.max()), float(resolution_ms.min())
    if coarsest > finest:
        p50_ms = np.where(resolution_ms < coarsest, np.floor(p50_ms / coarsest + 0.5) * coarsest, p50_ms)
    return np.maximum(p50_ms, coarsest / 2), coarsest
