"""Judgement of dimensions by their learned baselines, with every number behind it.

Belongs here: the guards, and the control of false discoveries over all dimensions of a run.
Does not: learning baselines (baselines), judgement by configured ones (bottlenecks).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from leo_telemetry_pipeline.analysis import references, scan, tails
from leo_telemetry_pipeline.analysis.bottlenecks import is_above
from leo_telemetry_pipeline.analysis.changes import RATIO_LEAST, ChangePoint
from leo_telemetry_pipeline.analysis.levels import DAYS_LEAST, LEVEL_LEAST, Days, History, days_by_level
from leo_telemetry_pipeline.analysis.references import P_MOST, Distance, Reference
from leo_telemetry_pipeline.dimension import Baseline, Dimension, Guard, Judgement
from leo_telemetry_pipeline.resolution import least_ratio

DAYS_SINCE_LEAST = 3
FALSE_DISCOVERIES = 0.05
# The onset is located among the slower days and this many days before them.
ONSET_DAYS = 28
# Each item dismissed as noise makes the dimension's test ten times as strict.
NOISE_DISMISSED = 10.0

_DAY_S = 86_400


@dataclass(frozen=True)
class Normal:
    """Normal level (the log of a P50), and the coarser of its resolution and that of the compared days."""

    level: float
    resolution_ms: float

    def ratio(self, level: float) -> float:
        """Return the least ratio of another level to this one that the resolution allows."""
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

    A bottleneck passes all guards, including the false discovery rate ``false_discoveries`` of the run, and so does a
    slow tail.
    """
    first, end = int(window_start.timestamp() // _DAY_S), int(-(-window_end.timestamp() // _DAY_S))
    judged = []
    for history in days.histories:
        baseline = baselines.get(history.name)
        multiplier = (multipliers or {}).get(history.name, baseline.multiplier) if baseline else None
        of_all = of_history(history, changed.get(history.name, ()), baseline, multiplier, first, end)
        of_tail = tails.baseline_of(baseline, (multipliers or {}).get(history.name))
        if of_tail:
            tail = of_history(history.tail, (), of_tail, of_tail.multiplier, first, end)
            of_all = replace(of_all, tail=tail)
        judged.append(of_all)
    tested = [each for one in judged for each in (one, one.tail) if each and each.is_enough]
    limit = discovery_limit([each.p_value for each in tested], false_discoveries)
    return [_discovered(one, limit, len(tested)) for one in judged]


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
    reference = references.of(baseline)
    found = references.distance(history, reference, end)
    normal = Normal(found.normal, max(history.resolution_ms, baseline.resolution_ms))
    rise = _rise(history, changed, normal)
    onset = rise[0] if rise else _onset(history, reference, found) if found.p_value <= P_MOST else None
    since = window[history.days[window] >= onset.at] if onset else window
    ratio = normal.ratio(history.level(since)) if len(since) else 1.0
    guards = (
        *enough,
        _large_enough(ratio, float(np.exp(found.above)), multiplier, baseline.multiplier),
        _separated(found, onset, baseline),
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
        found.score,
        found.p_value,
        resolution_ms=normal.resolution_ms,
    )


def _rise(history: History, changed: Sequence[ChangePoint], normal: Normal) -> list[ChangePoint]:
    """Return the changes since the last level that was not above normal."""
    rise: list[ChangePoint] = []
    for change, part in zip(reversed(changed), reversed(days_by_level(history, changed)[1:]), strict=True):
        if not len(part) or normal.ratio(history.level(part)) <= RATIO_LEAST:
            break
        rise.insert(0, change)
    return rise


def _onset(history: History, reference: Reference, found: Distance) -> ChangePoint | None:
    """Return the likeliest onset of the latest slow days, None if it was before the history."""
    if found.since[0] < scan.LEAST:
        return None
    begin = max(0, int(found.since[0]) - ONSET_DAYS)
    before, since = (
        history.level(np.arange(*ends)) for ends in ((begin, found.since[0]), (found.since[0], found.since[-1] + 1))
    )
    if before - found.normal > (since - found.normal) / 2:
        return None
    part = slice(begin, int(found.since[-1]) + 1)
    at, (first, last), (low, high) = scan.onset(
        history.centers[part], history.quality[part], reference.sigma, reference.rho, int(found.since[0]) - begin
    )
    day, earliest, latest = (int(history.days[begin + place]) for place in (at, first, last))
    levels = float(np.exp(low)), float(np.exp(high)), float(np.exp(high - low))
    return ChangePoint(day, earliest, latest, *levels, found.score, found.p_value)


def _enough(history: History, baseline: Baseline | None, window: np.ndarray) -> tuple[Guard, ...]:
    days, limit = len(window), DAYS_SINCE_LEAST if baseline else DAYS_LEAST
    have, unit = (days, "days of the window") if baseline else (len(history.days), "days")
    says = f"{have} {unit} with spans, {limit} are needed"
    if not baseline and have >= limit:
        says += f", {LEVEL_LEAST} of them on one level"
    return (Guard("enough_days", baseline is not None and days >= DAYS_SINCE_LEAST, have, limit, says),)


def _large_enough(ratio: float, by_centers: float, multiplier: float, learned: float) -> Guard:
    """Compare the P50 with the multiplier, and the more precise centers with the learned one if that is less."""
    says = f"{ratio:.2f} x its baseline, the threshold is {multiplier:.2f} x"
    passed = is_above(ratio, 1.0, multiplier)
    if passed and not is_above(by_centers, 1.0, min(multiplier, learned)):
        says += f", but only {by_centers:.2f} x by the centers of its days"
        return Guard("large_enough", False, by_centers, learned, says)
    return Guard("large_enough", passed, ratio, multiplier, says)


def _separated(found: Distance, onset: ChangePoint | None, baseline: Baseline) -> Guard:
    limit = P_MOST / NOISE_DISMISSED**baseline.noise_dismissals
    passed = found.p_value <= limit
    says = f"{found.score:.1f} standard errors above normal, p {found.p_value:.2g}, the limit is {limit:.2g}"
    if baseline.noise_dismissals:
        says += f" because {baseline.noise_dismissals} of its items were noise"
    if passed and onset:
        says += f"; slower since {onset.onset} (between {onset.onset_from} and {onset.onset_to})"
    elif passed:
        says += "; slower on all remaining days of its history"
    return Guard("separated", passed, found.p_value, limit, says)


def _confirmed(history: History, since: np.ndarray, normal: Normal, multiplier: float) -> Guard:
    """Require both halves of the days since the onset to be closer to the threshold than to normal."""
    limit = float(np.sqrt(multiplier))
    halves = [half for half in np.array_split(since, 2) if len(half)]
    least = min((normal.ratio(_mean(history, half)) for half in halves), default=1.0)
    says = f"the faster half of {len(since)} days is {least:.2f} x its baseline, the limit is {limit:.2f} x"
    return Guard("confirmed", len(since) >= DAYS_SINCE_LEAST and least > limit, least, limit, says)


def _mean(history: History, at: np.ndarray) -> float:
    weight = history.quality[at] ** 2
    return float(history.x[at] @ weight / weight.sum())


def _discovered(one: Judgement, limit: float, tested: int) -> Judgement:
    one = replace(one, tail=_discovered(one.tail, limit, tested)) if one.tail else one
    if not one.is_enough:
        return one
    says = f"p {one.p_value:.2g}, the limit among {tested} tests is {limit:.2g}"
    guard = Guard("false_discoveries", one.p_value <= limit, one.p_value, limit, says)
    return replace(one, guards=(*one.guards, guard), p_limit=limit)
