"""OTLP requests in protobuf and JSON: the same spans from both encodings, and protection from harmful bodies."""

import itertools
import json
import re
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from leo_telemetry_pipeline.redact import Policy
from leo_telemetry_pipeline.sources.otlp import otlp, otlp_span
from leo_telemetry_pipeline.sources.otlp.conventions import OPERATION
from leo_telemetry_pipeline.sources.otlp.otlp import BadRequest, Read, TooLarge
from leo_telemetry_pipeline.span import COLUMNS, Span
from leo_telemetry_pipeline_tests.secrets_corpus import PLAIN, SECRETS

START = 1_795_372_139_107_999_999
KEEP = Policy(("k", "k.*"))
TRACE, PARENT = bytes(range(16)), bytes(range(8, 16))


def any_value(value: Any) -> AnyValue:
    """Return a value in protobuf."""
    made = AnyValue()
    if isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, str):
        made.string_value = value
    elif isinstance(value, int):
        made.int_value = value
    elif isinstance(value, float):
        made.double_value = value
    elif isinstance(value, bytes):
        made.bytes_value = value
    elif isinstance(value, list):
        made.array_value.SetInParent()
        made.array_value.values.extend(any_value(item) for item in value)
    elif isinstance(value, dict):
        made.kvlist_value.SetInParent()
        made.kvlist_value.values.extend(pairs(value))
    return made


def pairs(attributes: dict[str, Any]) -> list[KeyValue]:
    """Return attributes in protobuf."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def wire_span(attributes: dict[str, Any] | None = None, *, number: int = 1, **more: Any) -> WireSpan:
    """Return a valid span of 10.4 ms, changed by ``more``."""
    fields: dict[str, Any] = {"trace_id": TRACE, "span_id": struct.pack(">Q", number), "name": "work"}
    fields |= {"start_time_unix_nano": START, "end_time_unix_nano": START + 10_400_000}
    return WireSpan(**(fields | more), attributes=pairs(attributes or {}))


def request(*spans: WireSpan, resource: dict[str, Any] | None = None) -> ExportTraceServiceRequest:
    """Return a request with the spans of one resource."""
    made = ExportTraceServiceRequest()
    part = made.resource_spans.add()
    part.resource.attributes.extend(pairs(resource or {}))
    scope = part.scope_spans.add()
    scope.scope.name = "shop"
    scope.spans.extend(spans)
    return made


def in_json(made: ExportTraceServiceRequest) -> bytes:
    """Encode a request as OTLP/JSON: like protobuf's JSON mapping, but with hex ids."""
    written = MessageToDict(made, use_integers_for_enums=True)
    for part, plain in zip(made.resource_spans, written.get("resourceSpans", []), strict=True):
        for scope, plain_scope in zip(part.scope_spans, plain.get("scopeSpans", []), strict=True):
            for span, plain_span in zip(scope.spans, plain_scope.get("spans", []), strict=True):
                plain_span["traceId"] = span.trace_id.hex()
                plain_span["spanId"] = span.span_id.hex()
                plain_span["parentSpanId"] = span.parent_span_id.hex()
    return json.dumps(written).encode()


def read_both(made: ExportTraceServiceRequest, policy: Policy = KEEP, project: str = "") -> Read:
    """Read a request in both encodings, and return their common result."""
    read = otlp.read_protobuf(made.SerializeToString(), project=project, policy=policy)
    assert otlp.read_json(in_json(made), project=project, policy=policy) == read
    return read


READERS: list[Callable[..., Read]] = [otlp.read_json, otlp.read_protobuf]
# As in a web server's thread pool with small stacks.
SMALL_STACK = 256 * 1024

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
int64 = st.integers(-(2**63), 2**63 - 1)
values = st.recursive(
    st.none() | st.booleans() | int64 | st.floats() | texts | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["k", "k.2", "leo.sd_id", "leo.span_type", "leo.x", "user.id", "gen_ai.operation.name"]) | texts
attributes = st.dictionaries(keys, values, max_size=4)
wire_spans = st.builds(
    wire_span,
    attributes,
    number=st.integers(0, 2**64 - 1),
    name=texts | st.sampled_from(["claude_code.tool", "work"]),
    parent_span_id=st.sampled_from([b"", bytes(8), PARENT, b"short"]),
    trace_id=st.sampled_from([TRACE, bytes(16), b"short"]),
    start_time_unix_nano=st.sampled_from([0, START, 2**64 - 1]),
    end_time_unix_nano=st.sampled_from([0, START - 1, START, 2**64 - 1]),
    status=st.builds(lambda code, message: {"code": code, "message": message}, st.integers(0, 2), texts),
    events=st.lists(
        st.builds(lambda kind: {"name": "exception", "attributes": pairs({"exception.type": kind})}, texts)
    ),
)


@given(st.lists(wire_spans, max_size=3), attributes)
def test_both_encodings_of_a_request_are_the_same_spans(spans: list[WireSpan], resource: dict[str, Any]) -> None:
    """Lost: people see other spans after a change of the exporter's protocol."""
    read = read_both(request(*spans, resource=resource))
    assert len(read.spans) + read.rejected == len(spans)


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
    """Lost: a span with one unknown number."""
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
    """Lost: a response as long as the request."""
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
    """Lost: one reason per value, and values in the log."""
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
    """Lost: values that JSON parsers cannot read."""
    deep: Any = "x"
    for _ in range(30):
        deep = [deep]
    text = json.dumps(read_both(request(wire_span({"k": deep}))).spans[0].attributes)
    assert text.count("[") <= 20


def test_a_span_of_over_a_mebibyte_is_rejected_alone() -> None:
    """Lost: the other spans, or the receiver's memory."""
    read = read_both(request(wire_span(), wire_span({"k": "x" * otlp_span.MAX_SPAN_BYTES}, number=2)))
    assert (len(read.spans), read.rejected) == (1, 1)


PARTS: list[Callable[..., Iterator[Read]]] = [otlp.parts_of_json, otlp.parts_of_protobuf]


@pytest.mark.parametrize("parts_of", PARTS)
def test_a_request_that_does_not_fit_in_memory_is_read_completely_in_parts(
    parts_of: Callable[..., Iterator[Read]],
) -> None:
    """Lost: the spans beyond the first part, which no exporter sends again."""
    spans = [
        wire_span({f"k.{each}": "\U0001f600" + "a word " * 1_000 for each in range(120)}, number=n)
        for n in range(1, 13)
    ]
    made = request(*spans)
    body = in_json(made) if parts_of is otlp.parts_of_json else made.SerializeToString()
    parts = list(parts_of(body, policy=KEEP))
    assert [span.span_id[-4:] for part in parts for span in part.spans] == [f"{n:04x}" for n in range(1, 13)]
    assert sum(part.rejected for part in parts) == 0
    assert len(parts) > 3
    assert max(len(part.spans) for part in parts) < 10


def test_spans_before_the_damage_of_a_large_request_are_read() -> None:
    """Lost: ten thousand good spans because of one byte, since exporters do not repeat refused requests."""
    spans = [wire_span({f"k.{each}": "a word " * 1_285 for each in range(100)}, number=n) for n in range(1, 15)]
    body = in_json(request(*spans, wire_span(name="last")))
    parts = otlp.parts_of_json(body.replace(b'"last"', b"lasts"), policy=KEEP)
    read = []
    with pytest.raises(BadRequest):
        read += parts
    assert 0 < sum(len(part.spans) for part in read) <= 14


@pytest.mark.parametrize("reader", READERS)
def test_a_large_resource_of_many_spans_is_refused(reader: Callable[..., Read]) -> None:
    """Lost: the disk: a request of two megabytes becomes ten gigabytes of rows."""
    made = request(*[wire_span()] * 1000, resource={f"leo.{n}": "x" * 9_000 for n in range(100)})
    body = in_json(made) if reader is otlp.read_json else made.SerializeToString()
    with pytest.raises(TooLarge, match="resources"):
        reader(body, policy=KEEP)


@pytest.mark.parametrize("reader", READERS)
def test_too_many_spans_are_refused_before_any_is_decoded(reader: Callable[..., Read]) -> None:
    """Lost: a small body with a million empty spans blocks the receiver for a minute."""
    made = request(*[WireSpan()] * (otlp_span.MAX_SPANS + 1))
    body = in_json(made) if reader is otlp.read_json else made.SerializeToString()
    with pytest.raises(TooLarge, match="10000 spans"):
        reader(body, policy=KEEP)


def test_too_many_parts_of_json_are_refused() -> None:
    """Lost: a body of a few MB becomes hundreds of MB of objects."""
    with pytest.raises(TooLarge):
        otlp.read_json(b'{"resourceSpans":[' + b"{}," * otlp_span.MAX_PARTS + b"{}]}", policy=KEEP)


def test_too_many_parts_of_protobuf_are_refused() -> None:
    """Lost: ten million empty messages block the receiver for a minute."""
    with pytest.raises(TooLarge):
        otlp.read_protobuf(b"\x0a\x00" * 100_000, policy=KEEP)


SPAN_JSON = in_json(request(wire_span({"k": "v"})))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b"{",
        b"{]}",
        b"\xff\xfe{}",
        b"{} {}",
        b'{"resourceSpans":5}',
        b'{"resourceSpans":[5]}',
        b'{"resourceSpans":[{"scopeSpans":{}}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":tru}]}]}]}',
        b'{"resourceLogs":[]}',
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        SPAN_JSON[:-1],
        SPAN_JSON.replace(b'"work"', b'"work'),
        SPAN_JSON.replace(b'{"stringValue": "v"}', b'{"arrayValue":{"values":[' * 100_000 + b"]}}" * 100_000),
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_a_body_that_is_not_otlp_json_is_refused(body: bytes) -> None:
    """Lost: the receiver crashes, or stores garbage."""
    raised: list[BaseException] = []

    def read() -> None:
        try:
            otlp.read_json(body, policy=KEEP)
        except BaseException as error:  # noqa: BLE001 it is looked at below
            raised.append(error)

    before = threading.stack_size(SMALL_STACK)
    try:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert [type(error) for error in raised] == [BadRequest]


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"\x0a\x05ab",
        b"\x0b",
        b"\x0b\x14",
        b"\x0f\x00",
        b"\x00\x00",
        b"\x0a" + b"\xff" * 11,
        request(wire_span()).SerializeToString()[:-1],
    ],
    ids=bytes.hex,
)
def test_a_body_that_is_not_protobuf_is_refused(body: bytes) -> None:
    """Lost: a truncated request is answered as if it were complete."""
    with pytest.raises(BadRequest):
        otlp.read_protobuf(body, policy=KEEP)


@pytest.mark.parametrize("body", [b"{}", b' {"resourceSpans": null} \n', b'{"new": [{"a": "}"}], "resourceSpans": []}'])
def test_an_empty_request_is_valid(body: bytes) -> None:
    """Lost: exporters that probe the receiver with an empty request get an error."""
    assert otlp.read_json(body, policy=KEEP) == Read([], {}, {})
    assert otlp.read_protobuf(b"", policy=KEEP) == Read([], {}, {})


def test_unknown_protobuf_fields_are_skipped() -> None:
    """Lost: all exporters, as soon as OTLP gets a new field."""
    unknown = b"\x98\x06\x01" + b"\x9a\x06\x02ab" + b"\x99\x06" + bytes(8) + b"\x9d\x06" + bytes(4)
    group = b"\x9b\x06" + unknown + b"\x0a\x01a" + b"\x9c\x06"
    read = otlp.read_protobuf(unknown + request(wire_span()).SerializeToString() + group, policy=KEEP)
    assert len(read.spans) == 1


def test_the_resource_may_follow_its_spans_and_unknown_json_fields_are_skipped() -> None:
    """Lost: the project of spans from writers that sort keys."""
    plain = json.loads(in_json(request(wire_span(), resource={"leo.project": "shop"})))
    [part] = plain["resourceSpans"]
    shuffled = {"x": ['"', "\\", "}"], "scopeSpans": part["scopeSpans"], "y": {}, "resource": part["resource"]}
    body = json.dumps({"z": None, "resourceSpans": [shuffled]}, indent=1).encode()
    assert [span.project for span in otlp.read_json(body, policy=KEEP).spans] == ["shop"]


@pytest.mark.parametrize(
    "text", ['a"b', "a\\", 'a\\"', "}]{[", "\ud800", "\u2028", "\U0001f600", "\0", "\\" * 300 + '"']
)
def test_any_json_text_is_read_unchanged(text: str) -> None:
    """Lost: a span that contains a quote, and all after it."""
    body = SPAN_JSON.replace(b'"v"', json.dumps(text).encode())
    [span] = otlp.read_json(body, policy=KEEP).spans
    assert span.attributes["k"] == text.replace("\0", "\ufffd").replace("\ud800", "\ufffd")


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
    """Lost: a span, or the reader."""
    body = SPAN_JSON.replace(b'"name": "work"', b'"name": "first", "name": "second"')
    assert [span.span_name for span in otlp.read_json(body, policy=KEEP).spans] == ["second"]


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_passes_wherever_it_is(kind: str) -> None:
    """Lost: keys and passwords in the database, in the response to the exporter, and in its log."""
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


SMALL = request(wire_span({"k": "v", "k.2": [1, {"a": 0.5}]}, parent_span_id=PARENT), wire_span(number=2))
BODIES = {otlp.read_json: in_json(SMALL), otlp.read_protobuf: SMALL.SerializeToString()}


def reads_or_refuses(reader: Callable[..., Read], body: bytes) -> None:
    try:
        read = reader(body, policy=KEEP)
    except (BadRequest, TooLarge):
        return
    assert all(isinstance(span, Span) for span in read.spans)


@pytest.mark.parametrize("reader", READERS)
@given(body=st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(reader: Callable[..., Read], body: bytes) -> None:
    """Lost: any client can stop the receiver."""
    reads_or_refuses(reader, body)


@pytest.mark.parametrize("reader", READERS)
@given(data=st.data())
def test_damaged_bodies_are_read_or_refused(reader: Callable[..., Read], data: st.DataObject) -> None:
    """Lost: one flipped bit stops the receiver."""
    body = bytearray(BODIES[reader])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        body = body or bytearray(b"0")
    reads_or_refuses(reader, bytes(body))
