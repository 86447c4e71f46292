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

from leo_telemetry_pipeline.analysis import references, scan
from leo_telemetry_pipeline.analysis.bucket_percentiles import percentiles
from leo_telemetry_pipeline.analysis.changes import date_of
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
LEAST_BEFORE = 20

# Probability by chance of as many slow calls, at most.
CALLS_P_MOST = 0.0001
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
    of_tail = {**reference.as_json(), _IS_SLOW: _slow_days(tail, reference) is not None}
    return replace(baseline, evidence={**baseline.evidence, _TAIL: of_tail})


def accepted(history: History, kept: Baseline) -> np.ndarray | None:
    """Return the days of a slow tail that a person accepted: it was slow at the last analysis, and still is."""
    reference, tail = _of(kept), history.tail
    if reference is None or kept.accepted_on is None or not kept.evidence[_TAIL][_IS_SLOW]:
        return None
    slow = _slow_days(tail, reference)
    if slow is None or date_of(int(tail.days[slow][0])) > kept.accepted_on:
        return None
    return np.flatnonzero(np.isin(history.days, tail.days[slow]))


def _of(baseline: Baseline) -> Reference | None:
    kept: Mapping[str, Any] | None = baseline.evidence.get(_TAIL)
    return Reference.from_json({name: value for name, value in kept.items() if name != _IS_SLOW}) if kept else None


def _slow_days(tail: History, reference: Reference) -> np.ndarray | None:
    """Return the latest days if the tail is slow on them."""
    if len(tail.days) < scan.LEAST:
        return None
    limit = reference.level + float(np.log(RATIO_LEAST))
    latest = tail.x[: -references.RECENT_DAYS - 1 : -1]
    means = np.cumsum(latest) / np.arange(1, len(latest) + 1)
    if means[scan.LEAST - 1 :].max() <= limit:
        # Fast path: nearly all tails.
        return None
    found = references.distance(tail, reference, int(tail.days[-1]) + 1)
    is_slow = found.p_value <= references.P_MOST and tail.level(found.since) > limit
    return found.since if is_slow else None


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

    A call is slow above the duration, among those of the slowest fifth before, at which the shares of longer calls
    differ most. Without normal calls in the history, that is ``normal_ms``, the normal tail.
    """
    cuts, now, usual = _shares(since, before, float(np.log(normal_ms) / np.log(gamma)))
    total = int(since[1].sum())
    if not total:
        return None, Guard("enough_calls", False, None, None, "no calls")
    guard = _enough_calls(gamma**cuts, now, usual, total)
    at = int((now - usual).argmax())
    share = float((now[at] - usual[at]) / (1 - usual[at]))
    above = since[0] > cuts[at]
    if share <= 0 or not above.any():
        return None, replace(guard, passed=False)
    p50_ms = _percentile(0.5, since[0][above], since[1][above], gamma)
    p90_ms = _percentile(0.9, *since, gamma)
    p90_before_ms = _percentile(0.9, *before, gamma) if len(before[0]) else None
    return SlowCalls(round(share, 4), p50_ms, float(gamma ** cuts[at]), p90_ms, p90_before_ms), guard


def _shares(since: Histogram, before: Histogram, normal: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return buckets of the slowest fifth before, and the shares of calls above each, since and before."""
    total = int(before[1].sum())
    if total < LEAST_BEFORE:
        cuts = np.array([normal])
        # About half of the slowest fifth.
        return cuts, _shares_above(cuts, *since), np.array([TAIL_SHARE / 2])
    cuts = np.union1d(since[0], before[0])
    # One more than were seen: none before does not mean never.
    usual = (_shares_above(cuts, *before) * total + 1) / (total + 2)
    cuts, usual = cuts[usual <= TAIL_SHARE], usual[usual <= TAIL_SHARE]
    return cuts, _shares_above(cuts, *since), usual


def _enough_calls(cuts_ms: np.ndarray, now: np.ndarray, usual: np.ndarray, total: int) -> Guard:
    rates = [_divergence(*pair) for pair in zip(now.tolist(), usual.tolist(), strict=True)]
    at = int(np.argmax(rates))
    p_value = float(np.exp(-total * rates[at]))
    over = f"{cuts_ms[at]:,.0f}" if cuts_ms[at] >= 10 else f"{cuts_ms[at]:.2g}"
    says = f"{now[at] * total:.0f} of {total} calls take over {over} ms, usually {usual[at] * total:.0f}"
    says += f": p {p_value:.2g}, the limit is {CALLS_P_MOST:g}"
    return Guard("enough_calls", p_value <= CALLS_P_MOST, p_value, CALLS_P_MOST, says)


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


def _percentile(quantile: float, buckets: np.ndarray, spans: np.ndarray, gamma: float) -> float:
    return float(percentiles((quantile,), np.array([len(buckets)]), buckets, spans, gamma)[0, 0])
