"""One OTLP span: the same from protobuf and JSON, and a bad one does not affect the others."""

import itertools
import json
import re
from typing import Any

import pytest

from leo_telemetry_pipeline.sources.otlp import otlp, otlp_span
from leo_telemetry_pipeline.sources.otlp.conventions import OPERATION
from leo_telemetry_pipeline.span import COLUMNS, Span
from leo_telemetry_pipeline_tests.secrets_corpus import PLAIN, SECRETS
from leo_telemetry_pipeline_tests.unit.sources.otlp.wire import (
    KEEP,
    PARENT,
    SPAN_JSON,
    START,
    in_json,
    pairs,
    read_both,
    request,
    wire_span,
)


def test_all_fields_of_a_span_are_read() -> None:
    """Lost: times, parents, or errors and their types."""
    span = wire_span(
        {"k": 1, "leo.sd_id": "SD-1", "leo.sd_type": "feature", "secret.sauce": "x"},
        parent_span_id=PARENT,
        status={"code": 2, "message": "no such cart"},
        events=[{"name": "exception", "attributes": pairs({"exception.type": "KeyError"})}],
    )
    read = read_both(request(span, resource={"service.name": "shop", "host.name": "anna"}), project="other")
    assert read.spans == [
        Span(
            trace_id="00010203-0405-0607-0809-0a0b0c0d0e0f",
            span_id="00000000-0000-0000-0000-000000000001",
            parent_span_id="00000000-0000-0000-0809-0a0b0c0d0e0f",
            span_type="operation",
            span_name="work",
            start_time_ms=1_795_372_139_107,
            end_time_ms=1_795_372_139_118,
            duration_ms=10,
            duration_rest_us=400,
            sd_id="SD-1",
            project="other",
            status="ERROR",
            attributes={
                "service.name": "shop",
                "k": 1,
                "sd_type": "feature",
                "status_message": "no such cart",
                "error.type": "KeyError",
            },
        )
    ]
    assert read.removed == {"secret.sauce": 1, "host.name": 1}


def test_attributes_of_a_resource_are_kept_if_configured_and_the_others_counted_once() -> None:
    """Lost: the cluster that spans come from, or the reason why it is missing."""
    resource = {"service.name": "shop", "k.cluster": "eu", "host.name": "anna", "user.id": "u"}
    read = read_both(request(wire_span(), wire_span(number=2), resource=resource))
    assert [span.attributes for span in read.spans] == [{"service.name": "shop", "k.cluster": "eu"}] * 2
    assert read.removed == {"host.name": 1, "user.id": 1}


def test_text_that_is_not_utf_8_invalidates_only_its_span() -> None:
    """Lost: a batch of good spans, which no exporter sends again, because of one byte in a file name."""
    made = request(wire_span(), wire_span({"k": "Stray"}, number=2), wire_span(number=3))
    for reader, body in ((otlp.read_protobuf, made.SerializeToString()), (otlp.read_json, in_json(made))):
        read = reader(body.replace(b"Stray", b"St\xffay"), policy=KEEP)
        assert (len(read.spans), read.rejected, len(read.reasons)) == (2, 1, 1)
        assert "UTF-8" in read.reasons[0]


def test_a_resource_that_is_not_utf_8_invalidates_only_its_own_spans() -> None:
    """Lost: the spans of all other programs behind the same collector."""
    made = request(wire_span(), wire_span(number=2), resource={"service.name": "Stray"})
    made.resource_spans.append(request(wire_span(number=3)).resource_spans[0])
    for reader, body in ((otlp.read_protobuf, made.SerializeToString()), (otlp.read_json, in_json(made))):
        read = reader(body.replace(b"Stray", b"St\xffay"), policy=KEEP)
        assert (len(read.spans), read.rejected, len(read.reasons)) == (1, 2, 1)


@pytest.mark.parametrize("kind", [b"intValue", b"doubleValue"])
def test_a_null_number_is_none(kind: bytes) -> None:
    """Lost: a span because of one missing number."""
    body = SPAN_JSON.replace(b'{"stringValue": "v"}', b'{"' + kind + b'":null}')
    [span] = otlp.read_json(body, policy=KEEP).spans
    assert span.attributes == {"k": None}


def test_an_invalid_span_is_rejected_alone_with_a_reason() -> None:
    """Lost: a batch of 512 spans because of one."""
    bad = [
        wire_span(trace_id=b"short"),
        wire_span(number=0),
        wire_span(name=" "),
        wire_span(start_time_unix_nano=0),
        wire_span(end_time_unix_nano=START - 1),
        wire_span({"leo.sd_id": True}),
        wire_span({"leo.span_type": "a+b"}),
    ]
    read = read_both(request(wire_span(), *bad, wire_span(number=2)))
    assert (len(read.spans), read.rejected, len(read.reasons)) == (2, 7, 7)


def test_reasons_are_limited_in_number() -> None:
    """Lost: a response is as long as the request."""
    spellings = ["".join(letters) for letters in itertools.product("T", "rR", "aA", "cC", "eE", "iI", "d")]
    bad = [SPAN_JSON.replace(b'"traceId"', f'"{word}"'.encode()) for word in spellings]
    spans = [json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for body in bad]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    read = otlp.read_json(body, policy=KEEP)
    assert (read.rejected, len(read.reasons)) == (len(spellings), otlp_span.MAX_REASONS)
    assert read.rejections[otlp_span.OTHER_REASONS] == len(spellings) - otlp_span.MAX_REASONS + 1


@pytest.mark.parametrize(
    "bad",
    [
        {"attributes": {"leo.span_type": "Bond+James"}},
        {"attributes": {"leo.sd_id": True}},
        {"attributes": {"leo.queue_wait_ms": -7007}},
        {"attributes": {"leo.queue_wait_ms": "Bond"}},
        {"trace_id": b"Bond"},
    ],
)
def test_a_reason_contains_no_value_of_the_request(bad: dict[str, Any]) -> None:
    """Lost: sensitive values appear in logs and in the output of doctor."""
    [reason] = read_both(request(wire_span(**bad))).reasons
    assert not {"Bond", "7007"} & set(re.findall(r"\w+", reason)), reason


@pytest.mark.parametrize("name", [b"startTimeUnixNano", b"endTimeUnixNano"])
def test_a_time_after_the_year_9999_is_refused_without_the_value(name: bytes) -> None:
    """Lost: every value makes another reason, and values are in the log."""
    body = re.sub(b'"' + name + b'": "[0-9]+"', b'"' + name + b'": "' + b"7" * 25 + b'"', SPAN_JSON)
    [reason] = otlp.read_json(body, policy=KEEP).reasons
    assert "9999" in reason or "before" in reason
    assert "777" not in reason


def test_attributes_beyond_the_limit_are_removed_and_counted() -> None:
    """Lost: one span with a million attributes fills the table, or nobody learns that some are missing."""
    read = read_both(request(wire_span({f"k.{number}": number for number in range(130)})))
    assert len(read.spans[0].attributes) == otlp_span.MAX_ATTRIBUTES
    assert read.removed == {otlp_span.TOO_MANY: 2}


def test_values_nested_too_deep_are_replaced_by_text() -> None:
    """Lost: values are stored that JSON parsers cannot read."""
    deep: Any = "x"
    for _ in range(30):
        deep = [deep]
    text = json.dumps(read_both(request(wire_span({"k": deep}))).spans[0].attributes)
    assert text.count("[") <= 20


def test_a_span_of_over_a_mebibyte_is_rejected_alone() -> None:
    """Lost: the other spans, or the receiver's memory."""
    read = read_both(request(wire_span(), wire_span({"k": "x" * otlp_span.MAX_SPAN_BYTES}, number=2)))
    assert (len(read.spans), read.rejected) == (1, 1)


@pytest.mark.parametrize(
    "value", [b"NaN", b"-Infinity", b"1e999", b"9" * 4000, b"1.5", b'"12"', b"true", b"null", b"{}"]
)
def test_unusual_numbers_are_sanitized_or_rejected_alone(value: bytes) -> None:
    """Lost: a whole batch, because PostgreSQL refuses one row."""
    for kind in (b"intValue", b"doubleValue"):
        body = SPAN_JSON.replace(b'{"stringValue": "v"}', b'{"' + kind + b'":' + value + b"}")
        read = otlp.read_json(body, policy=KEEP)
        assert len(read.spans) + read.rejected == 1
        for span in read.spans:
            json.dumps(span.attributes, allow_nan=False)


def test_duplicate_keys_are_harmless() -> None:
    """Lost: a span with a repeated key is dropped, or stops the reader."""
    body = SPAN_JSON.replace(b'"name": "work"', b'"name": "first", "name": "second"')
    assert [span.span_name for span in otlp.read_json(body, policy=KEEP).spans] == ["second"]


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_passes_in_any_place(kind: str) -> None:
    """Lost: keys and passwords are in the database, in the response to the exporter, and in its log."""
    text = SECRETS[kind]
    planted = {
        "k": text,
        "k.many": ["a", {"b": text}],
        "leo.sd_id": text,
        "leo.workflow_execution_id": text,
        "leo.note": text,
        "leo." + text: 1,
        "foreign." + text: 1,
    }
    raised = {"name": "exception", "attributes": pairs({"exception.type": text, "exception.message": text})}
    spans = [
        wire_span(planted, name=text, status={"code": 2, "message": text}, events=[raised]),
        wire_span({OPERATION: "chat", "gen_ai.request.model": text}, number=2),
        wire_span({"leo.span_type": text, "leo.span_name": text}, number=3),
        wire_span({"leo.span_type": "a+" + text}, number=4),
        wire_span({"leo.queue_wait_ms": text}, number=5),
    ]
    read = read_both(request(*spans, resource={"leo.project": text, "service.name": text, "leo.x": text}))
    assert len(read.spans) >= 2
    body = SPAN_JSON.replace(b'"0000000000000001"', json.dumps(text).encode())
    kept = [[getattr(span, column) for column in COLUMNS] for span in read.spans]
    everything = json.dumps([kept, read.reasons, otlp.read_json(body, policy=KEEP).reasons, read.removed])
    assert json.dumps(PLAIN[kind])[1:-1] not in everything


@pytest.mark.parametrize(("number", "kind"), [(0, None), (1, None), (2, "server"), (3, "client"), (5, "consumer")])
def test_the_kind_of_a_span_is_kept_unless_it_is_the_default(number: int, kind: str | None) -> None:
    """Lost: a call and the work that serves it would be the same operation."""
    [span] = read_both(request(wire_span(kind=number))).spans
    assert span.attributes.get("span.kind") == kind
