"""Which dimensions are slower than they may be.

Belongs here: the rule that judges a P50 by its baseline, and the order of what it finds.
Does not: where thresholds are kept (store.thresholds), what is done about a bottleneck (actions).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

# Of a configured baseline that names none.
DEFAULT_MULTIPLIER = 2.0
# What is normal is learned from so many days up to the end of the window.
HISTORY_DAYS = 90

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

# What a judgement by a dimension's own history has to say here.
LEARNED_COLUMNS = (
    "dimension_type",
    "dimension_key",
    "outcome",
    "observed_p50_ms",
    "baseline_p50_ms",
    "multiplier",
    "onset_day",
    "p_value",
)


def thresholds(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return what applies to each dimension as a frame; NaN where nobody said anything."""
    types = dict.fromkeys(THRESHOLD_COLUMNS, "float64") | {"is_active": "bool"}
    types |= dict.fromkeys(("dimension_type", "dimension_key", "baseline_source"), "object")
    columns = {name: [row[index] for row in rows] for index, name in enumerate(THRESHOLD_COLUMNS)}
    return pd.DataFrame({name: pd.Series(values, dtype=types[name]) for name, values in columns.items()})


def judge(p50: pd.DataFrame, thresholds: pd.DataFrame, learned: pd.DataFrame, default_min_samples: int) -> pd.DataFrame:
    """Judge every dimension of ``p50``.

    Returns the same rows, with observed_p50_ms, baseline_p50_ms, baseline_source, multiplier, min_samples, ratio,
    onset_day, p_value and outcome, one of JUDGED or NOT_JUDGED.

    A baseline that somebody configured decides alone, with a multiplier of 2.0 unless one is configured. Elsewhere
    ``learned`` does, the columns of LEARNED_COLUMNS as analysis.baselines judged them: what is observed against a
    learned baseline is the P50 since the onset, of what is no bottleneck the P50 of the window.
    """
    key = ["dimension_type", "dimension_key"]
    own = learned.loc[:, list(LEARNED_COLUMNS)].rename(columns={name: f"own_{name}" for name in LEARNED_COLUMNS[2:]})
    judged = p50.merge(thresholds, on=key, how="left").merge(own, on=key, how="left")
    judged["min_samples"] = judged["min_samples"].fillna(default_min_samples)
    configured = judged["baseline_source"] == "configured"
    by_history = ~configured & judged["own_outcome"].isin(JUDGED)
    slower = by_history & (judged["own_outcome"] == "bottleneck")
    judged["observed_p50_ms"] = judged["own_observed_p50_ms"].where(slower, judged["p50_ms"])
    judged["onset_day"] = judged["own_onset_day"].astype("object").where(slower, None)
    judged["p_value"] = judged["own_p_value"].where(slower)
    judged["baseline_p50_ms"] = judged["baseline_p50_ms"].where(configured, judged["own_baseline_p50_ms"])
    judged["baseline_source"] = np.select([configured, by_history], ["configured", "learned"], "")
    judged["baseline_source"] = judged["baseline_source"].astype("object").where(configured | by_history, None)
    judged.loc[~(configured | by_history), "baseline_p50_ms"] = np.nan
    judged["multiplier"] = judged["multiplier"].where(configured, judged["own_multiplier"]).fillna(DEFAULT_MULTIPLIER)
    judged["ratio"] = judged["observed_p50_ms"] / judged["baseline_p50_ms"]
    above = is_above(judged["observed_p50_ms"], judged["baseline_p50_ms"], judged["multiplier"])
    judged["outcome"] = np.select(
        [
            judged["dimension_key"] == OTHER_KEYS,
            judged["is_active"] == False,  # noqa: E712  # a column, where `not` has no meaning
            judged["sample_count"] < judged["min_samples"],
            judged["baseline_p50_ms"].isna(),
            (configured | slower) & above,
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
