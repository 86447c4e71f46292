"""Measures that explain added time: before or after the first token, working or waiting."""

from typing import Any

import pandas as pd
import pytest

from benchmarks.families import forest_of
from leo_telemetry_pipeline.analysis.critical_path import Forest
from leo_telemetry_pipeline.analysis.measure_changes import changes_of
from leo_telemetry_pipeline.analysis.span_measures import MEASURES, value_of

Row = tuple[str, str | None, int, int, dict[str, Any]]


def trees(*rows: Row, times: int = 10) -> Forest:
    """Return ``times`` equal traces of spans: key, parent's key, start and end in ms, attributes."""
    made = [
        (f"t{number}", f"{number} {key}", parent and f"{number} {parent}", *key.split(":"), start, end, attributes)
        for number in range(times)
        for key, parent, start, end, attributes in rows
    ]
    columns = ["trace_id", "span_id", "parent_span_id", "span_type", "span_name", "start_time_ms", "end_time_ms"]
    frame = pd.DataFrame(made, columns=[*columns, "attributes"])
    return forest_of(frame.assign(duration_ms=float("nan"), queue_wait_ms=float("nan")))


def request(first: float, rest: float, times: int = 10, name: str = "ttft_ms", **tokens: int) -> Forest:
    """Return requests to a model."""
    return trees(("llm:M", None, 0, round(first + rest), {name: first, **tokens}), times=times)


def sentences(after: Forest, before: Forest, key: str = "llm:M") -> list[str]:
    """Return the sentences about a dimension."""
    return changes_of(after, before, *key.split(":"))


def test_a_later_first_token_is_distinguished_from_a_slower_rest():
    """Lost: people shorten answers, but the model is slow to start."""
    assert sentences(request(900, 1_000), request(300, 1_000)) == [
        "time to first token 900 ms, was 300 ms; the rest is not slower"
    ]
    assert sentences(request(300, 3_000), request(300, 1_000)) == [
        "after the first token 3.0 s, was 1.0 s; the first token does not come later"
    ]
    assert sentences(request(900, 1_700), request(300, 1_000)) == [
        "time to first token 900 ms, was 300 ms; after the first token 1.7 s, was 1.0 s"
    ]


def test_more_tokens_are_distinguished_from_slower_ones():
    """Lost: the model is blamed, but it writes three times as much as before."""
    before = request(300, 1_000, output_tokens=100, input_tokens=50, cache_read_tokens=900)
    [more] = sentences(request(300, 3_000, output_tokens=300, input_tokens=50, cache_read_tokens=900), before)
    assert more.startswith("after the first token 3.0 s, was 1.0 s (300 tokens out, were 100); ")
    [slower] = sentences(request(300, 3_000, output_tokens=100), before)
    assert slower.startswith("after the first token 3.0 s, was 1.0 s (30.0 ms per token out, were 10.0); ")
    # If both explain it, neither is named.
    [both] = sentences(request(300, 9_000, output_tokens=300), before)
    assert both.startswith("after the first token 9.0 s, was 1.0 s; ")


def test_a_longer_prompt_is_named_with_a_later_first_token():
    """Lost: the provider is blamed, but the context grew."""
    before = request(300, 1_000, input_tokens=100, cache_read_tokens=900)
    [line] = sentences(request(900, 1_000, input_tokens=100, cache_read_tokens=3_900), before)
    assert line.startswith("time to first token 900 ms, was 300 ms (4,000 tokens in, were 1,000); ")


@pytest.mark.parametrize(
    ("after", "before"),
    [
        (request(900, 1_000, times=5), request(300, 1_000)),
        (request(900, 1_000), request(300, 1_000, times=5)),
        (request(900, 1_000), trees(("llm:M", None, 0, 1_300, {}))),
        (request(900, 1_000), trees(("llm:M", None, 0, 1_300, {"ttft_ms": "soon"}))),
        (request(300, 1_000), request(300, 1_000)),
        (request(100, 500), request(300, 1_000)),
        (trees(("llm:OTHER", None, 0, 5, {})), request(300, 1_000)),
    ],
)
def test_uncertain_explanations_are_not_given(after: Forest, before: Forest):
    """Lost: a guess reads like a measurement."""
    assert sentences(after, before) == []


def tool(wait: int, work: int) -> Forest:
    """Return prompts with a tool, a wait for that tool, and a wait for another one."""
    return trees(
        ("handoff:P", None, 0, wait + work + 100, {}),
        ("wait:Bash", "handoff:P", 0, wait, {}),
        ("tool:Bash", "handoff:P", wait, wait + work, {}),
        ("wait:Edit", "handoff:P", wait + work, wait + work + 50, {}),
    )


def test_a_tool_that_works_longer_is_reported_as_working():
    """Lost: people are asked to answer sooner, but the tool is slow."""
    assert sentences(tool(5_000, 9_000), tool(5_000, 3_000), "tool:Bash") == [
        "it is working, not waiting: its waits for a person, 5.0 s per span, are left out"
    ]
    [prompt] = sentences(tool(5_000, 9_000), tool(5_000, 3_000), "handoff:P")
    assert prompt.startswith("it is working, not waiting: its waits for a person, 5.0 s per span")
    assert sentences(tool(5, 9_000), tool(5, 3_000), "tool:Bash") == []


def test_waiting_in_deeper_spans_is_reported_as_waiting():
    """Lost: a prompt seems slow, but one of its sub-agents waited for a person."""

    def inside(wait: int) -> Forest:
        return trees(
            ("handoff:P", None, 0, wait + 1_000, {}),
            ("subagent:S", "handoff:P", 0, wait + 900, {}),
            ("wait:Bash", "subagent:S", 0, wait, {}),
        )

    [line] = sentences(inside(60_000), inside(5_000), "handoff:P")
    assert line == "spans below it wait for a person, 60.0 s per span, was 5.0 s: it is waiting, not working"


def test_measures_are_read_from_all_known_attribute_names():
    """Lost: time to first token by OpenTelemetry's conventions, which are in seconds."""
    assert value_of({"ttft_ms": 250}, "ttft_ms") == 250
    assert value_of({"gen_ai.response.time_to_first_chunk": 0.25}, "ttft_ms") == 250
    assert value_of({"gen_ai.usage.output_tokens": 7, "output_tokens": True}, "output_tokens") == 7
    assert value_of({"gen_ai.usage.completion_tokens": 7}, "output_tokens") == 7
    assert [value_of({}, measure.name) for measure in MEASURES] == [None] * len(MEASURES)
