"""Attribute values that set slower spans apart, and the causes that are one because of them."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from benchmarks import model_sessions
from benchmarks.model_sessions import AGENTS, MODEL, SLOW_DAYS
from leo_telemetry_pipeline.actions.items import worded
from leo_telemetry_pipeline.analysis.attributes import with_trace_attributes
from leo_telemetry_pipeline.analysis.causes import Cause, causes_of
from leo_telemetry_pipeline.analysis.critical_path import Forest, TraceSpan, forest
from leo_telemetry_pipeline.analysis.shared_values import slowing
from leo_telemetry_pipeline.dimension import Bottleneck, Dimension
from leo_telemetry_pipeline.span import Span

MIDNIGHT = datetime(2026, 3, 9, tzinfo=UTC)
ONSET = MIDNIGHT.date() - timedelta(days=SLOW_DAYS)
PROMPT = "handoff:claude_code.interaction"


def sides(spans: list[Span]) -> tuple[Forest, Forest]:
    """Return the trees since the slowdown and before it."""
    names = [name for name in TraceSpan._fields if name != "host"]
    made = with_trace_attributes([TraceSpan(**{name: getattr(span, name) for name in names}) for span in spans])
    since = (MIDNIGHT - timedelta(days=SLOW_DAYS)).timestamp() * 1000
    slow = {span.trace_id for span in made if span.start_time_ms >= since}
    return forest([s for s in made if s.trace_id in slow]), forest([s for s in made if s.trace_id not in slow])


def flagged(after: Forest, before: Forest, ratio: float = 1.3) -> list[Bottleneck]:
    """Return the keys whose median became slower, as an analysis would flag them; the prompt's onset a day later."""
    found = []
    for key in sorted({*after.keys}):
        p50, normal = (
            float(np.median(trees.judged[[row for row, each in enumerate(trees.keys) if each == key]]))
            for trees in (after, before)
        )
        if p50 > ratio * normal:
            onset = ONSET + timedelta(days=key == PROMPT)
            name: Dimension = (key.partition(":")[0], key.partition(":")[2])
            found.append(Bottleneck(*name, p50, normal, "learned", 1.15, after.keys.count(key), onset_day=onset))
    return found


def causes(spans: list[Span]) -> list[Cause]:
    """Return the causes of what became slower."""
    after, before = sides(spans)
    return causes_of(flagged(after, before), after, before)[0]


@pytest.mark.parametrize("models", model_sessions.MODELS)
def test_a_slow_model_that_only_hooks_measure_is_one_cause_with_its_name(models: str):
    """Lost: four items about a prompt and its sub-agents, and none of them says that the model is slow."""
    [cause] = causes(list(model_sessions.weeks(14, MIDNIGHT, models, hooks=True)))
    assert cause.value == ("model", MODEL)
    assert cause.representative.dimension_type == "subagent"
    shares = {member.slow.name: member.share for member in cause.members}
    assert shares[PROMPT] == pytest.approx(1.0, abs=0.05)
    agents = [member.slow for member in cause.members if member.slow.dimension_type == "subagent"]
    assert cause.representative == max(agents, key=lambda slow: slow.added_ms * slow.sample_count)


def test_a_slow_model_with_its_own_spans_is_the_cause_without_further_words():
    """Lost: "llm:opus takes 2x as long: model=opus"."""
    [cause] = causes(list(model_sessions.weeks(14, MIDNIGHT, "mixed models", hooks=False)))
    assert (cause.representative.dimension, cause.value) == (("llm", MODEL), None)


def test_dimensions_of_the_model_are_members_too():
    """Lost: one more item per sub-agent and model, next to those of the sub-agents."""
    after, before = sides(list(model_sessions.weeks(14, MIDNIGHT, "mixed models", hooks=True)))
    slow = flagged(after, before)
    both = [replace(each, dimension_type="subagent+model", dimension_key=f"{each.dimension_key}:{MODEL}")
            for each in slow if each.dimension_type == "subagent"]  # fmt: skip
    for found in ([*slow, *both], [*both, *(each for each in slow if each.name == PROMPT)]):
        [cause] = causes_of(found, after, before)[0]
        assert len(cause.members) == len(found)
        assert cause.value == ("model", MODEL) or cause.representative.name.endswith(MODEL)


def slowed(spans: list[Span], *names: str) -> list[Span]:
    """Make spans of these names since the slowdown three times as long."""
    since = (MIDNIGHT - timedelta(days=SLOW_DAYS)).timestamp() * 1000
    for span in spans:
        if span.span_name in names and span.start_time_ms >= since and span.duration_ms:
            span.duration_ms *= 3
            span.end_time_ms = span.start_time_ms + span.duration_ms
    return spans


def test_two_slow_tools_are_two_causes_whatever_attributes_all_spans_have():
    """Lost: the second slow tool, because both have the service, session or mode that every span has."""
    steady = list(model_sessions.weeks(14, MIDNIGHT, "one model", hooks=True, factor=1.0))
    found = causes(slowed(steady, "Bash", "Edit"))
    assert {cause.key for cause in found} >= {"tool:Bash", "tool:Edit"}
    assert [cause.value for cause in found] == [None] * len(found)


def test_a_value_whose_other_spans_are_not_slower_explains_nothing():
    """Lost: two sub-agents that became slow are blamed on a model that a third one uses without trouble."""
    steady = list(model_sessions.weeks(14, MIDNIGHT, "one model", hooks=True, factor=1.0))
    after, before = sides(slowed(steady, *AGENTS[:2]))
    assert slowing(after, before, [f"subagent:{name}" for name in AGENTS]) == {}


def test_a_new_model_that_is_slower_is_named():
    """Lost: after a switch to a slower model, one item per sub-agent that uses it."""
    spans = list(model_sessions.weeks(14, MIDNIGHT, "one model", hooks=True))
    since = (MIDNIGHT - timedelta(days=SLOW_DAYS)).timestamp() * 1000
    for span in spans:
        if "model" in span.attributes and span.start_time_ms >= since:
            span.attributes["model"] = "claude-next"
    [cause] = causes(spans)
    assert cause.value == ("model", "claude-next")


def test_steps_that_are_slow_on_one_host_are_one_cause_with_its_name():
    """Lost: one item per step that ever runs on the slow host."""
    spans = list(model_sessions.weeks(14, MIDNIGHT, "one model", hooks=True, factor=1.0))
    rng = random.Random(14)
    for span in spans:
        if span.span_type == "tool":
            span.attributes["host.name"] = rng.choice("ab")
    slowed([span for span in spans if span.attributes.get("host.name") == "a"], "Bash", "Edit", "Read", "Grep")
    [cause] = [cause for cause in causes(spans) if cause.value]
    assert cause.value == ("host.name", "a")
    assert {member.slow.name for member in cause.members} >= {"tool:Bash", "tool:Edit", "tool:Read", "tool:Grep"}


def test_a_new_version_with_which_everything_is_slower_is_one_cause():
    """Lost: one item per step after a release that slowed all of them."""
    spans = list(model_sessions.weeks(14, MIDNIGHT, "one model", hooks=True, factor=1.0))
    since = (MIDNIGHT - timedelta(days=SLOW_DAYS)).timestamp() * 1000
    for span in spans:
        span.attributes["service.version"] = "2" if span.start_time_ms >= since else "1"
    [cause] = causes(slowed(spans, *{span.span_name for span in spans}))
    assert cause.value == ("service.version", "2")


def test_the_item_of_a_shared_value_is_titled_with_it():
    """Lost: the model's name is only in a table that nobody opens."""
    slow = Bottleneck("subagent", "Explore", 60_000.0, 30_000.0, "learned", 1.15, 40, onset_day=date(2026, 3, 2))
    draft = worded(slow.as_json() | {"slow_value": "model=opus"}, None, "", MIDNIGHT, MIDNIGHT)
    assert draft.title == "subagent:Explore takes 2x as long as normal: model=opus"
    assert "model=opus" in draft.description
