"""OTLP/JSON requests become spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.sources.otlp.otlp import is_other_signal, spans_from_request
from leo_telemetry_pipeline.span import InvalidSpan, Span

TRACE = "69c9af76f18d6313ce707c6c6787a767"
START = 1_795_372_139_107_999_999


def attributes(**values) -> list[dict]:
    kinds = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    return [
        {
            "key": key.replace("__", "."),
            "value": {kinds[type(value)]: value} if type(value) in kinds else value,
        }
        for key, value in values.items()
    ]


def otlp_span(name: str = "work", given_attributes: list | None = None, **changes) -> dict:
    return {
        "traceId": TRACE,
        "spanId": "45829a22fb37204c",
        "name": name,
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": str(START + 10_400_000),
        "attributes": given_attributes or [],
        **changes,
    }


def request(*spans, resource: list | None = None) -> dict:
    return {"resourceSpans": [{"resource": {"attributes": resource or []}, "scopeSpans": [{"spans": list(spans)}]}]}


def one(*arguments, resource: list | None = None, project: str = "", **changes) -> Span:
    (made,) = spans_from_request(request(otlp_span(*arguments, **changes), resource=resource), project)
    assert isinstance(made, Span), made
    return made


def test_ids_are_hex_and_a_span_id_is_the_low_half_of_a_uuid():
    """Lost: parents and children do not find each other."""
    made = one(parentSpanId="2D93BEE5CDAD4B08")
    assert made.trace_id == "69c9af76-f18d-6313-ce70-7c6c6787a767"
    assert made.span_id == "00000000-0000-0000-4582-9a22fb37204c"
    assert made.parent_span_id == "00000000-0000-0000-2d93-bee5cdad4b08"


@pytest.mark.parametrize("parent", ["", None, "0000000000000000"])
def test_a_span_without_parent_is_a_root(parent):
    """Lost: roots have a parent that does not exist."""
    assert one(parentSpanId=parent).parent_span_id is None


def test_durations_are_computed_in_nanoseconds_and_times_truncated_to_milliseconds():
    """Lost: short spans are wrong by up to a millisecond each."""
    made = one()
    assert (made.start_time_ms, made.end_time_ms, made.duration_ms, made.duration_rest_us) == (
        1_795_372_139_107,
        1_795_372_139_118,
        10,
        400,
    )


def test_a_span_that_has_not_ended_is_kept_without_a_duration():
    """Lost: work that a crash interrupted leaves no trace."""
    made = one(endTimeUnixNano="0")
    assert (made.end_time_ms, made.duration_ms) == (None, None)


@pytest.mark.parametrize(
    ("name", "given_attributes", "expected"),
    [
        ("claude_code.interaction", {}, ("handoff", "claude_code.interaction")),
        ("claude_code.tool", {"tool_name": "Bash"}, ("tool", "Bash")),
        ("claude_code.tool", {"tool_name": "Task", "subagent_type": "Explore"}, ("subagent", "Explore")),
        ("claude_code.tool", {"tool_name": "Agent"}, ("subagent", "Agent")),
        ("claude_code.llm_request", {"model": "claude-opus-4-8"}, ("llm", "claude-opus-4-8")),
        ("claude_code.tool.blocked_on_user", {}, ("wait", "claude_code.tool.blocked_on_user")),
        ("claude_code.tool.execution", {}, ("execution", "claude_code.tool.execution")),
        ("GET /cart", {}, ("operation", "GET /cart")),
    ],
)
def test_claude_code_spans_get_a_specific_type_and_name(name, given_attributes, expected):
    """Lost: an agent's slow tool is one nameless operation among others."""
    made = one(name, attributes(**given_attributes))
    assert (made.span_type, made.span_name) == expected


def test_leo_attributes_take_precedence():
    """Lost: clients in other languages cannot set types and names."""
    made = one(
        "claude_code.tool",
        attributes(
            tool_name="Bash",
            leo__span_type="gate",
            leo__span_name="GATE_X",
            leo__sd_id="SD-1",
            leo__queue_wait_ms="12",
            leo__workflow_execution_id="run-7",
            leo__sd_type="feature",
        ),
        resource=attributes(leo__project="shop", host__name="secret", service__name="api"),
        project="other",
    )
    assert (made.span_type, made.span_name, made.sd_id, made.project) == ("gate", "GATE_X", "SD-1", "shop")
    assert (made.queue_wait_ms, made.workflow_execution_id) == (12, "run-7")
    assert made.attributes == {"service.name": "api", "tool_name": "Bash", "sd_type": "feature"}


def test_a_span_without_a_project_gets_the_default():
    """Lost: spans of two projects are mixed."""
    assert one(project="shop").project == "shop"


def test_every_kind_of_attribute_value_is_read():
    """Lost: numbers that JavaScript sends as text stay text, and lists are lost."""
    made = one(
        given_attributes=attributes(
            text="a",
            yes=True,
            number={"intValue": "9007199254740993"},
            ratio={"doubleValue": "NaN"},
            many={"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": 1}]}},
            nested={"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 0.5}}]}},
            raw={"bytesValue": "AAE="},
            nothing={},
        )
    )
    assert made.attributes == {
        "text": "a",
        "yes": True,
        "number": 9007199254740993,
        "ratio": "NaN",
        "many": ["a", 1],
        "nested": {"k": 0.5},
        "raw": "AAE=",
        "nothing": None,
    }


def test_identities_are_not_kept():
    """Lost: the privacy of everyone whose agent exports telemetry."""
    made = one(
        given_attributes=attributes(
            user__id="u", user__email="e", user__account_uuid="a", organization__id="o", session__id="s"
        )
    )
    assert made.attributes == {"session.id": "s"}


def test_attributes_removed_below_the_first_level_are_counted():
    """Lost: nobody learns why an attribute is missing."""
    request_of = {"kvlistValue": {"values": attributes(userId="u", size=3)}}
    body = request(otlp_span("work", attributes(request=request_of)), resource=attributes(host__name="anna"))
    removed: dict[str, int] = {}
    [made] = spans_from_request(body, removed=removed)
    assert isinstance(made, Span)
    assert made.attributes == {"request": {"size": 3}}
    assert removed == {"request.userId": 1, "host.name": 1}


@pytest.mark.parametrize(("code", "status"), [(0, None), (1, "OK"), (2, "ERROR"), ("STATUS_CODE_ERROR", "ERROR")])
def test_the_status_is_kept_as_a_word(code, status):
    """Lost: failed and successful work cannot be distinguished."""
    assert one(status={"code": code}).status == status


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"traceId": "acmvdvGNYxPOcHxsZ4enZw===="}, "traceId is not 32 hex digits"),
        ({"traceId": "acmvdvGNYxPOcHxsZ4en!w=="}, "traceId is not 32 hex digits"),
        ({"spanId": "acmvdvGNYxPOcHxsZ4enZw=="}, "spanId is not 16 hex digits"),
        ({"spanId": "0000000000000000"}, "spanId is all zeros"),
        ({"name": " "}, "name is missing or empty"),
        ({"startTimeUnixNano": "0"}, "startTimeUnixNano is missing"),
        ({"endTimeUnixNano": str(START - 1)}, "endTimeUnixNano is before startTimeUnixNano"),
        ({"attributes": {"a": 1}}, "attributes is not a list"),
    ],
)
def test_an_invalid_span_has_a_reason_and_the_others_are_kept(changes, reason):
    """Lost: a whole request because of one span."""
    first, bad, last = spans_from_request(request(otlp_span(), otlp_span(**changes), otlp_span()))
    assert isinstance(first, Span)
    assert isinstance(last, Span)
    assert isinstance(bad, InvalidSpan)
    assert str(bad).startswith(reason)


def test_logs_and_metrics_are_distinguished_from_traces():
    """Lost: exporters that send all three signals fill the list of bad lines."""
    assert is_other_signal({"resourceLogs": []})
    assert is_other_signal({"resourceMetrics": []})
    assert not is_other_signal(request())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*otlp_span(), "status", "parentSpanId"), JSON)), JSON)
def test_no_content_of_a_request_makes_the_reader_fail(changes, resource):
    """Lost: any client can stop the receiver."""
    strange = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [{**otlp_span(), **changes}]}]}]}
    for body in (strange, {"resourceSpans": resource}):
        for made in spans_from_request(body):
            assert isinstance(made, Span | InvalidSpan)
