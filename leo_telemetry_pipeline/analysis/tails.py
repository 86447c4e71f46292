"""Slow minorities: the slowest fifth of a dimension's calls against its own reference, and what the slow calls are.

Belongs here: the kept reference of tails, when a tail is judged, and the share of slow calls from histograms.
Does not: guards (judgement), the reference itself (references), traces.

A tail is the mean log duration of the slowest fifth of a day's spans. It rises if 1 in 10 calls becomes ten times as
slow, which hardly moves a P50. A tail has a reference like the level of a dimension, in the baseline's evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from leo_telemetry_pipeline.analysis import references
from leo_telemetry_pipeline.analysis.bucket_percentiles import percentiles
from leo_telemetry_pipeline.analysis.levels import (
    ACCEPTED_LEAST,
    DAYS_LEAST,
    SETTLED_DAYS,
    History,
    start_of,
)
from leo_telemetry_pipeline.analysis.references import Reference
from leo_telemetry_pipeline.daily_rows import Rows
from leo_telemetry_pipeline.dimension import Baseline, Dimension, Guard, Judgement
from leo_telemetry_pipeline.slow_calls import SlowCalls

# A tail is slow if it is longer by more than this factor.
RATIO_LEAST = 1.5
NOISE_DISMISSED = 1.1
# Days before the onset that slow calls are compared with, and the gap between: the onset may be dated late.
BEFORE_DAYS, NEAR_DAYS = 28, 3
# The latest days by which a tail may be accepted.
LATEST_DAYS = 7

# Probability by chance of as many slow calls, at most.
P_MOST = 0.0001
TAIL_SHARE = 0.2

# Buckets in order, and the number of spans in each.
Histogram = tuple[np.ndarray, np.ndarray]

_TAIL = "tail"
_IS_SLOW = "is_slow"


def with_tail(history: History, baseline: Baseline, kept: Baseline | None) -> Baseline:
    """Return a baseline with the reference of its tail, once enough days of its level have one.

    It only moves forward (references), until the baseline moves to another level.
    """
    tail = history.tail
    reference = _of(kept) if kept and baseline.moved not in ("improved", "accepted") else None
    if reference is None:
        at = np.flatnonzero(tail.days >= start_of(baseline))[:SETTLED_DAYS]
        if len(at) < (ACCEPTED_LEAST if baseline.moved == "accepted" else DAYS_LEAST):
            evidence = {name: value for name, value in baseline.evidence.items() if name != _TAIL}
            return replace(baseline, evidence=evidence)
        reference = references.first(tail, at)
    reference = references.forward(tail, reference, float(np.log(RATIO_LEAST)))
    of_tail = {**reference.as_json(), _IS_SLOW: _is_slow(tail, reference)}
    return replace(baseline, evidence={**baseline.evidence, _TAIL: of_tail})


def accepted(history: History, kept: Baseline) -> np.ndarray | None:
    """Return the days of a slow tail that a person accepted: it was slow at the last analysis, and still is."""
    reference, tail = _of(kept), history.tail
    if reference is None or not kept.may_rise or not kept.evidence[_TAIL][_IS_SLOW] or not _is_slow(tail, reference):
        return None
    found = references.distance(tail, reference, int(tail.days[-1]) + 1)
    return np.flatnonzero(np.isin(history.days, tail.days[found.since])) if len(found.since) >= ACCEPTED_LEAST else None


def _of(baseline: Baseline) -> Reference | None:
    kept: Mapping[str, Any] | None = baseline.evidence.get(_TAIL)
    return Reference.from_json({name: value for name, value in kept.items() if name != _IS_SLOW}) if kept else None


def _is_slow(tail: History, reference: Reference) -> bool:
    latest = np.arange(max(0, len(tail.days) - LATEST_DAYS), len(tail.days))
    return bool(len(latest)) and tail.level(latest) > reference.level + float(np.log(RATIO_LEAST))


def baseline_of(baseline: Baseline | None, written: float | None) -> Baseline | None:
    """Return the baseline of a dimension's tail, None without a reference; ``written``: a configured multiplier."""
    reference = _of(baseline) if baseline else None
    if baseline is None or reference is None:
        return None
    multiplier = max(RATIO_LEAST * NOISE_DISMISSED**baseline.noise_dismissals, written or 0.0)
    evidence = {
        "reference": reference.as_json(),
        "resolution_ms": baseline.resolution_ms,
        "noise_dismissals": baseline.noise_dismissals,
    }
    return Baseline(
        *baseline.dimension, float(np.exp(reference.p50)), multiplier, None, round(reference.days), evidence
    )


def with_slow_calls(
    judged: Sequence[Judgement],
    slow: Sequence[Dimension],
    history: Sequence[Rows],
    window: tuple[date, date],
    gamma: float,
) -> list[Judgement]:
    """Return the judgements, those with a slow tail with their slow calls and a guard on their number.

    ``history``: rows of the dimensions ``slow``, from the first day of ``window`` on; its second one begins the window.
    """
    places = {dimension: place for place, dimension in enumerate(slow)}
    first, start = window[0], (window[1] - window[0]).days

    def described(one: Judgement) -> Judgement:
        tail = one.tail
        if tail is None or tail.baseline is None or one.dimension not in places:
            return one
        onset = (tail.onset_day - first).days if tail.onset_day else None
        since = _summed(history, places[one.dimension], max(start, onset or 0))
        ends = (0, 0) if onset is None else (onset - NEAR_DAYS - BEFORE_DAYS, onset - NEAR_DAYS)
        before = _summed(history, places[one.dimension], *ends)
        calls, guard = slow_calls(since, before, tail.baseline.p50_ms, gamma)
        return replace(one, tail=replace(tail, slow_calls=calls, guards=(*tail.guards, guard)))

    return [described(one) for one in judged]


def slow_calls(since: Histogram, before: Histogram, normal_ms: float, gamma: float) -> tuple[SlowCalls | None, Guard]:
    """Return which calls are slow since the onset of a slow tail, and whether they are more than chance brings.

    A call is slow above the duration at which the shares of longer calls differ most between both sides. Without normal
    days in the history, that is ``normal_ms``, the normal tail, which the slower half of the slowest fifth exceeds.
    """
    cuts = np.union1d(since[0], before[0]) if len(before[0]) else np.array([np.log(normal_ms) / np.log(gamma)])
    now, normal = (_shares_above(cuts, *side) for side in (since, before))
    at = int((now - normal).argmax())
    total, total_before = int(since[1].sum()), int(before[1].sum())
    # One more than were seen, so that none before does not mean never.
    usual = (normal[at] * total_before + 1) / (total_before + 2) if total_before else TAIL_SHARE / 2
    p_value = float(np.exp(-total * _divergence(float(now[at]), float(usual))))
    cut_ms = float(gamma ** cuts[at])
    says = f"{now[at] * total:.0f} of {total} calls take over {cut_ms:.4g} ms, usually {usual * total:.0f}"
    guard = Guard(
        "enough_calls", p_value <= P_MOST, p_value, P_MOST, f"{says}: p {p_value:.2g}, the limit is {P_MOST:g}"
    )
    above = since[0] > cuts[at]
    share = float((now[at] - normal[at]) / max(1 - normal[at], np.finfo(float).eps))
    p50_ms = _percentile(0.5, since[0][above], since[1][above], gamma)
    p90_ms, p90_before_ms = (_percentile(0.9, *side, gamma) for side in (since, before))
    if p50_ms is None or p90_ms is None or share <= 0:
        return None, replace(guard, passed=False)
    return SlowCalls(round(share, 4), p50_ms, cut_ms, p90_ms, p90_before_ms), guard


def _divergence(share: float, usual: float) -> float:
    """Return the log likelihood ratio per call of a share against a usual one, 0 if it is smaller."""
    if share <= usual:
        return 0.0
    rest = (1 - share) * np.log((1 - share) / (1 - usual)) if share < 1 else 0.0
    return float(share * np.log(share / usual) + rest)


def _summed(history: Sequence[Rows], place: int, first: int, end: int | None = None) -> Histogram:
    """Return the buckets of a dimension over some days, in order, and the number of spans in each."""
    buckets, spans = [np.zeros(0, int)], [np.zeros(0, int)]
    for rows in history:
        wanted = (rows.dimension == place) & (rows.day >= first) & (rows.day < (rows.day + 1 if end is None else end))
        of_element = np.repeat(wanted, np.diff(rows.ends, prepend=0))
        buckets.append(rows.buckets[of_element])
        spans.append(rows.spans[of_element])
    numbers, of = np.unique(np.concatenate(buckets), return_inverse=True)
    counts = np.bincount(of, weights=np.concatenate(spans), minlength=len(numbers))
    return numbers, counts.astype(np.int64)


def _shares_above(cuts: np.ndarray, buckets: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Return the share of a histogram's spans above each cut, 0 without spans."""
    upto = np.concatenate(([0], np.cumsum(spans)))
    return (upto[-1] - upto[np.searchsorted(buckets, cuts, side="right")]) / max(int(upto[-1]), 1)


def _percentile(quantile: float, buckets: np.ndarray, spans: np.ndarray, gamma: float) -> float | None:
    if not len(buckets):
        return None
    return float(percentiles((quantile,), np.array([len(buckets)]), buckets, spans, gamma)[0, 0])
