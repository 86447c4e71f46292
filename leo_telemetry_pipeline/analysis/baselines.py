"""Which level of a dimension is its normal one, learned from its own days.

Belongs here: choosing the baseline and its multiplier, and when it may move. Does not: finding changes (changes),
judging by a baseline (judgement), keeping it (store).

A regression does not become normal by waiting: a baseline moves down when the dimension improved, and up only when
its item was resolved or somebody accepted the level. It settles with the first 28 days of its level and then stays,
so that no creeping change carries it along.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from leo_telemetry_pipeline.analysis import noise
from leo_telemetry_pipeline.analysis.changes import RATIO_LEAST
from leo_telemetry_pipeline.analysis.judgement import Guard, judge
from leo_telemetry_pipeline.analysis.levels import (
    DAY_SPANS,
    DAYS_LEAST,
    KEY,
    REGIME_LEAST,
    SETTLED_DAYS,
    Days,
    History,
    Onset,
    day_numbers,
    days_of,
    found_changes,
    onsets,
    regimes,
    settled,
)

__all__ = ["DAY_SPANS", "Days", "Guard", "days_of", "found_changes", "judge", "learn"]

ACCEPTED_LEAST = 3

MULTIPLIER_LEAST = 1.15
MULTIPLIER_ERRORS = 3.0
# The fewest days since an onset that are judged.
MULTIPLIER_DAYS = 3
NOISE_DISMISSED = 1.1

COLUMNS = (*KEY, "p50_ms", "multiplier", "regime_start", "regime_days", "moved", "evidence")


@dataclass(frozen=True)
class Kept:
    """A baseline from before: P50 in ms, the first day of its level since 1970-01-01, how many days it rests on."""

    p50_ms: float
    multiplier: float
    regime_start: int
    regime_days: int
    may_rise: bool = False
    noise_dismissals: int = 0


@dataclass(frozen=True)
class Learned:
    """A baseline as it is now; ``moved`` is learned, settling, kept, improved or accepted."""

    p50_ms: float
    multiplier: float
    regime_start: int
    regime_days: int
    moved: str
    evidence: dict[str, Any]


def learn(days: Days, found: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """Return the baseline of each dimension that has one: COLUMNS, ``regime_start`` a day, ``evidence`` a dict.

    ``days`` as of ``days_of``, ``found`` the frame of ``found_changes``. ``kept``: dimension_type, dimension_key,
    p50_ms, multiplier, regime_start, regime_days, and optionally may_rise (its item was resolved, or the level
    accepted, since it moved) and noise_dismissals.
    """
    before, changed = _kept(kept), onsets(found)
    made = {}
    for history in days.histories:
        baseline = of_history(history, changed.get(history.name, []), before.pop(history.name, None))
        if baseline:
            made[history.name] = baseline
    made |= {name: _as_kept(one) for name, one in before.items()}
    rows = [
        (*name, one.p50_ms, one.multiplier, np.datetime64(one.regime_start, "D"), one.regime_days, one.moved, evidence)
        for name, one in sorted(made.items())
        for evidence in [one.evidence | {"moved": one.moved}]
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    types = dict.fromkeys((*KEY, "moved", "evidence"), "object") | {"regime_start": "datetime64[s]"}
    return frame.astype(types | {"p50_ms": "float64", "multiplier": "float64", "regime_days": "int64"})


def of_history(history: History, changed: list[Onset], kept: Kept | None) -> Learned | None:
    """Return the baseline of one dimension, or None where there is not enough data for a first one."""
    parts = regimes(history, changed)
    if kept is None:
        first = _first(parts) if len(history.days) >= DAYS_LEAST else None
        return None if first is None else _learned(history, first[:SETTLED_DAYS], "learned", 0)
    base = settled(history, changed, kept.regime_start)
    last = parts[-1]
    is_later = len(last) > 0 and len(changed) > 0 and int(history.days[last[0]]) > kept.regime_start
    if is_later and kept.may_rise and len(last) >= ACCEPTED_LEAST:
        return _learned(history, last[:SETTLED_DAYS], "accepted", kept.noise_dismissals)
    if is_later and len(last) >= DAYS_LEAST:
        normal = history.level(base) if len(base) >= REGIME_LEAST else np.log(kept.p50_ms)
        if history.level(last) < normal - np.log(RATIO_LEAST):
            return _learned(history, last[:SETTLED_DAYS], "improved", kept.noise_dismissals)
    if kept.regime_days < SETTLED_DAYS and len(base) > kept.regime_days:
        again = _learned(history, base, "settling", kept.noise_dismissals)
        return replace(again, regime_start=kept.regime_start)
    if len(base) < REGIME_LEAST:
        return _as_kept(kept)
    same = _learned(history, base, "kept", kept.noise_dismissals)
    return replace(same, p50_ms=kept.p50_ms, regime_start=kept.regime_start, regime_days=kept.regime_days)


def multiplier(sigma: float, rho: float, noise_dismissals: int = 0) -> float:
    """Return what a P50 of three days of such noise reaches by chance, three standard errors, and at least 1.15.

    Each item of the dimension that was dismissed as noise raises it by 10 %.
    """
    days = np.array([float(MULTIPLIER_DAYS)])
    error = sigma * np.sqrt(noise.variance_factor(days, np.array([rho]))[0] / MULTIPLIER_DAYS)
    return float(max(MULTIPLIER_LEAST, np.exp(MULTIPLIER_ERRORS * error)) * NOISE_DISMISSED**noise_dismissals)


def _first(parts: list[np.ndarray]) -> np.ndarray | None:
    """Return the level that is normal for who never looked before: the last of two weeks, else the first of one."""
    long = [part for part in parts if len(part) >= DAYS_LEAST]
    short = [part for part in parts if len(part) >= REGIME_LEAST]
    return long[-1] if long else short[0] if short else None


def _learned(history: History, at: np.ndarray, moved: str, noise_dismissals: int) -> Learned:
    sigma, rho = history.noise(at)
    evidence = {
        "days": len(at),
        "spans": int(history.counts[at].sum()),
        "first_day": f"{np.datetime64(int(history.days[at[0]]), 'D')}",
        "last_day": f"{np.datetime64(int(history.days[at[-1]]), 'D')}",
        "noise_a_day": round(sigma, 4),
        "memory": round(rho, 3),
        "noise_dismissals": noise_dismissals,
    }
    value = multiplier(sigma, rho, noise_dismissals)
    return Learned(history.p50_ms(at), value, int(history.days[at[0]]), len(at), moved, evidence)


def _as_kept(kept: Kept) -> Learned:
    evidence = {"days": kept.regime_days, "noise_dismissals": kept.noise_dismissals}
    return Learned(kept.p50_ms, kept.multiplier, kept.regime_start, kept.regime_days, "kept", evidence)


def _kept(kept: pd.DataFrame) -> dict[tuple[str, str], Kept]:
    if kept.empty:
        return {}
    wanted = kept.assign(
        regime_start=day_numbers(kept["regime_start"]),
        may_rise=kept.get("may_rise", False),
        noise_dismissals=kept.get("noise_dismissals", 0),
    )
    columns = [wanted[name].tolist() for name in Kept.__dataclass_fields__]
    names = zip(wanted["dimension_type"], wanted["dimension_key"], strict=True)
    return {name: Kept(*values) for name, *values in zip(names, *columns, strict=True)}
