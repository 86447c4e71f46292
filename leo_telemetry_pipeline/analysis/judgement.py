"""Whether a dimension is a bottleneck against the baseline that was learned for it, and every number behind that.

Belongs here: the guards, each with its numbers, and the control of false discoveries over all dimensions of a run.
Does not: learning baselines (baselines), what is judged by a configured one (bottlenecks).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from leo_telemetry_pipeline.analysis import noise, scan
from leo_telemetry_pipeline.analysis.bottlenecks import is_above
from leo_telemetry_pipeline.analysis.changes import RATIO_LEAST
from leo_telemetry_pipeline.analysis.levels import (
    DAY_SPANS,
    DAYS_LEAST,
    KEY,
    REGIME_LEAST,
    Days,
    History,
    Onset,
    day_numbers,
    onsets,
    regimes,
    settled,
)

DAYS_SINCE_LEAST = 3
FALSE_DISCOVERIES = 0.05
# An item dismissed as noise makes the dimension's test ten times as strict.
NOISE_DISMISSED = 10.0

COLUMNS = (
    *KEY,
    "outcome",
    "baseline_p50_ms",
    "multiplier",
    "observed_p50_ms",
    "ratio",
    "sample_count",
    "onset_day",
    "onset_from",
    "onset_to",
    "score",
    "p_value",
    "p_limit",
    "guards",
)
DATES = ("onset_day", "onset_from", "onset_to")


@dataclass(frozen=True)
class Guard:
    """One condition of a bottleneck: its value and limit where they are numbers, and both in words."""

    name: str
    passed: bool
    value: float | None
    limit: float | None
    says: str


@dataclass(frozen=True)
class Baseline:
    """What a dimension is judged by: P50 in ms, the first day of its level since 1970-01-01."""

    p50_ms: float
    multiplier: float
    regime_start: int
    noise_dismissals: int = 0


@dataclass(frozen=True)
class Judgement:
    """What was observed of a dimension, and how it passed the guards; None where there is nothing to say."""

    name: tuple[str, str]
    guards: tuple[Guard, ...]
    is_enough: bool = False
    baseline: Baseline | None = None
    observed_p50_ms: float | None = None
    ratio: float | None = None
    sample_count: int = 0
    onset: Onset | None = None
    score: float = 0.0
    p_value: float = 1.0
    p_limit: float = 0.0

    @property
    def outcome(self) -> str:
        """Say ok, bottleneck or not_enough_data."""
        if not self.is_enough:
            return "not_enough_data"
        return "bottleneck" if all(guard.passed for guard in self.guards) else "ok"


def judge(
    days: Days,
    found: pd.DataFrame,
    baselines: pd.DataFrame,
    window_start: datetime,
    window_end: datetime,
    false_discoveries: float = FALSE_DISCOVERIES,
) -> pd.DataFrame:
    """Judge every dimension of ``days`` by its learned baseline; returns COLUMNS, ``guards`` a tuple of Guard.

    ``days`` and ``found`` as for ``baselines.learn``, ``baselines`` what that returned. A bottleneck passed all
    guards; of those that every run calls so, at most the share ``false_discoveries`` are none (Benjamini, Hochberg).
    """
    window = _first_day(window_start), _end_day(window_end)
    known, changed = _baselines(baselines), onsets(found)
    judged = [of_history(one, changed.get(one.name, []), known.get(one.name), *window) for one in days.histories]
    tested = [number for number, one in enumerate(judged) if one.is_enough]
    limit = discovery_limit([judged[number].p_value for number in tested], false_discoveries)
    for number in tested:
        judged[number] = _discovered(judged[number], limit, len(tested))
    return _frame(judged)


def discovery_limit(p_values: Sequence[float] | np.ndarray, share: float) -> float:
    """Return the highest p-value at which at most ``share`` of the discoveries are false (Benjamini, Hochberg, 1995).

    Where nothing is discovered, what the smallest would have had to be; 0 of no p-values.
    """
    ordered = np.sort(np.asarray(p_values, dtype=float))
    limits = share * np.arange(1, len(ordered) + 1) / max(len(ordered), 1)
    passed = np.flatnonzero(ordered <= limits)
    return float(limits[passed[-1]] if len(passed) else limits[0] if len(limits) else 0.0)


def of_history(history: History, changed: list[Onset], baseline: Baseline | None, first: int, end: int) -> Judgement:
    """Judge one dimension over the days from ``first`` up to, not including, ``end``, but for false discoveries."""
    window = np.flatnonzero((history.days >= first) & (history.days < end))
    enough = _enough(history, baseline, window)
    if baseline is None or not all(guard.passed for guard in enough):
        return Judgement(history.name, enough, baseline=baseline, sample_count=int(history.counts[window].sum()))
    base = settled(history, changed, baseline.regime_start)
    normal = history.level(base) if len(base) >= REGIME_LEAST else float(np.log(baseline.p50_ms))
    rise = _rise(history, changed, base, normal)
    onset = rise[0] if rise else None
    since = window[history.days[window] >= onset.day] if onset else window
    ratio = float(np.exp(history.level(since) - normal)) if len(since) else 1.0
    score, p_value = _tested(history, rise, base, normal, since)
    guards = (
        *enough,
        _changed(onset, ratio, p_value),
        _large_enough(ratio, baseline),
        _separated(score, p_value, baseline),
        _confirmed(history, since, normal, baseline),
    )
    observed, count = baseline.p50_ms * ratio, int(history.counts[since].sum())
    return Judgement(history.name, guards, True, baseline, observed, ratio, count, onset, score, p_value)


def _rise(history: History, changed: list[Onset], base: np.ndarray, normal: float) -> list[Onset]:
    """Return the onsets since the last day on which the level was not over normal, those of slower levels only."""
    parts = regimes(history, changed)
    last_of_base = int(base[-1]) if len(base) else -1
    rise: list[Onset] = []
    for onset, part in zip(reversed(changed), reversed(parts[1:]), strict=True):
        if not len(part) or part[0] <= last_of_base or history.level(part) <= normal + np.log(RATIO_LEAST):
            break
        rise.insert(0, onset)
    return rise


def _tested(
    history: History, rise: list[Onset], base: np.ndarray, normal: float, since: np.ndarray
) -> tuple[float, float]:
    """Return the score and p-value of the clearest step up; where none is left in the history, of the level itself."""
    if up := [onset for onset in rise if onset.ratio > 1]:
        clearest = min(up, key=lambda onset: (onset.p_value, -onset.score))
        return clearest.score, clearest.p_value
    above = history.level(since) - normal
    if len(base) >= REGIME_LEAST or len(since) < DAYS_SINCE_LEAST or above <= np.log(RATIO_LEAST):
        return 0.0, 1.0
    sigma, rho = history.noise(since)
    days = np.array([len(since), REGIME_LEAST], dtype=float)
    error = sigma * np.sqrt((noise.variance_factor(days, np.full(2, rho)) / days).sum())
    score = float(above / error)
    return score, scan.p_value(score, len(history.days))


def _enough(history: History, baseline: Baseline | None, window: np.ndarray) -> tuple[Guard, ...]:
    spans, days = history.spans_a_day, len(window)
    limit = DAYS_SINCE_LEAST if baseline else DAYS_LEAST
    have, what = (days, "days of the window") if baseline else (len(history.days), "days")
    return (
        Guard("enough_spans", spans >= DAY_SPANS, spans, DAY_SPANS, f"{spans:g} spans a day, {DAY_SPANS} are needed"),
        Guard(
            "enough_days",
            baseline is not None and days >= DAYS_SINCE_LEAST,
            have,
            limit,
            f"{have} {what} have {DAY_SPANS} spans, {limit} are needed"
            + ("" if baseline or have < limit else ", a week of them on one level"),
        ),
    )


def _changed(onset: Onset | None, ratio: float, p_value: float) -> Guard:
    if onset:
        day, earliest, latest = (np.datetime64(each, "D") for each in (onset.day, onset.earliest, onset.latest))
        says = f"slower since {day} (between {earliest} and {latest})"
    elif p_value < 1:
        says = "slower than its baseline on all days that are left of its history"
    else:
        says = "no step up from its baseline"
    return Guard("changed", onset is not None or p_value < 1, ratio, None, says)


def _large_enough(ratio: float, baseline: Baseline) -> Guard:
    says = f"{ratio:.2f} x its baseline, more than {baseline.multiplier:.2f} x is slow"
    return Guard("large_enough", bool(is_above(ratio, 1.0, baseline.multiplier)), ratio, baseline.multiplier, says)


def _separated(score: float, p_value: float, baseline: Baseline) -> Guard:
    limit = scan.P_MOST / NOISE_DISMISSED**baseline.noise_dismissals
    says = f"{score:.1f} times its own noise, p {p_value:.2g} of at most {limit:.2g}"
    if baseline.noise_dismissals:
        says += f" as {baseline.noise_dismissals} of its items were noise"
    return Guard("separated", p_value <= limit, p_value, limit, says)


def _confirmed(history: History, since: np.ndarray, normal: float, baseline: Baseline) -> Guard:
    """Ask that both halves of the days since the onset lie nearer to slow than to normal."""
    limit = float(np.sqrt(baseline.multiplier))
    halves = [half for half in np.array_split(since, 2) if len(half)]
    least = min((float(np.exp(history.level(half) - normal)) for half in halves), default=1.0)
    says = f"the faster half of the {len(since)} days since is {least:.2f} x its baseline, over {limit:.2f} x confirms"
    return Guard("confirmed", len(since) >= DAYS_SINCE_LEAST and least > limit, least, limit, says)


def _discovered(one: Judgement, limit: float, tested: int) -> Judgement:
    says = f"p {one.p_value:.2g} of at most {limit:.2g} among {tested} dimensions"
    guard = Guard("false_discoveries", one.p_value <= limit, one.p_value, limit, says)
    return replace(one, guards=(*one.guards, guard), p_limit=limit)


def _frame(judged: Sequence[Judgement]) -> pd.DataFrame:
    rows = [_row(one) for one in judged]
    made = pd.DataFrame(rows, columns=list(COLUMNS))
    types: dict[str, Any] = dict.fromkeys((*KEY, "outcome", "guards"), "object")
    types |= dict.fromkeys(DATES, "datetime64[s]") | {"sample_count": "int64"}
    return made.astype(dict.fromkeys(COLUMNS, "float64") | types)


def _row(one: Judgement) -> tuple:
    base, onset = one.baseline, one.onset
    known = (base.p50_ms, base.multiplier) if base else (None, None)
    days = (onset.day, onset.earliest, onset.latest) if onset else (None,) * 3
    dates = (np.datetime64("NaT", "s") if day is None else np.datetime64(day, "D") for day in days)
    seen = (one.observed_p50_ms, one.ratio, one.sample_count)
    return (*one.name, one.outcome, *known, *seen, *dates, one.score, one.p_value, one.p_limit, one.guards)


def _baselines(frame: pd.DataFrame) -> dict[tuple[str, str], Baseline]:
    if frame.empty:
        return {}
    dismissed = [evidence.get("noise_dismissals", 0) for evidence in frame["evidence"]]
    columns = [frame["p50_ms"].tolist(), frame["multiplier"].tolist(), day_numbers(frame["regime_start"]).tolist()]
    names = zip(frame["dimension_type"], frame["dimension_key"], strict=True)
    return {name: Baseline(*values) for name, *values in zip(names, *columns, dismissed, strict=True)}


def _first_day(moment: datetime) -> int:
    return int(pd.Timestamp(moment).timestamp() // 86400)


def _end_day(moment: datetime) -> int:
    return int(-(-pd.Timestamp(moment).timestamp() // 86400))
