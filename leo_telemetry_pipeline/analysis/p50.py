"""Medians and other percentiles a dimension, as one frame whichever way they were measured.

Belongs here: the frame's columns, and percentiles of bucket counts.
Does not: reading spans; exact percentiles are computed where the spans are (store.measure).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = (
    "dimension_type",
    "dimension_key",
    "sample_count",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "sum_ms",
    "queue_p50_ms",
    "method",
)
_TYPES = {
    **dict.fromkeys(("dimension_type", "dimension_key", "method"), "object"),
    "sample_count": "int64",
    **dict.fromkeys(COLUMNS[3:9], "float64"),
}
QUANTILES = (0.5, 0.9, 0.95, 0.99)
_QUANTILES = np.array(QUANTILES)


def method(spans: int, exact_spans: int, *, all_stored: bool = True) -> str:
    """Decide how the P50s of a window are computed: ``exact`` up to so many spans, else ``histogram``.

    Where some spans of the window are no longer stored, only the history knows them.
    """
    return "exact" if spans <= exact_spans and all_stored else "histogram"


def frame(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return rows in the order of COLUMNS as a frame with the same types, empty or not."""
    # Each column is made of its type: guessing and converting takes longer than a run's queries for them.
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    return pd.DataFrame(
        {name: pd.Series(values, dtype=_TYPES[name]) for name, values in zip(COLUMNS, columns, strict=True)}
    )


def together(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several such frames as one."""
    return pd.concat([made for made in frames if len(made)] or [frame([])], ignore_index=True)


def exact(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return the frame of percentiles that the database computed, without their method."""
    return frame([(*row, "exact") for row in rows])


def from_buckets(rows: Sequence[tuple], gamma: float) -> pd.DataFrame:
    """Return the frame of percentiles of bucket counts, each within ``gamma - 1`` of the exact one.

    Rows: dimension_type, dimension_key, spans, days, sum_ms, min_ms, max_ms, buckets, spans in each; the last two
    are arrays in the order of buckets.
    """
    return frame(
        [
            (*dimension, spans, *quantiles(numbers, counts, gamma, least, most), sum_ms, None, "histogram")
            for *dimension, spans, _days, sum_ms, least, most, numbers, counts in rows
        ]
    )


def quantiles(numbers: np.ndarray, counts: np.ndarray, gamma: float, least: float, most: float) -> list[float]:
    """Return the percentiles QUANTILES of values known by bucket, in ms.

    Bucket i spans (gamma**(i-1), gamma**i], bucket -1 is zero. Like ``percentile_cont`` it interpolates between
    the two nearest ranks; each of those is taken as lying evenly within its bucket.
    """
    upto = np.cumsum(counts)
    ranks = _QUANTILES * (upto[-1] - 1)
    below, above = _value_at(np.array((np.floor(ranks), np.ceil(ranks))), numbers, counts, upto, gamma)
    values = below + (above - below) * (ranks - np.floor(ranks))
    return np.minimum(np.maximum(values, least), most).tolist()


def _value_at(ranks: np.ndarray, numbers: np.ndarray, counts: np.ndarray, upto: np.ndarray, gamma: float) -> np.ndarray:
    at = upto.searchsorted(ranks, side="right")
    bucket, inside = numbers[at], (ranks - (upto[at] - counts[at]) + 0.5) / counts[at]
    return np.where(bucket < 0, 0.0, gamma ** (bucket - 1.0) * (1 + (gamma - 1) * inside))
