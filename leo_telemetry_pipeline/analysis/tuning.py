"""Suggested baseline and multiplier of configured dimensions, with the alarms per year of each.

Belongs here: the suggestion and its evidence. Does not: simulated weeks (alarm_simulation), real ones (alarm_replay),
levels (levels), reading and writing thresholds (store).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leo_telemetry_pipeline.analysis import alarm_replay
from leo_telemetry_pipeline.analysis.alarm_replay import WEEK
from leo_telemetry_pipeline.analysis.alarm_simulation import Stable, simulate
from leo_telemetry_pipeline.analysis.bottlenecks import ROUNDING
from leo_telemetry_pipeline.analysis.changes import RATIO_LEAST, ChangePoint
from leo_telemetry_pipeline.analysis.levels import (
    LEAST_MS,
    DailyP50s,
    History,
    change_points,
    days_by_level,
    days_of,
)
from leo_telemetry_pipeline.dimension import OfDimension, Suggestion

ALARMS_A_YEAR = 1.0
# A smaller increase than the detector's least change is not actionable.
MULTIPLIER_LEAST = RATIO_LEAST
# Fewer than four weeks do not show how weeks vary.
DAYS_LEAST = 28
# A day with fewer spans is left out: its P50 is too noisy.
DAY_SPANS = 8
# Significant digits of a suggested baseline.
DIGITS = 4


@dataclass(frozen=True)
class Past(OfDimension):
    """Consecutive days of one dimension and its current threshold; times in ms.

    ``source``: the row of the threshold: key, type or global. ``first_day`` since 1970-01-01. P50s are NaN without
    spans; ``week_p50_ms``: of the seven days ending on each day. ``has_baseline``: the baseline is configured, so it
    is tuned too.
    """

    source: str
    first_day: int
    counts: np.ndarray
    p50_ms: np.ndarray
    week_p50_ms: np.ndarray
    baseline_p50_ms: float | None
    multiplier: float
    has_baseline: bool

    @property
    def limit_ms(self) -> float:
        """The current threshold of a week's P50; NaN without a baseline."""
        return np.nan if self.baseline_p50_ms is None else self.baseline_p50_ms * self.multiplier * ROUNDING


def tune(pasts: Sequence[Past], alarms_a_year: float = ALARMS_A_YEAR) -> list[Suggestion]:
    """Return, per dimension, the lowest limit with at most this many alarms per year on a stable level."""
    days = days_of(_daily(pasts))
    changed = change_points(days)
    known = {history.name: history for history in days.histories}
    return [
        _suggestion(past, known.get(past.dimension), changed.get(past.dimension, ()), alarms_a_year) for past in pasts
    ]


def _daily(pasts: Sequence[Past]) -> DailyP50s:
    parts = []
    for place, past in enumerate(pasts):
        days = np.flatnonzero(past.counts >= DAY_SPANS)
        p50_ms = np.maximum(past.p50_ms[days], LEAST_MS)
        # A configured threshold decides on whole ms.
        fine = np.zeros_like(days)
        columns = past.first_day + days, past.counts[days], p50_ms, np.log(p50_ms), np.full(len(days), np.nan), fine
        parts.append((np.full(len(days), place), *columns))
    return DailyP50s.of_parts([past.dimension for past in pasts], parts)


def _suggestion(
    past: Past, history: History | None, changed: Sequence[ChangePoint], alarms_a_year: float
) -> Suggestion:
    today = past.source, past.baseline_p50_ms, past.multiplier
    none = Suggestion(*past.dimension, *today)
    parts = [] if history is None else days_by_level(history, changed)
    long = [number for number, part in enumerate(parts) if len(part) >= DAYS_LEAST]
    if history is None or not long:
        return replace(none, reason=_too_few(history, parts))
    if past.baseline_p50_ms is None:
        return replace(none, reason="its baseline is learned, but there is none yet")
    number = long[-1]
    at = parts[number]
    first, last = history.days[at[[0, -1]]] - past.first_day
    weeks = past.week_p50_ms[first + WEEK - 1 : last + 1]
    stable = Stable(history.days[at], history.counts[at], history.x[at], rhythm=history.raw[at] - history.x[at])
    simulation = simulate(stable, weeks, alarms_a_year)
    level = float(f"{max(float(np.nanmedian(weeks)), LEAST_MS):.{DIGITS}g}")
    multiplier = max(MULTIPLIER_LEAST, np.ceil(100 * simulation.least_limit(alarms_a_year) / level) / 100)
    limit_ms = level * multiplier * ROUNDING
    began = changed[number - 1] if number else None
    return replace(
        none,
        baseline_p50_ms=level if past.has_baseline else None,
        multiplier=float(multiplier),
        alarms_a_year_now=simulation.alarms_a_year(past.limit_ms),
        alarms_a_year_then=simulation.alarms_a_year(limit_ms),
        share_over_now=simulation.share_over(past.limit_ms),
        is_slower=began is not None and began.ratio > 1,
        evidence=_evidence(past, history, at, level)
        | {
            "change": None if began is None else round(began.ratio, 4),
            "days_since": len(history.days) - int(at[-1]) - 1,
            "years_rehearsed": round(simulation.years, 1),
            "alarms_replayed_now": alarm_replay.alarms(past.week_p50_ms, past.limit_ms),
            "alarms_replayed_then": alarm_replay.alarms(past.week_p50_ms, limit_ms),
        },
    )


def _evidence(past: Past, history: History, at: np.ndarray, level: float) -> dict[str, Any]:
    sigma, memory = history.noise(at)
    return {
        "level_p50_ms": level,
        "days": len(at),
        "spans": int(history.counts[at].sum()),
        "first_day": f"{np.datetime64(int(history.days[at[0]]), 'D')}",
        "last_day": f"{np.datetime64(int(history.days[at[-1]]), 'D')}",
        "noise_a_day": round(sigma, 4),
        "memory": round(memory, 3),
        "weeks_replayed": int(np.isfinite(past.week_p50_ms).sum()),
    }


def _too_few(history: History | None, parts: list[np.ndarray]) -> str:
    days = 0 if history is None else len(history.days)
    if days >= DAYS_LEAST:
        return f"at most {max(map(len, parts))} of its {days} days are on one level, {DAYS_LEAST} are needed"
    return f"{days} days with at least {DAY_SPANS} spans, {DAYS_LEAST} are needed"
