"""OTLP requests in protobuf and JSON: the same spans from both encodings, and protection from harmful bodies."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from leo_telemetry_pipeline.sources.otlp import otlp, otlp_span
from leo_telemetry_pipeline.sources.otlp.otlp import BadRequest, Read, TooLarge
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.unit.sources.otlp.wire import (
    KEEP,
    PARENT,
    SPAN_JSON,
    START,
    TRACE,
    in_json,
    pairs,
    read_both,
    request,
    wire_span,
)

READERS: list[Callable[..., Read]] = [otlp.read_json, otlp.read_protobuf]
# Stack size of a thread, as in a web server's thread pool with small stacks.
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
    """Lost: the disk is full, because a request of two megabytes becomes ten gigabytes of rows."""
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
        except BaseException as error:  # noqa: BLE001 it is checked below
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
