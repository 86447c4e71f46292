"""What spans themselves show of their added time: before or after the first token, working or waiting."""

from typing import Any

import pandas as pd
import pytest

from benchmarks.families import forest_of
from leo_telemetry_pipeline.analysis.critical_path import Forest
from leo_telemetry_pipeline.analysis.measure_changes import changes_of
from leo_telemetry_pipeline.analysis.span_measures import MEASURES, value_of

Row = tuple[str, str | None, int, int, dict[str, Any]]


def trees(*rows: Row, times: int = 10) -> Forest:
    """Make so many traces of the same spans: key, parent's key, start and end in ms, attributes."""
    made = [
        (f"t{number}", f"{number} {key}", parent and f"{number} {parent}", *key.split(":"), start, end, attributes)
        for number in range(times)
        for key, parent, start, end, attributes in rows
    ]
    columns = ["trace_id", "span_id", "parent_span_id", "span_type", "span_name", "start_time_ms", "end_time_ms"]
    frame = pd.DataFrame(made, columns=[*columns, "attributes"])
    return forest_of(frame.assign(duration_ms=float("nan"), queue_wait_ms=float("nan")))


def request(first: float, rest: float, times: int = 10, name: str = "ttft_ms", **tokens: int) -> Forest:
    """Make requests to a model."""
    return trees(("llm:M", None, 0, round(first + rest), {name: first, **tokens}), times=times)


def said(after: Forest, before: Forest, key: str = "llm:M") -> list[str]:
    """Return what the spans of a dimension show."""
    return changes_of(after, before, *key.split(":"))


def test_a_later_first_token_is_told_from_a_slower_rest():
    """Lost: somebody shortens answers, and the model was slow to begin."""
    assert said(request(900, 1_000), request(300, 1_000)) == [
        "time to first token 900 ms, was 300 ms; the rest is not slower"
    ]
    assert said(request(300, 3_000), request(300, 1_000)) == [
        "after the first token 3.0 s, was 1.0 s; the first token does not come later"
    ]
    assert said(request(900, 1_700), request(300, 1_000)) == [
        "time to first token 900 ms, was 300 ms; after the first token 1.7 s, was 1.0 s"
    ]


def test_more_tokens_are_told_from_slower_ones():
    """Lost: the model is blamed for writing three times as much as it was asked before."""
    before = request(300, 1_000, output_tokens=100, input_tokens=50, cache_read_tokens=900)
    [more] = said(request(300, 3_000, output_tokens=300, input_tokens=50, cache_read_tokens=900), before)
    assert more.startswith("after the first token 3.0 s, was 1.0 s (300 tokens out, were 100); ")
    [slower] = said(request(300, 3_000, output_tokens=100), before)
    assert slower.startswith("after the first token 3.0 s, was 1.0 s (30.0 ms per token out, were 10.0); ")
    # Where it is some of both, neither is named.
    [both] = said(request(300, 9_000, output_tokens=300), before)
    assert both.startswith("after the first token 9.0 s, was 1.0 s; ")


def test_a_longer_question_is_named_beside_a_later_first_token():
    """Lost: the provider is blamed, and the context had grown."""
    before = request(300, 1_000, input_tokens=100, cache_read_tokens=900)
    [line] = said(request(900, 1_000, input_tokens=100, cache_read_tokens=3_900), before)
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
def test_what_is_not_certain_is_not_said(after: Forest, before: Forest):
    """Lost: a guess that reads like a measurement."""
    assert said(after, before) == []


def tool(wait: int, work: int) -> Forest:
    """Make prompts with a tool that was asked for, a wait beside it that has its name, and another's wait."""
    return trees(
        ("handoff:P", None, 0, wait + work + 100, {}),
        ("wait:Bash", "handoff:P", 0, wait, {}),
        ("tool:Bash", "handoff:P", wait, wait + work, {}),
        ("wait:Edit", "handoff:P", wait + work, wait + work + 50, {}),
    )


def test_a_tool_that_works_longer_is_said_not_to_wait():
    """Lost: people are asked to answer sooner, and the tool is slow."""
    assert said(tool(5_000, 9_000), tool(5_000, 3_000), "tool:Bash") == [
        "it is working, not waiting: its waits for a person, 5.0 s per span, are left out"
    ]
    [prompt] = said(tool(5_000, 9_000), tool(5_000, 3_000), "handoff:P")
    assert prompt.startswith("it is working, not waiting: its waits for a person, 5.0 s per span")
    assert said(tool(5, 9_000), tool(5, 3_000), "tool:Bash") == []


def test_waiting_deeper_inside_is_said_to_be_waiting():
    """Lost: a prompt is called slow work, and a sub-agent in it waited for a person."""

    def inside(wait: int) -> Forest:
        return trees(
            ("handoff:P", None, 0, wait + 1_000, {}),
            ("subagent:S", "handoff:P", 0, wait + 900, {}),
            ("wait:Bash", "subagent:S", 0, wait, {}),
        )

    [line] = said(inside(60_000), inside(5_000), "handoff:P")
    assert line == "spans below it wait for a person, 60.0 s per span, was 5.0 s: it is waiting, not working"


def test_measures_are_read_by_every_name_that_instrumentation_gives_them():
    """Lost: time to first token by OpenTelemetry's own conventions, which count in seconds."""
    assert value_of({"ttft_ms": 250}, "ttft_ms") == 250
    assert value_of({"gen_ai.response.time_to_first_chunk": 0.25}, "ttft_ms") == 250
    assert value_of({"gen_ai.usage.output_tokens": 7, "output_tokens": True}, "output_tokens") == 7
    assert value_of({"gen_ai.usage.completion_tokens": 7}, "output_tokens") == 7
    assert [value_of({}, measure.name) for measure in MEASURES] == [None] * len(MEASURES)
