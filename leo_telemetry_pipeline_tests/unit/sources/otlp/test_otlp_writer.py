"""Spans written as OTLP/JSON, and read again."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.claude import otel_notes
from leo_telemetry_pipeline.sources.otlp import conventions, otlp
from leo_telemetry_pipeline.sources.otlp.otlp_writer import SPANS_PER_REQUEST, requests_of
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.builders import new_id, span, spans_of
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE


def again(spans: Sequence[Span]) -> list[Any]:
    """Return spans as a file of requests gives them back, in a project of its own."""
    read: list[Any] = []
    for request in requests_of(spans):
        parsed = json.loads(json.dumps(request))
        assert otlp.is_trace_request(parsed)
        read += otlp.spans_from_request(parsed, "other", divert=otel_notes.note_of)
    return read


def test_every_column_comes_back() -> None:
    """Lost: a trace that is sent to someone else is another one there."""
    whole = span(
        parent_span_id=new_id(),
        workflow_execution_id="w",
        sd_id="SD-1",
        project="p",
        phase="PLAN",
        gate_name="G",
        subagent_name="S",
        duration_rest_us=-17,
        queue_wait_ms=250,
        status="TIMEOUT",
        attributes={"service.name": "web", "a": [1, {"b": None}], "c": 1.0, "d": True, "e": "", "f": {}, "g": []},
    )
    whole.end_time_ms = whole.start_time_ms + 101
    assert again([whole]) == [whole]


@pytest.mark.parametrize(
    "changes",
    [
        {"duration_ms": None, "end_time_ms": None},
        {"duration_ms": None},
        {"end_time_ms": None},
        {"project": ""},
        {"duration_rest_us": 0},
        {"span_id": "00000000-0000-0000-1234-56789abcdef0"},
        {"span_name": "claude_code.tool", "attributes": {"session.id": "s", "service.name": "claude-code"}},
        {"attributes": {"span.kind": "client", "status_message": "m", "error.type": "t"}},
        {
            "attributes": dict.fromkeys(
                (*conventions.COLUMNS, "leo.x", "leo.leo.x", "leo.stored_span", "", "host"), "mine"
            )
        },
        {"attributes": {f"a{number}": number for number in range(500)}},
    ],
)
def test_what_otlp_cannot_express_comes_back_too(changes: dict[str, Any]) -> None:
    """Lost: an open span ends, a rounded duration gains microseconds, an attribute becomes a column."""
    made = span(project="p")
    for name, value in changes.items():
        setattr(made, name, value)
    assert again([made]) == [made]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(HOSTILE) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


# Attributes that identify a person are not stored, and would not be read back.
_NAMES = (st.text(max_size=8) | st.sampled_from(HOSTILE)).filter(lambda name: not redact.is_identity(name))


@given(st.dictionaries(_NAMES, _VALUES, max_size=4), st.sampled_from(HOSTILE))
def test_any_stored_span_comes_back(attributes: dict, name: str) -> None:
    """Lost: one odd value makes a whole file unreadable."""
    stored = redact.clean(span("tool", name or "x", attributes=attributes))
    assert again([stored]) == [stored]


def test_a_large_trace_is_written_in_requests_that_receivers_take() -> None:
    """Lost: a trace of 100,000 spans cannot be read by anything."""
    spans = spans_of("tool", "Read", range(SPANS_PER_REQUEST + 1))
    assert len(list(requests_of(spans))) == 2
    assert again(spans) == spans


def test_other_tools_see_names_times_parents_and_services() -> None:
    """Lost: the file is OTLP in name only."""
    made = span("gate", "GATE_X", 1500, parent_span_id=new_id(), status="ERROR", attributes={"service.name": "web"})
    [request] = requests_of([made])
    [resource] = request["resourceSpans"]
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "web"}}]
    [found] = resource["scopeSpans"][0]["spans"]
    assert (found["name"], found["status"]["code"], found["traceId"]) == ("GATE_X", 2, made.trace_id.replace("-", ""))
    assert int(found["endTimeUnixNano"]) - int(found["startTimeUnixNano"]) == 1_500_000_000
    assert (len(found["spanId"]), len(found["parentSpanId"])) == (16, 16)


@pytest.mark.parametrize(
    "stored", [1, "x", [], {"span_id": "x"}, {"duration_ms": "a"}, {"span_type": 1}, {"trace_id": "x"}]
)
def test_columns_that_are_not_ours_are_rejected_without_quoting_them(stored: object) -> None:
    """Lost: a sender's mistake stores a span with nonsense, or its contents reach the log."""
    [request] = requests_of([span()])
    made = request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    text = {"stringValue": stored} if isinstance(stored, str) else {"intValue": "1"}
    if isinstance(stored, dict):
        text = {"kvlistValue": {"values": [{"key": k, "value": {"stringValue": str(v)}} for k, v in stored.items()]}}
    made["attributes"] = [{"key": "leo.stored_span", "value": text}]
    [reason] = otlp.spans_from_request(request)
    assert "leo.stored_span" in str(reason)
