"""Daily history of many dimensions as arrays, from the store to the analysis.

Belongs here: the value alone. Does not: reading it (store.history.daily), percentiles (analysis).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Some whole days, one row per day and dimension, unordered.

    ``dimension`` is the place among the dimensions asked for, ``day`` the days since the window began; times in ms.
    The buckets of all rows follow one another, ascending within a row, and ``ends`` tells where those of each end;
    ``spans`` is how many there are in each bucket.
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
