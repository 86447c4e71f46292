"""Field names: every spelling of a trace request is read, and unknown names are distinguished from empty requests."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from leo_telemetry_pipeline.redact import Policy
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.sources.otlp.otlp import BadRequest
from leo_telemetry_pipeline.span import InvalidSpan, Span

CASES = Path(__file__).resolve().parents[3] / "cases"
KEEP = Policy(("k", "k.*"))
TRACE, SPAN, PARENT = "965c9691d4f64a1c9844a17e04cf4ce1", "22ef35641f644dc3", "36d1089fda9e4e4e"
START = 1_795_955_340_000_000_000
VALUES = {
    "k.text": {"stringValue": "a"},
    "k.yes": {"boolValue": True},
    "k.number": {"intValue": "7"},
    "k.ratio": {"doubleValue": 0.5},
    "k.many": {"arrayValue": {"values": [{"stringValue": "b"}, {"intValue": 1}]}},
    "k.deep": {"kvlistValue": {"values": [{"key": "x", "value": {"boolValue": False}}]}},
}
PLAIN = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "x"},
                    "spans": [
                        {
                            "traceId": TRACE,
                            "spanId": SPAN,
                            "parentSpanId": PARENT,
                            "name": "op",
                            "kind": 2,
                            "startTimeUnixNano": str(START),
                            "endTimeUnixNano": str(START + 1_500_000_000),
                            "attributes": [{"key": key, "value": value} for key, value in VALUES.items()],
                            "status": {"code": 2, "message": "no"},
                        }
                    ],
                }
            ],
        }
    ]
}


def renamed(value: Any, names: dict[str, str]) -> Any:
    """Return a JSON value with other keys."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(inner, names) for key, inner in value.items()}
    return [renamed(inner, names) for inner in value] if isinstance(value, list) else value


def snake(value: Any) -> Any:
    """Return a JSON value with all keys in snake_case."""
    if isinstance(value, dict):
        low = {key: "".join(f"_{c.lower()}" if c.isupper() else c for c in key) for key in value}
        return {low[key]: snake(inner) for key, inner in value.items()}
    return [snake(inner) for inner in value] if isinstance(value, list) else value


def with_span(**changes: Any) -> dict:
    """Return the plain request with changed values in its span."""
    made = json.loads(json.dumps(PLAIN))
    made["resourceSpans"][0]["scopeSpans"][0]["spans"][0].update(changes)
    return made


def in_base64(digits: str) -> str:
    """Return an id as protobuf's JSON mapping writes it."""
    return base64.b64encode(bytes.fromhex(digits)).decode()


IDS = {"traceId": in_base64(TRACE), "spanId": in_base64(SPAN), "parentSpanId": in_base64(PARENT)}
OLD = {"scopeSpans": "instrumentationLibrarySpans", "scope": "instrumentationLibrary"}
NAMES = {"kind": "SPAN_KIND_SERVER", "status": {"code": "STATUS_CODE_ERROR", "message": "no"}}
SPELLINGS: dict[str, dict] = {
    "plain": PLAIN,
    "old": renamed(PLAIN, OLD),
    "snake": snake(PLAIN),
    "old snake": snake(renamed(PLAIN, OLD)),
    "snake in the middle": renamed(PLAIN, {"scopeSpans": "scope_spans"}),
    "snake inside": renamed(PLAIN, {"traceId": "trace_id", "endTimeUnixNano": "end_time_unix_nano"}),
    "Tempo": {"batches": with_span(**IDS, **NAMES)["resourceSpans"]},
    "Tempo of old": {"batches": renamed(with_span(**IDS, **NAMES), OLD)["resourceSpans"]},
    "Tempo's second API": {"trace": with_span(**IDS)},
    "base64 without padding": with_span(**{key: value.rstrip("=") for key, value in IDS.items()}),
    "base64 for addresses": with_span(**{key: value.translate({43: 45, 47: 95}) for key, value in IDS.items()}),
    "upper case": with_span(traceId=TRACE.upper(), spanId=SPAN.upper(), parentSpanId=PARENT.upper()),
    "bare": PLAIN["resourceSpans"][0],
    "bare and old": renamed(PLAIN, OLD)["resourceSpans"][0],
    "bare snake": snake(PLAIN)["resource_spans"][0],
    "bare, spans first": dict(reversed(PLAIN["resourceSpans"][0].items())),
}


def both(request: dict, **options: Any) -> Iterator[list[Span]]:
    """Yield the spans of a request, by the receiver and by the file reader."""
    read = otlp.read_json(json.dumps(request).encode(), policy=KEEP, **options)
    assert read.rejections == {}
    yield read.spans
    assert otlp.is_trace_request(request)
    yield [span for span in otlp.spans_from_request(request) if isinstance(span, Span)]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_all_spellings_give_the_same_span(spelling: str):
    """Lost: spans of an exporter or store that is a year older or newer, silently."""
    for spans in both(SPELLINGS[spelling]):
        [span] = spans
        assert span.trace_id.replace("-", "") == TRACE
        assert span.span_id.replace("-", "")[16:] == SPAN
        assert (span.parent_span_id or "").replace("-", "")[16:] == PARENT
        assert (span.start_time_ms, span.duration_ms, span.status) == (START // 10**6, 1500, "ERROR")
        assert span.attributes | {"span.kind": "server"} == {
            "service.name": "shop",
            "span.kind": "server",
            "k.text": "a",
            "k.yes": True,
            "k.number": 7,
            "k.ratio": 0.5,
            "k.many": ["b", 1],
            "k.deep": {"x": False},
            "status_message": "no",
        }


@pytest.mark.parametrize(("case", "count"), [("otlp_old_ils.json", 2), ("otlp_snake_inner.json", 1)])
def test_requests_of_real_exporters_are_read(case: str, count: int):
    """Lost: spans of a real exporter, although they are answered with 200."""
    for spans in both(json.loads((CASES / case).read_text())):
        assert len(spans) == count


def test_protobuf_s_json_mapping_is_read():
    """Lost: requests in protobuf's JSON mapping, with base64 ids and enums by name."""
    made = ExportTraceServiceRequest()
    span = made.resource_spans.add().scope_spans.add().spans.add(name="op", start_time_unix_nano=START, kind=2)
    span.trace_id, span.span_id = bytes.fromhex(TRACE), bytes.fromhex(SPAN)
    span.status.code = Status.STATUS_CODE_ERROR
    for keep_names in (False, True):
        for spans in both(MessageToDict(made, preserving_proto_field_name=keep_names)):
            assert [(span.trace_id.replace("-", ""), span.status) for span in spans] == [(TRACE, "ERROR")]
            assert [span.attributes["span.kind"] for span in spans] == ["server"]


UNKNOWN = {
    "the request": ({"ResourceSpans": PLAIN["resourceSpans"]}, "ResourceSpans", "resourceSpans"),
    "another word": ({"spans": []}, "spans", "resourceSpans"),
    "a resource": (renamed(PLAIN, {"scopeSpans": "ScopeSpans"}), "ScopeSpans", "scopeSpans"),
    "a resource without spans": ({"resourceSpans": [{"libraries": [], "resource": {}}]}, "libraries", "scopeSpans"),
    "a scope": (renamed(PLAIN, {"spans": "Spans"}), "Spans", "spans"),
    "a batch of Tempo": ({"batches": renamed(PLAIN, {"spans": "span"})["resourceSpans"]}, "span", "spans"),
    "inside Tempo's second API": ({"trace": {"resourceSpan": []}}, "resourceSpan", "resourceSpans"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_unknown_names_are_refused_and_named(case: str):
    """Lost: an import of 0 spans ends with status 0, which is noticed only when the spans are needed."""
    request, there, expected = UNKNOWN[case]
    with pytest.raises(BadRequest, match=rf"has {there} where {expected} is expected"):
        otlp.read_json(json.dumps(request).encode(), policy=KEEP)
    [reason] = otlp.spans_from_request(request)
    assert isinstance(reason, InvalidSpan)
    assert f"has {there} where {expected} is expected" in str(reason)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"resourceSpans": []},
        {"resourceSpans": None},
        {"resource_spans": []},
        {"batches": []},
        {"trace": {}},
        {"trace": {"resourceSpans": []}},
        {"resourceSpans": [{}]},
        {"resourceSpans": [{"resource": {}, "schemaUrl": ""}]},
        {"resourceSpans": [{"resource": {}, "scopeSpans": []}]},
        {"resourceSpans": [{"scopeSpans": [{}, {"scope": {"name": "x"}}, {"spans": []}]}]},
        {"resourceSpans": [], "partialSuccess": {}},
    ],
)
def test_empty_requests_are_not_refused(request_: dict):
    """Lost: exporters that probe the receiver with an empty request get an error."""
    assert otlp.read_json(json.dumps(request_).encode(), policy=KEEP) == otlp.Read([], {}, {})
    assert list(otlp.spans_from_request(request_)) == []


@pytest.mark.parametrize("key", ["traceID", "TraceId", "trace-id", "start_time_unixnano", "SpanID"])
def test_a_misspelled_field_of_a_span_is_named(key: str):
    """Lost: nobody learns why a trace id is reported as missing although it is there."""
    names = {name.lower(): name for name in ("traceId", "spanId", "startTimeUnixNano")}
    expected = names[key.replace("-", "").replace("_", "").lower()]
    request = renamed(PLAIN, {expected: key})
    read = otlp.read_json(json.dumps(request).encode(), policy=KEEP)
    [reason] = otlp.spans_from_request(request)
    assert read.reasons == [str(reason)] == [f"a span has {key} where {expected} is expected"]


@pytest.mark.parametrize("value", [{"textValue": "a"}, "a", 5, ["a"], {"StringValue": "a"}])
def test_a_value_of_unknown_kind_is_counted_and_not_stored_as_null(value: Any):
    """Lost: nobody learns why attributes are null, and a dimension empty."""
    request = with_span(attributes=[{"key": "k.text", "value": value}, {"key": "k.number", "value": {"intValue": 1}}])
    read = otlp.read_json(json.dumps(request).encode(), policy=KEEP)
    assert [span.attributes["k.number"] for span in read.spans] == [1]
    assert "k.text" not in read.spans[0].attributes
    assert read.removed == {"(attributes with a value of an unknown kind)": 1}


@pytest.mark.parametrize(
    "value", [{"resourceLogs": []}, {"trace_id": "x"}, {"batches": [1]}, {"batches": [{"a": 1}]}, {"trace": "x"}, {}]
)
def test_an_object_that_is_not_a_trace_request_is_left_to_other_formats(value: dict):
    """Lost: rows of a table with a column named batches or trace."""
    assert not otlp.is_trace_request(value)


def field(number: int, content: bytes) -> bytes:
    """Return a length-delimited protobuf field of less than 128 bytes."""
    tag = number << 3 | 2
    head = bytes((tag,)) if tag < 0x80 else bytes((tag & 0x7F | 0x80, tag >> 7))
    return head + bytes((len(content),)) + content


WIRE_SPAN = (
    field(1, bytes.fromhex(TRACE))
    + field(2, bytes.fromhex(SPAN))
    + field(5, b"op")
    + b"\x39"
    + START.to_bytes(8, "little")
)


@pytest.mark.parametrize("number", [2, 1000])
def test_former_protobuf_field_numbers_are_read(number: int):
    """Lost: spans of exporters from the months in which scopes had the field number of instrumentation libraries."""
    [span] = otlp.read_protobuf(field(1, field(number, field(2, WIRE_SPAN))), policy=KEEP).spans
    assert span.span_name == "op"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (field(2, field(2, field(2, WIRE_SPAN))), "the request has field 2"),
        (field(1, field(4, field(2, WIRE_SPAN))), "resource_spans has field 4"),
        (field(1, field(2, field(9, WIRE_SPAN))), "scope_spans has field 9"),
    ],
)
def test_unknown_protobuf_field_numbers_are_refused_and_named(body: bytes, where: str):
    """Lost: a request in another version of the protocol is answered with 200 and discarded."""
    with pytest.raises(BadRequest, match=where):
        otlp.read_protobuf(body, policy=KEEP)
