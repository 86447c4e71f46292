"""Judgement of dimensions by their learned baselines, with every number behind it.

Belongs here: the guards, and the control of false discoveries over all dimensions of a run.
Does not: learning baselines (baselines), judgement by configured ones (bottlenecks).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from leo_telemetry_pipeline.analysis import noise, scan
from leo_telemetry_pipeline.analysis.bottlenecks import is_above
from leo_telemetry_pipeline.analysis.changes import RATIO_LEAST, ChangePoint
from leo_telemetry_pipeline.analysis.levels import (
    DAY_SPANS,
    DAYS_LEAST,
    LEVEL_LEAST,
    Days,
    History,
    days_by_level,
    settled,
)
from leo_telemetry_pipeline.dimension import Baseline, Dimension, Guard, Judgement
from leo_telemetry_pipeline.resolution import least_ratio

DAYS_SINCE_LEAST = 3
FALSE_DISCOVERIES = 0.05
# Each item dismissed as noise makes the dimension's test ten times as strict.
NOISE_DISMISSED = 10.0

_DAY_S = 86_400


@dataclass(frozen=True)
class Normal:
    """Normal level, the log of a P50, and the coarser resolution of it and of what is compared with it."""

    level: float
    resolution_ms: float

    def ratio(self, level: float) -> float:
        """Return the least ratio of another level to this one."""
        return least_ratio(float(np.exp(level)), float(np.exp(self.level)), self.resolution_ms)


def judge(
    days: Days,
    changed: Mapping[Dimension, Sequence[ChangePoint]],
    baselines: Mapping[Dimension, Baseline],
    window_start: datetime,
    window_end: datetime,
    multipliers: Mapping[Dimension, float] | None = None,
    *,
    false_discoveries: float = FALSE_DISCOVERIES,
) -> list[Judgement]:
    """Judge every dimension of ``days`` by its learned baseline; ``multipliers`` override the learned ones.

    A bottleneck passes all guards, including the false discovery rate ``false_discoveries`` of the run.
    """
    first, end = int(window_start.timestamp() // _DAY_S), int(-(-window_end.timestamp() // _DAY_S))
    judged = []
    for history in days.histories:
        baseline = baselines.get(history.name)
        multiplier = (multipliers or {}).get(history.name, baseline.multiplier) if baseline else None
        judged.append(of_history(history, changed.get(history.name, ()), baseline, multiplier, first, end))
    tested = [number for number, one in enumerate(judged) if one.is_enough]
    limit = discovery_limit([judged[number].p_value for number in tested], false_discoveries)
    for number in tested:
        judged[number] = _discovered(judged[number], limit, len(tested))
    return judged


def discovery_limit(p_values: Sequence[float] | np.ndarray, share: float) -> float:
    """Return the highest p-value that is a discovery at false discovery rate ``share`` (Benjamini, Hochberg, 1995).

    Without a discovery, the limit of the smallest p-value; 0 without p-values.
    """
    ordered = np.sort(np.asarray(p_values, dtype=float))
    limits = share * np.arange(1, len(ordered) + 1) / max(len(ordered), 1)
    passed = np.flatnonzero(ordered <= limits)
    return float(limits[passed[-1]] if len(passed) else limits[0] if len(limits) else 0.0)


def of_history(
    history: History,
    changed: Sequence[ChangePoint],
    baseline: Baseline | None,
    multiplier: float | None,
    first: int,
    end: int,
) -> Judgement:
    """Judge one dimension over the days from ``first`` to before ``end``, by all guards but false discovery."""
    window = np.flatnonzero((history.days >= first) & (history.days < end))
    enough = _enough(history, baseline, window)
    if baseline is None or multiplier is None or not all(guard.passed for guard in enough):
        count = int(history.counts[window].sum())
        return Judgement(*history.name, enough, baseline=baseline, multiplier=multiplier, sample_count=count)
    base = settled(history, changed, baseline)
    normal = _normal(history, base, baseline)
    rise = _rise(history, changed, base, normal)
    onset = rise[0] if rise else None
    since = window[history.days[window] >= onset.at] if onset else window
    ratio = normal.ratio(history.level(since)) if len(since) else 1.0
    score, p_value = _tested(history, rise, base, normal, since)
    guards = (
        *enough,
        _changed(onset, ratio, p_value),
        _large_enough(ratio, multiplier),
        _separated(score, p_value, baseline),
        _confirmed(history, since, normal, multiplier),
    )
    above = float(np.exp(history.level(since) - normal.level)) if len(since) else 1.0
    observed, count = baseline.p50_ms * above, int(history.counts[since].sum())
    dates = (onset.onset, onset.onset_from, onset.onset_to) if onset else (None, None, None)
    return Judgement(
        *history.name,
        guards,
        True,
        baseline,
        multiplier,
        observed,
        ratio,
        count,
        *dates,
        score,
        p_value,
        resolution_ms=normal.resolution_ms,
    )


def _rise(history: History, changed: Sequence[ChangePoint], base: np.ndarray, normal: Normal) -> list[ChangePoint]:
    """Return the onsets since the last level that was not above normal."""
    parts = days_by_level(history, changed)
    last_of_base = int(base[-1]) if len(base) else -1
    rise: list[ChangePoint] = []
    for onset, part in zip(reversed(changed), reversed(parts[1:]), strict=True):
        if not len(part) or part[0] <= last_of_base or normal.ratio(history.level(part)) <= RATIO_LEAST:
            break
        rise.insert(0, onset)
    return rise


def _normal(history: History, base: np.ndarray, baseline: Baseline) -> Normal:
    if len(base) >= LEVEL_LEAST:
        return Normal(history.level(base), history.resolution_ms)
    return Normal(float(np.log(baseline.p50_ms)), max(history.resolution_ms, baseline.resolution_ms))


def _tested(
    history: History, rise: list[ChangePoint], base: np.ndarray, normal: Normal, since: np.ndarray
) -> tuple[float, float]:
    """Return score and p-value of the most significant step up, or of the level if its step precedes the history."""
    if up := [onset for onset in rise if onset.ratio > 1]:
        clearest = min(up, key=lambda onset: (onset.p_value, -onset.score))
        return clearest.score, clearest.p_value
    if len(base) >= LEVEL_LEAST or len(since) < DAYS_SINCE_LEAST:
        return 0.0, 1.0
    ratio = normal.ratio(history.level(since))
    if ratio <= RATIO_LEAST:
        return 0.0, 1.0
    sigma, rho = history.noise(since)
    days = np.array([len(since), LEVEL_LEAST], dtype=float)
    error = sigma * np.sqrt((noise.variance_factor(days, np.full(2, rho)) / days).sum())
    score = float(np.log(ratio) / error)
    return score, scan.p_value(score, len(history.days))


def _enough(history: History, baseline: Baseline | None, window: np.ndarray) -> tuple[Guard, ...]:
    spans, days = history.spans_per_day, len(window)
    limit = DAYS_SINCE_LEAST if baseline else DAYS_LEAST
    have, unit = (days, "days of the window") if baseline else (len(history.days), "days")
    return (
        Guard("enough_spans", spans >= DAY_SPANS, spans, DAY_SPANS, f"{spans:g} spans per day, {DAY_SPANS} are needed"),
        Guard(
            "enough_days",
            baseline is not None and days >= DAYS_SINCE_LEAST,
            have,
            limit,
            f"{have} {unit} with at least {DAY_SPANS} spans, {limit} are needed"
            + ("" if baseline or have < limit else f", {LEVEL_LEAST} of them on one level"),
        ),
    )


def _changed(onset: ChangePoint | None, ratio: float, p_value: float) -> Guard:
    if onset:
        says = f"slower since {onset.onset} (between {onset.onset_from} and {onset.onset_to})"
    elif p_value < 1:
        says = "slower than its baseline on all remaining days of its history"
    else:
        says = "no step up from its baseline"
    return Guard("changed", onset is not None or p_value < 1, ratio, None, says)


def _large_enough(ratio: float, multiplier: float) -> Guard:
    says = f"{ratio:.2f} x its baseline, the threshold is {multiplier:.2f} x"
    return Guard("large_enough", is_above(ratio, 1.0, multiplier), ratio, multiplier, says)


def _separated(score: float, p_value: float, baseline: Baseline) -> Guard:
    limit = scan.P_MOST / NOISE_DISMISSED**baseline.noise_dismissals
    says = f"{score:.1f} times its own noise, p {p_value:.2g}, the limit is {limit:.2g}"
    if baseline.noise_dismissals:
        says += f" because {baseline.noise_dismissals} of its items were noise"
    return Guard("separated", p_value <= limit, p_value, limit, says)


def _confirmed(history: History, since: np.ndarray, normal: Normal, multiplier: float) -> Guard:
    """Require both halves of the days since the onset to be closer to the threshold than to normal."""
    limit = float(np.sqrt(multiplier))
    halves = [half for half in np.array_split(since, 2) if len(half)]
    least = min((normal.ratio(history.level(half)) for half in halves), default=1.0)
    says = f"the faster half of {len(since)} days is {least:.2f} x its baseline, the limit is {limit:.2f} x"
    return Guard("confirmed", len(since) >= DAYS_SINCE_LEAST and least > limit, least, limit, says)


def _discovered(one: Judgement, limit: float, tested: int) -> Judgement:
    says = f"p {one.p_value:.2g}, the limit among {tested} dimensions is {limit:.2g}"
    guard = Guard("false_discoveries", one.p_value <= limit, one.p_value, limit, says)
    return replace(one, guards=(*one.guards, guard), p_limit=limit)
