"""Changed mixes: whether a dimension is slow only because the shares of its slices changed.

Belongs here: the decision, from histograms of the slices. Does not: what slices are (slices), whether one of them is
slow (judgement).

A slow dimension is called "mix" if, over some attribute, no slice is slow, the slices together are not slower either,
and the change of shares accounts for most of the spans above the former P50; a slow tail, above the former P80.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from leo_telemetry_pipeline.analysis.causes import BEFORE, NEAR
from leo_telemetry_pipeline.analysis.changes import day_number
from leo_telemetry_pipeline.analysis.levels import LAST_MIX, MIXED_SINCE
from leo_telemetry_pipeline.analysis.slices import Slices, value_of
from leo_telemetry_pipeline.daily_rows import ZERO_BUCKET, Rows
from leo_telemetry_pipeline.dimension import Baseline, Dimension, Judgement
from leo_telemetry_pipeline.mix import Mix, Share

# Share of the additional spans above the former P50 that the changed shares must account for.
EXPLAINED = 0.5
# The values that are seen both before and since must have this share of the spans before or since: if all values are
# new, such as those of other hosts, nothing says that the work did not get slower.
STAYED = 0.5
# A slice with fewer spans says nothing about its durations.
SPANS_LEAST = 5
# Standard errors by which the slices may be slower, or their shares explain less, by chance.
CHANCE = 3.0
TRIMMED = 0.1
# Of more dimensions over their threshold, those with the highest ratios: all are then slow for another reason.
MOST_EXPLAINED = 500
# The slowest fifth is above it.
TAIL_RANK = 0.8
# Histories have buckets of 0.5 %; wider ones let thousands of slices fit into memory.
WIDTH = 4


@dataclass(frozen=True)
class Periods:
    """Days since 1970-01-01 that are compared: from ``before`` to before ``until``, and from ``since`` on."""

    before: int
    until: int
    since: int


@dataclass(frozen=True)
class Durations:
    """Spans per slice and bucket, before and since; ``log_ms``: the middle of each bucket."""

    before: np.ndarray
    since: np.ndarray
    log_ms: np.ndarray


def candidates(judged: Iterable[Judgement], slices: Slices) -> list[tuple[Judgement, Dimension]]:
    """Return the dimensions that may only have another mix, the worst ones, each with its slices.

    They, or their tails, are over their threshold. A dimension has one entry per slice.
    """
    by_name = {one.dimension: one for one in judged}
    large = [one for one in by_name.values() if _large(one) and _attributes(one, slices, by_name)]
    large.sort(key=lambda one: -max(each.ratio or 0.0 for each, _ in _large(one)))
    return [
        (one, slice_)
        for one in large[:MOST_EXPLAINED]
        for attribute in _attributes(one, slices, by_name)
        for slice_ in slices[one.dimension][attribute]
    ]


def _large(one: Judgement) -> list[tuple[Judgement, float]]:
    """Return the dimension and its tail, as far as they are over their threshold, each with its rank."""
    ranks = ((one, 0.5), (one.tail, TAIL_RANK))
    return [(each, rank) for each, rank in ranks if each and _is_large(each)]


def _is_large(one: Judgement) -> bool:
    return one.is_enough and any(guard.name == "large_enough" and guard.passed for guard in one.guards)


def _attributes(one: Judgement, slices: Slices, judged: Mapping[Dimension, Judgement]) -> list[str]:
    def is_slow(slice_: Dimension) -> bool:
        return slice_ in judged and judged[slice_].outcome == "bottleneck"

    of_whole = slices.get(one.dimension, {})
    return [name for name, of in sorted(of_whole.items()) if len(of) > 1 and not any(map(is_slow, of))]


def settled(
    judged: Sequence[Judgement],
    slices: Slices,
    of: Sequence[tuple[Judgement, Dimension]],
    portions: Iterable[Rows],
    first: date,
    window_start: date,
    gamma: float,
) -> list[Judgement]:
    """Return the judgements, with a ``mix`` where it explains why a dimension is over its threshold.

    ``of``: the candidates; ``portions``: the history of the slice of each, from the day ``first``.
    """
    by_name = {one.dimension: one for one in judged}
    periods = [_periods(_large(one)[0][0], day_number(first), day_number(window_start)) for one, _ in of]
    durations = _pooled(portions, periods, day_number(first), gamma)
    places = {(one.dimension, slice_): place for place, (one, slice_) in enumerate(of)}
    for name in dict.fromkeys(one.dimension for one, _ in of):
        one = by_name[name]
        found: dict[float, list[Mix]] = {}
        for attribute in _attributes(one, slices, by_name):
            at = [places[name, slice_] for slice_ in slices[name][attribute]]
            some = Durations(durations.before[at], durations.since[at], durations.log_ms)
            values = [value_of(name, slice_) for slice_ in slices[name][attribute]]
            for large, rank in _large(one):
                if mix := explanation(attribute, values, some, large.multiplier or 1.0, rank):
                    found.setdefault(rank, []).append(mix)
        tail = replace(one.tail, mix=_best(found.get(TAIL_RANK))) if one.tail else None
        by_name[name] = replace(one, mix=_best(found.get(0.5)), tail=tail)
    return [by_name[one.dimension] for one in judged]


def _best(found: Sequence[Mix] | None) -> Mix | None:
    return min(found or (), key=lambda mix: (abs(np.log(mix.reweighted)), mix.attribute), default=None)


def _periods(one: Judgement, first: int, window_start: int) -> Periods:
    if one.onset_day is None:
        # Slow on all days that are known: the oldest ones are the likeliest to be normal.
        return Periods(first, min(first + BEFORE.days, window_start - NEAR.days), window_start)
    onset = day_number(one.onset_day)
    return Periods(onset - NEAR.days - BEFORE.days, onset - NEAR.days, max(onset, window_start))


def remembered(judged: Iterable[Judgement]) -> list[Judgement]:
    """Return the judgements, with baselines that know since when the mix is another one, to follow it later."""
    return [one if one.baseline is None else replace(one, baseline=_marked(one, one.baseline)) for one in judged]


def _marked(one: Judgement, baseline: Baseline) -> Baseline:
    others = {name: value for name, value in baseline.evidence.items() if name != MIXED_SINCE}
    # The baseline has one tail, and follows the mix of either if the other is not slow.
    mixed = one if one.mix or one.outcome != "ok" else one.tail
    if mixed is None or mixed.mix is None or mixed.onset_day is None:
        return replace(baseline, evidence=others)
    evidence = {MIXED_SINCE: mixed.onset_day.isoformat(), **baseline.evidence}
    if not mixed.mix.parts:
        evidence[LAST_MIX] = {"since": evidence[MIXED_SINCE], "mix": mixed.mix.as_json()}
    return replace(baseline, evidence=evidence)


def explanation(
    attribute: str, values: Sequence[str], durations: Durations, multiplier: float, rank: float = 0.5
) -> Mix | None:
    """Return the mix over an attribute if it explains a rise of all spans at a rank, by default of their P50."""
    was, now = (side.sum(axis=1) for side in (durations.before, durations.since))
    both = np.minimum(was, now) >= SPANS_LEAST
    if len(values) < 2 or not both.any() or max(was[both].sum() / was.sum(), now[both].sum() / now.sum()) < STAYED:
        return None
    if _is_slower(durations, both, multiplier):
        return None
    shares_before, shares_since = was / was.sum(), now / now.sum()
    like_before = _shaped(durations.before, durations.since)
    like_since = _shaped(durations.since, durations.before)
    former = _at_rank(shares_before @ like_before, rank)
    above = np.arange(len(durations.log_ms)) > former
    observed = (shares_since @ like_since - shares_before @ like_before)[above].sum()
    moved, slow = shares_since - shares_before, like_before[:, above].sum(axis=1)
    error = np.sqrt(moved**2 @ (slow * (1 - slow) / np.maximum(was, SPANS_LEAST)))
    if observed <= 0 or moved @ slow + CHANCE * error < EXPLAINED * observed:
        return None
    logs = durations.log_ms
    reweighted = logs[_at_rank(shares_before @ like_since, rank)] - logs[former]
    p50s = [
        [float(np.exp(logs[_at_rank(row, 0.5)])) if row.sum() else None for row in side]
        for side in (durations.before, durations.since)
    ]
    shares = [Share(*row) for row in zip(values, shares_before.tolist(), shares_since.tolist(), *p50s, strict=True)]
    shares.sort(key=lambda share: (-abs(share.since - share.before), share.value))
    return Mix(attribute, float(np.exp(reweighted)), tuple(shares))


def _shaped(side: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the distribution of each slice on one side; with too few spans there, that on the other side."""
    counts = np.where(side.sum(axis=1, keepdims=True) >= SPANS_LEAST, side, side + other)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _at_rank(weights: np.ndarray, rank: float) -> int:
    return int(np.searchsorted(np.cumsum(weights), rank * weights.sum()))


def _is_slower(durations: Durations, both: np.ndarray, multiplier: float) -> bool:
    """Return whether the slices on both sides, weighted by what each side tells of them, exceed the threshold."""
    (was, level_before, error_before), (now, level_since, error_since) = (
        _levels(side[both], durations.log_ms) for side in (durations.before, durations.since)
    )
    weight = was * now / (was + now)
    rise = float(np.average(level_since - level_before, weights=weight))
    error = float(np.sqrt((weight**2) @ (error_before**2 + error_since**2)) / weight.sum())
    return rise > np.log(multiplier) and rise > CHANCE * error


def _levels(counts: np.ndarray, log_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return spans, trimmed mean of log durations, and its standard error, of each row."""
    spans, upto = counts.sum(axis=1, keepdims=True), np.cumsum(counts, axis=1)
    kept = np.maximum(np.minimum(upto, (1 - TRIMMED) * spans) - np.maximum(upto - counts, TRIMMED * spans), 0)
    level = kept @ log_ms / kept.sum(axis=1)
    # Of all spans, and thus somewhat too large.
    spread = np.sqrt((counts * (log_ms - level[:, None]) ** 2).sum(axis=1) / spans[:, 0])
    return spans[:, 0], level, spread / np.sqrt(spans[:, 0])


def _pooled(portions: Iterable[Rows], periods: Sequence[Periods], first: int, gamma: float) -> Durations:
    highest = int(np.ceil(np.log(1e13) / np.log(gamma)))
    width = (highest - ZERO_BUCKET) // WIDTH + 1
    sums = np.zeros((2, len(periods), width), dtype=np.int32)
    bounds = np.array([(each.before, each.until, each.since) for each in periods]).reshape(-1, 3) - first
    for rows in portions:
        before, until, since = bounds[rows.dimension].T
        side = np.where(rows.day >= since, 1, np.where((rows.day >= before) & (rows.day < until), 0, -1))
        of_row = np.repeat(np.arange(len(rows.day)), np.diff(rows.ends, prepend=0))
        kept = np.flatnonzero(side[of_row] >= 0)
        at = np.clip(rows.buckets[kept] - ZERO_BUCKET, 0, highest - ZERO_BUCKET) // WIDTH
        np.add.at(sums, (side[of_row[kept]], rows.dimension[of_row[kept]], at), rows.spans[kept])
    log_ms = (ZERO_BUCKET + WIDTH * (np.arange(width) + 0.5)) * np.log(gamma)
    return Durations(sums[0], sums[1], log_ms)
