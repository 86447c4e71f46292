"""Between the store and the learning of what is normal: rows into frames, frames into rows and JSON.

Belongs here: the frames that learning takes, the rows and the JSON in which what it says is kept, and the way back to
what later assets read. Does not: learning (analysis.baselines), storing (io).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from leo_telemetry_pipeline.actions import item_resolutions
from leo_telemetry_pipeline.actions.item_resolutions import Account
from leo_telemetry_pipeline.analysis.bottlenecks import LEARNED_COLUMNS
from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store.baselines import Baseline, Learned

KEY = ["dimension_type", "dimension_key"]


def daily_frame(dimensions: Sequence[Dimension], first: date, parts: Sequence[tuple[np.ndarray, ...]]) -> pd.DataFrame:
    """Return dimension_type, dimension_key, day, count and p50_ms of parts: arrays of place, day, spans, P50 in ms.

    A place is that among the dimensions, a day the days since the first.
    """
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    of, on, count, p50_ms = (np.concatenate(columns) for columns in zip(empty, *parts, strict=True))
    types, keys = (np.array([*(name[part] for name in dimensions), ""], dtype=object) for part in (0, 1))
    return pd.DataFrame(
        {
            "dimension_type": types[of],
            "dimension_key": keys[of],
            "day": np.datetime64(first, "D") + on,
            "count": count,
            "p50_ms": p50_ms,
        }
    ).astype(dict.fromkeys(KEY, "object"))


def remembered(kept: Sequence[Baseline], accounts: Mapping[Dimension, Account], window_end: datetime) -> pd.DataFrame:
    """Return the baselines of a scope for an analysis of a window, and what people have said of each since it moved.

    What was learned from a later window is left out: a look back must not judge by it.
    """
    rows = []
    for one in kept:
        if one.window_end is None or one.window_end <= window_end:
            account = accounts.get((one.dimension_type, one.dimension_key))
            rises = item_resolutions.may_rise(account, one.accepted_at, one.moved_at)
            noise = account.noise if account else 0
            values = (one.p50_ms, one.multiplier, one.regime_start, one.regime_days, rises, noise)
            rows.append((one.dimension_type, one.dimension_key, *values))
    columns = [*KEY, "p50_ms", "multiplier", "regime_start", "regime_days", "may_rise", "noise_dismissals"]
    return pd.DataFrame(rows, columns=columns)


def to_learn(frame: pd.DataFrame) -> list[Learned]:
    """Return the baselines of the asset's rows, for those that have one."""
    return [
        Learned(
            row["dimension_type"],
            row["dimension_key"],
            float(row["p50_ms"]),
            float(row["learned_multiplier"]),
            _day(row["regime_start"]),
            int(row["regime_days"]),
            row["moved"],
            row["evidence"],
        )
        for row in frame[frame["p50_ms"].notna()].to_dict("records")
    ]


def to_json(frame: pd.DataFrame) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (type, key, judgement) of the asset's rows, the judgement as JSON can hold it."""
    kept = []
    for row in frame.to_dict("records"):
        values = {str(name): _plain(value) for name, value in row.items() if name not in KEY}
        values["guards"] = [asdict(guard) for guard in row["guards"]]
        kept.append((row["dimension_type"], row["dimension_key"], values))
    return kept


def from_json(kept: Sequence[tuple[str, str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Return the columns of the asset's rows that later assets read, from their JSON."""
    rows = [(*name, *(values.get(column) for column in LEARNED_COLUMNS[2:])) for *name, values in kept]
    made = pd.DataFrame(rows, columns=list(LEARNED_COLUMNS))
    made["onset_day"] = pd.to_datetime(made["onset_day"])
    return made.astype(dict.fromkeys(("observed_p50_ms", "baseline_p50_ms", "multiplier", "p_value"), "float64"))


def _plain(value: Any) -> Any:
    if isinstance(value, (pd.Timestamp, date)) or value is pd.NaT:
        return None if value is pd.NaT else f"{value:%Y-%m-%d}"
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _day(value: Any) -> date | None:
    return None if pd.isna(value) else pd.Timestamp(value).date()
