"""Mixes of parts: whether a dimension is slow only because the mix of spans below it changed.

Belongs here: the decision, from the attribution of its added time. Does not: whether the mix of a dimension's own spans
changed (mixes), attributing time (attribution), reading traces.

If a sub-agent is called with a larger model more often, the gate around it takes longer, but no work got slower. The
gate is called "mix" too if it is within its threshold without the time that such parts add.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from leo_telemetry_pipeline.analysis.attribution import Attribution
from leo_telemetry_pipeline.analysis.bottlenecks import is_above, minority
from leo_telemetry_pipeline.analysis.levels import DAYS_LEAST, LAST_MIX
from leo_telemetry_pipeline.analysis.mixes import EXPLAINED
from leo_telemetry_pipeline.analysis.places import MIX
from leo_telemetry_pipeline.dimension import Baseline, Bottleneck, Dimension, Judgement
from leo_telemetry_pipeline.mix import Mix


def parts(judged: Iterable[Judgement], onset: date | None) -> dict[str, Mix]:
    """Return the dimensions with another mix that did not get slower, which may explain a dimension slow since a day.

    Their mix changed now, or within two weeks of that day: their baseline may follow before that of the slow one does.
    """
    found = {}
    for one in judged:
        mix = one.mix or (one.tail.mix if one.tail else None) or _earlier(one.baseline, onset)
        if mix and not mix.parts and one.outcome != "bottleneck" and not minority(one):
            found[one.name] = mix
    return found


def _earlier(baseline: Baseline | None, onset: date | None) -> Mix | None:
    last = baseline.evidence.get(LAST_MIX) if baseline else None
    if last is None or onset is None or abs((date.fromisoformat(last["since"]) - onset).days) > DAYS_LEAST:
        return None
    return Mix.from_json(last["mix"])


def slow(judged: Iterable[Judgement], *, is_minority: bool) -> list[Bottleneck]:
    """Return the dimensions whose P50 (or a minority of whose calls) is slow by their learned baseline, worst first."""
    found = [_minority(one) if is_minority else _bottleneck(one) for one in judged]
    return sorted((one for one in found if one), key=lambda one: (-one.ratio, one.dimension))


def _bottleneck(one: Judgement) -> Bottleneck | None:
    if one.outcome != "bottleneck" or one.baseline is None:
        return None
    # A judgement with enough data has both.
    assert one.observed_p50_ms is not None
    assert one.multiplier is not None
    return Bottleneck(
        *one.dimension,
        one.observed_p50_ms,
        one.baseline.p50_ms,
        "learned",
        one.multiplier,
        one.sample_count,
        onset_day=one.onset_day,
        resolution_ms=one.resolution_ms,
    )


def _minority(one: Judgement) -> Bottleneck | None:
    calls, tail = minority(one), one.tail
    if calls is None or tail is None or tail.multiplier is None or one.baseline is None:
        return None
    return Bottleneck(
        *one.dimension,
        calls.p50_ms,
        one.baseline.p50_ms,
        "learned",
        tail.multiplier,
        one.sample_count,
        onset_day=tail.onset_day,
        resolution_ms=tail.resolution_ms,
        slow_calls=calls,
    )


def explanation(slow: Bottleneck, found: Attribution | None, mixes: Mapping[str, Mix]) -> Mix | None:
    """Return the mix of the parts below a slow dimension if it explains most of its added time and the rest is little.

    ``found``: attributed with the keys of ``mixes``, the mixes of these parts.
    """
    of_mix = [part for part in found.parts if part.kind == MIX] if found else []
    if found is None or not of_mix or sum(part.ms for part in of_mix) < EXPLAINED * found.mean_ms:
        return None
    without = slow.baseline_p50_ms + sum(part.ms for part in found.parts if part.kind != MIX)
    if is_above(without, slow.baseline_p50_ms, slow.multiplier):
        return None
    names = tuple(part.key for part in of_mix)
    return replace(mixes[names[0]], reweighted=without / slow.baseline_p50_ms, parts=names)


def settled(judged: Sequence[Judgement], mixes: Mapping[Dimension, Mix], *, is_minority: bool) -> list[Judgement]:
    """Return the judgements, with the mixes that explain why a P50 (or a minority of the calls) is slow."""

    def with_mix(one: Judgement) -> Judgement:
        mix = mixes.get(one.dimension)
        if mix is None or (is_minority and one.tail is None):
            return one
        return replace(one, tail=replace(one.tail, mix=mix)) if is_minority and one.tail else replace(one, mix=mix)

    return [with_mix(one) for one in judged]
