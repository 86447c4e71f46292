"""Daily history of many dimensions as arrays, passed from the store to the analysis.

Belongs here: the value. Does not: reading it (store.history.daily), percentiles (analysis).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Whole days, one row per day and dimension, unordered; times in ms.

    ``dimension`` is an index into the requested dimensions, ``day`` counts from the start of the window. ``buckets``
    and ``spans`` (number per bucket) concatenate all rows, ascending within a row, which ends at ``ends``.
    """

    dimension: np.ndarray
    day: np.ndarray
    count: np.ndarray
    sum_ms: np.ndarray
    min_ms: np.ndarray
    max_ms: np.ndarray
    ends: np.ndarray
    buckets: np.ndarray
    spans: np.ndarray
