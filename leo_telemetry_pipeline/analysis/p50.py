"""Percentile table of dimensions, with the same columns for exact and histogram percentiles.

Belongs here: the frame's columns. Does not: computing percentiles (store.exact_percentiles, bucket_percentiles).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from leo_telemetry_pipeline.analysis.bucket_percentiles import QUANTILES, percentiles
from leo_telemetry_pipeline.resolution import WHOLE_MS

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
_ROWS_AT_ONCE = 1000


def method(spans: int, exact_spans: int, *, all_stored: bool = True) -> str:
    """Return how the P50s of a window are computed: ``exact`` up to ``exact_spans`` stored spans, else ``histogram``.

    Spans that are no longer stored are only in the history.
    """
    return "exact" if spans <= exact_spans and all_stored else "histogram"


def frame(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return rows in the order of COLUMNS as a typed frame, empty or not."""
    # Explicit dtypes: inferring and converting takes longer than the queries of a run.
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    return pd.DataFrame(
        {name: pd.Series(values, dtype=_TYPES[name]) for name, values in zip(COLUMNS, columns, strict=True)}
    )


def rows(measured: pd.DataFrame) -> list[tuple]:
    """Return the rows of a frame for the database: NaN becomes None."""
    return [
        tuple(None if value != value else value for value in row) for row in measured.itertuples(index=False, name=None)
    ]


def together(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate frames."""
    return pd.concat([part for part in frames if len(part)] or [frame([])], ignore_index=True)


def exact(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return the frame of percentiles computed by the database; its rows lack the method."""
    return frame([(*row, "exact") for row in rows])


def from_buckets(rows: Sequence[tuple], gamma: float) -> pd.DataFrame:
    """Return the frame of percentiles of histograms: within ``gamma - 1`` of the true ones, then rounded to ms.

    Rows: dimension_type, dimension_key, spans, days, sum_ms, min_ms, max_ms, buckets (ascending), spans per bucket.
    """
    measured: list[tuple] = []
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[first : first + _ROWS_AT_ONCE]
        *_, least, most, buckets, spans = zip(*some, strict=True)
        ends = np.cumsum([len(each) for each in buckets])
        # Like the exact ones, these are percentiles of duration_ms.
        found = percentiles(QUANTILES, ends, np.concatenate(buckets), np.concatenate(spans), gamma, WHOLE_MS)
        times = np.clip(found, np.floor(np.add(least, 0.5)), np.floor(np.add(most, 0.5))).T.tolist()
        measured += [(*row[:3], *of_row, row[4], None, "histogram") for row, of_row in zip(some, times, strict=True)]
    return frame(measured)
