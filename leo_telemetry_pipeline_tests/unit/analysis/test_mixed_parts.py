"""Dimensions that are slower only because the mix of spans below them changed."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from leo_telemetry_pipeline.actions import mixed
from leo_telemetry_pipeline.analysis import mixed_parts, mixes
from leo_telemetry_pipeline.analysis.attribution import Attribution, attribute
from leo_telemetry_pipeline.analysis.causes import attributed, group
from leo_telemetry_pipeline.analysis.critical_path import Forest, TraceSpan, forest
from leo_telemetry_pipeline.dimension import Baseline, Bottleneck, Guard, Judgement
from leo_telemetry_pipeline.mix import Mix, Share

X, Y = "subagent:X", "subagent:Y"
MIX = Mix("model", 1.0, (Share("large", 0.1, 0.6, 60_000, 60_000), Share("small", 0.9, 0.4, 6_000, 6_000)))
SINCE = date(2026, 3, 2)


def traces(seed: int, large: float, gate: float = 1.0, calls: int = 1, other: float | None = None) -> Forest:
    """Return handoffs with a gate that asks X: the share of large models, and the factor of the gate's own work.

    ``other``: the share of large models of Y, which is asked after X.
    """
    rng, spans = np.random.default_rng(seed), []
    for number in range(100):
        trace, at = str(number), 1_000.0
        asked = [(X, number < 100 * large)] * calls
        asked += [] if other is None else [(Y, number % 10 < 10 * other)]
        for place, (key, is_large) in enumerate(asked):
            # The work is done by spans below the sub-agent, of other names per model.
            took = float((60_000 if is_large else 6_000) * rng.lognormal(0, 0.3))
            span_type, _, name = key.partition(":")
            spans.append(TraceSpan(trace, f"x{place}", "g", span_type, name, at, at + took, took))
            model = "large" if is_large else "small"
            spans.append(TraceSpan(trace, f"m{place}", f"x{place}", "llm", model, at + 100, at + took, took - 100))
            at += took
        at += float(4_000 * gate * rng.lognormal(0, 0.3))
        spans.append(TraceSpan(trace, "g", "h", "gate", "G", 500.0, at, at - 500))
        spans.append(TraceSpan(trace, "h", None, "handoff", "H", 0.0, at + 500, at + 500))
    return forest(spans)


def explained(since: Forest, before: Forest, mixed: dict[str, Mix]) -> tuple[Mix | None, Attribution]:
    """Return the mix of the handoff, with a threshold of 1.15, and its attribution."""
    found = attribute(since, before, "handoff", "H", mixed=mixed)
    assert found is not None
    slow = Bottleneck("handoff", "H", 40_000.0, 11_000.0, "learned", 1.15, 100)
    return mixed_parts.explanation(slow, found, mixed), found


def test_work_that_only_contains_a_part_with_another_mix_has_that_mix_too():
    """Lost: more calls of a large model open an item for every gate and handoff around them."""
    mix, found = explained(traces(1, 0.6), traces(2, 0.1), {X: MIX})
    assert [(part.kind, part.key) for part in found.parts] == [("mix", X)]
    assert mix is not None
    assert mix == replace(MIX, parts=(X,))
    assert Mix.from_json(mix.as_json()) == mix
    assert mixed.line(mix).startswith("the mix of model in subagent:X changed: large 10 % to 60 %")


def test_the_mixes_of_several_parts_are_one_and_all_are_named():
    """Lost: two sub-agents that moved to a large model open an item for the handoff around them."""
    mix, _ = explained(traces(1, 0.6, other=0.9), traces(2, 0.1, other=0.1), {X: MIX, Y: MIX})
    assert mix is not None
    assert set(mix.parts) == {X, Y}
    assert mixed.line(mix).endswith(f"with the former shares 1x, and so did the mix of {mix.parts[1]}")


@pytest.mark.parametrize("large", [0.3, 0.6])
def test_what_got_slower_beside_another_mix_stays_a_bottleneck_and_is_its_cause(large: float):
    """Lost: a gate that takes four times as long is hidden by a sub-agent that moved to a large model meanwhile."""
    mix, found = explained(traces(1, large, gate=4), traces(2, 0.1), {X: MIX})
    assert mix is None
    assert {(part.kind, part.key) for part in found.parts} == {("mix", X), ("span", "gate:G")}
    slow = Bottleneck("handoff", "H", 40_000.0, 11_000.0, "learned", 1.15, 100)
    [cause] = group([slow], {slow.dimension: found})
    assert (cause.kind, cause.key) == ("span", "gate:G")


def test_a_configured_threshold_still_decides_and_its_items_have_the_mix_as_their_one_cause():
    """Lost: gate and handoff over their configured thresholds are two items, although one mix changed."""
    sides = traces(1, 0.6), traces(2, 0.1)
    slow = [Bottleneck(*name, 40_000.0, 11_000.0, "configured", 1.5, 100) for name in (("gate", "G"), ("handoff", "H"))]
    [cause] = group(slow, attributed(slow, *sides, {X: MIX}))
    assert (cause.kind, cause.key, len(cause.members)) == ("mix", X, 2)


def test_a_part_that_is_called_more_often_is_not_another_mix():
    """Lost: retries of a sub-agent are explained away because it moved to a large model meanwhile."""
    mix, found = explained(traces(1, 0.1, calls=3), traces(2, 0.1), {X: MIX})
    assert mix is None
    assert (found.parts[0].kind, found.parts[0].key) == ("span", X)


def test_the_mix_of_a_part_that_adds_little_explains_nothing():
    """Lost: many steps that each get a little slower are hidden by one sub-agent with another mix."""
    found = Attribution(
        "handoff", "H", 30_000, 100, 100, explained(traces(1, 0.2), traces(2, 0.1), {X: MIX})[1].parts, 30_000
    )
    slow = Bottleneck("handoff", "H", 40_000.0, 11_000.0, "learned", 1.15, 100)
    assert mixed_parts.explanation(slow, found, {X: MIX}) is None


def judgement(mix: Mix | None, *, is_large: bool = True) -> Judgement:
    guard = Guard("large_enough", is_large, 6.0, 1.15, "")
    baseline = Baseline("subagent", "X", 6_000, 1.15, None, 28, {})
    return Judgement("subagent", "X", (guard,), True, baseline, 1.15, 40_000, 6.0, 100, SINCE, mix=mix)


def test_what_is_around_a_part_follows_it_later_and_still_knows_its_mix():
    """Lost: the sub-agent's baseline follows its mix after two weeks, and the next day its gate is a bottleneck."""
    [now] = mixes.remembered([judgement(MIX)])
    assert mixed_parts.parts([now], SINCE) == {X: MIX}
    [later] = mixes.remembered([replace(judgement(None, is_large=False), baseline=now.baseline)])
    assert later.baseline is not None
    assert "mixed_since" not in later.baseline.evidence
    assert mixed_parts.parts([later], date(2026, 3, 9)) == {X: MIX}
    assert mixed_parts.parts([later], date(2026, 6, 1)) == {}
    assert mixed_parts.parts([later], None) == {}


def test_a_dimension_with_another_mix_of_its_parts_is_no_part_itself():
    """Lost: a handoff is said to have another mix of a gate, which has none of its own."""
    assert mixed_parts.parts([judgement(replace(MIX, parts=(Y,)))], SINCE) == {}


def test_a_tail_with_another_mix_is_followed_too():
    """Lost: the slowest fifth of a sub-agent becomes an item once the days before its new mix have left the history."""
    [now] = mixes.remembered([replace(judgement(None, is_large=False), tail=judgement(MIX))])
    assert now.baseline is not None
    assert now.baseline.evidence["mixed_since"] == "2026-03-02"
    [slow] = mixes.remembered([replace(judgement(None), tail=judgement(MIX))])
    assert slow.baseline is not None
    assert "mixed_since" not in slow.baseline.evidence


def test_a_part_that_got_slower_later_is_no_longer_only_another_mix():
    """Lost: a sub-agent moved to a large model, then got slower, and its gate is not slow because of the former."""
    [now] = mixes.remembered([judgement(MIX)])
    assert mixed_parts.parts([replace(judgement(None), baseline=now.baseline)], SINCE) == {}
