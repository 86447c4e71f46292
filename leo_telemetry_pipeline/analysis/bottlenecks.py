"""Which dimensions are slower than they may be.

Belongs here: the rule that judges a P50 by its baseline, and the order of what it finds.
Does not: where thresholds are kept (store.thresholds), what is done about a bottleneck (actions).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

DEFAULT_MULTIPLIER = 2.0
HISTORY_DAYS = 28
HISTORY_LEAST_DAYS = 3

# 100 * 1.15 is 114.99999999999999: a product of decimals may fall short of what people mean by it.
ROUNDING = 1 + 1e-12

JUDGED = ("ok", "bottleneck")
NOT_JUDGED = ("too_few", "no_baseline", "switched_off", "pooled")

# Stands for the keys of a type beyond the 20,000 with most spans: nothing that anyone could make faster.
OTHER_KEYS = "__other__"

THRESHOLD_COLUMNS = (
    "dimension_type",
    "dimension_key",
    "is_active",
    "baseline_p50_ms",
    "baseline_source",
    "multiplier",
    "min_samples",
    "max_items_per_run",
    "max_items_per_day",
    "cooldown_hours",
)


def thresholds(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return what applies to each dimension as a frame; NaN where nobody said anything."""
    types = dict.fromkeys(THRESHOLD_COLUMNS, "float64") | {"is_active": "bool"}
    types |= dict.fromkeys(("dimension_type", "dimension_key", "baseline_source"), "object")
    columns = {name: [row[index] for row in rows] for index, name in enumerate(THRESHOLD_COLUMNS)}
    return pd.DataFrame({name: pd.Series(values, dtype=types[name]) for name, values in columns.items()})


def history(p50: pd.DataFrame, days: Sequence[int]) -> pd.DataFrame:
    """Return dimension_type, dimension_key, history_p50_ms, history_count, history_days of the days before.

    ``days``: on how many days each dimension of the frame ``p50`` had spans.
    """
    made = p50.loc[:, ["dimension_type", "dimension_key"]].copy()
    made["history_p50_ms"] = p50["p50_ms"]
    made["history_count"] = p50["sample_count"].astype("float64")
    made["history_days"] = pd.Series(list(days), index=made.index, dtype="float64")
    return made


def judge(p50: pd.DataFrame, thresholds: pd.DataFrame, history: pd.DataFrame, default_min_samples: int) -> pd.DataFrame:
    """Judge every dimension of ``p50``.

    Returns the same rows, with baseline_p50_ms, baseline_source, multiplier, min_samples, ratio and outcome, one of
    JUDGED or NOT_JUDGED.

    A baseline that somebody configured or the system learned decides; elsewhere the P50 of the days before the
    window, from at least ``min_samples`` spans on three days, with a multiplier of 2.0 unless one is configured.
    """
    key = ["dimension_type", "dimension_key"]
    judged = p50.merge(thresholds, on=key, how="left").merge(history, on=key, how="left")
    judged["min_samples"] = judged["min_samples"].fillna(default_min_samples)
    judged["multiplier"] = judged["multiplier"].fillna(DEFAULT_MULTIPLIER)
    enough_history = (
        (judged["history_count"] >= judged["min_samples"])
        & (judged["history_days"] >= HISTORY_LEAST_DAYS)
        & (judged["history_p50_ms"] > 0)
    )
    from_history = judged["baseline_p50_ms"].isna() & enough_history
    judged.loc[from_history, "baseline_p50_ms"] = judged.loc[from_history, "history_p50_ms"]
    judged.loc[from_history, "baseline_source"] = "history"
    judged["ratio"] = judged["p50_ms"] / judged["baseline_p50_ms"]
    judged["outcome"] = np.select(
        [
            judged["dimension_key"] == OTHER_KEYS,
            judged["is_active"] == False,  # noqa: E712  # a column, where `not` has no meaning
            judged["sample_count"] < judged["min_samples"],
            judged["baseline_p50_ms"].isna(),
            is_above(judged["p50_ms"], judged["baseline_p50_ms"], judged["multiplier"]),
        ],
        ["pooled", "switched_off", "too_few", "no_baseline", "bottleneck"],
        "ok",
    )
    return judged.astype({"outcome": "object"})


def is_above(p50_ms: Any, baseline_p50_ms: Any, multiplier: Any) -> Any:
    """Tell whether a P50, or each of a column, is strictly over baseline times multiplier."""
    return p50_ms > baseline_p50_ms * multiplier * ROUNDING


def worst_first(judged: pd.DataFrame) -> pd.DataFrame:
    """Order by ratio, then observed P50, descending, ties by name, so that equal input gives equal bytes."""
    return judged.sort_values(
        ["ratio", "p50_ms", "dimension_type", "dimension_key"],
        ascending=[False, False, True, True],
        kind="stable",
        ignore_index=True,
        na_position="last",
    )


def found(judged: pd.DataFrame) -> pd.DataFrame:
    """Return the bottlenecks, worst first."""
    return worst_first(judged.loc[judged["outcome"] == "bottleneck"])


def count_outcomes(judged: pd.DataFrame) -> dict[str, int]:
    """Return how many dimensions had each outcome, those with none included."""
    return {outcome: int(np.count_nonzero(judged["outcome"] == outcome)) for outcome in (*JUDGED, *NOT_JUDGED)}
