"""OTLP/protobuf: what is written on the wire becomes decoded spans.

Belongs here: the shape of a trace request in protobuf.
Does not: OTLP/JSON (otlp_json), HTTP (web), or what spans are called (conventions).
The outer messages are walked by hand, so that all spans are counted, and none is too large, before any is made.
"""

import base64
from collections.abc import Generator, Iterator
from itertools import islice

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.otlp.otlp_span import (
    MAX_ATTRIBUTES,
    MAX_PARTS,
    MAX_SPANS,
    MOST,
    BadRequest,
    Decoded,
    Divert,
    Part,
    Read,
    Reading,
    TooLarge,
    read_parts,
    whole_of,
)
from leo_telemetry_pipeline.span import InvalidSpan

# Field numbers of ExportTraceServiceRequest, ResourceSpans and ScopeSpans.
_RESOURCE_SPANS = 1
_RESOURCE, _SCOPE_SPANS, _SCHEMA_URL = 1, 2, 3
# Where instrumentation_library_spans were for a while, when scope_spans took their first number.
_LIBRARY_SPANS = 1000
_SCOPE, _SPANS = 1, 2
_VARINT, _LENGTH, _GROUP, _END_GROUP = 0, 2, 3, 4
_FIXED = {1: 8, 5: 4}
_MAX_GROUPS = 64
_RECORDS = {"spans": "spans", "logs": "log_records"}
_STATUS = {1: "OK", 2: "ERROR"}


def read_protobuf(body: bytes, *, project: str = "", policy: redact.Policy) -> Read:
    """Return the spans of an OTLP/protobuf request, redacted. Raise BadRequest or TooLarge for the whole of it.

    ``project`` is for spans that name none. Spans that are none by themselves are rejected one by one.
    """
    return whole_of(parts_of_protobuf(body, project=project, policy=policy))


def parts_of_protobuf(
    body: bytes, *, project: str = "", policy: redact.Policy, divert: Divert | None = None
) -> Generator[Read, None, None]:
    """Yield what read_protobuf returns, in parts that fit into memory. It raises before the first, or not at all."""
    reading = Reading(project, foreign=policy.foreign, own=policy.own, resource=policy.resource, divert=divert)
    yield from read_parts(parts_in(body), reading, _resource, decode)


def decode(raw: bytes) -> Decoded:
    """Return what a span on the wire says. Raise InvalidSpan."""
    try:
        span = WireSpan.FromString(raw)
    except DecodeError:
        raise InvalidSpan("a span is not protobuf, or a text in it is not UTF-8") from None
    pairs = span.attributes
    code, message = (span.status.code, span.status.message) if span.HasField("status") else (0, "")
    return Decoded(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(pairs),
        status=_STATUS.get(code),
        message=message,
        error_type=_error_type(span.events) if span.events else "",
        cut=max(0, len(pairs) - MAX_ATTRIBUTES),
    )


def parts_in(body: bytes, signal: str = "spans") -> list[Part]:
    """Return the resources of a request with the bytes of their spans, or log records. Raise BadRequest or TooLarge.

    Requests of both signals have the same shape.
    """
    parts, count, left = [], 0, [MAX_SPANS + MAX_PARTS]
    seen: set[int] = set()
    for number, part in _fields(memoryview(body), left):
        seen.add(number)
        if number == _RESOURCE_SPANS:
            parts.append(_part(part, left, signal))
            count += len(parts[-1][1])
            if count > MAX_SPANS:
                raise TooLarge(f"more than {MAX_SPANS} {_RECORDS[signal]}")
    _check(seen, {_RESOURCE_SPANS}, "the request", f"resource_{signal} = 1")
    return parts


def _part(message: memoryview, left: list[int], signal: str) -> Part:
    resource, spans, seen = [], [], set()
    for number, inner in _fields(message, left):
        seen.add(number)
        if number == _RESOURCE:
            resource.append(inner)
        elif number in (_SCOPE_SPANS, _LIBRARY_SPANS):
            fields = list(_fields(inner, left))
            _check(
                {field for field, _ in fields},
                {_SCOPE, _SPANS, _SCHEMA_URL},
                f"scope_{signal}",
                f"{_RECORDS[signal]} = 2",
            )
            spans += (span for field, span in fields if field == _SPANS)
    known = {_RESOURCE, _SCOPE_SPANS, _SCHEMA_URL, _LIBRARY_SPANS}
    _check(seen, known, f"resource_{signal}", f"scope_{signal} = 2")
    # A message that comes twice is merged, which on the wire is the one after the other.
    return memoryview(b"".join(resource)), spans


def _check(seen: set[int], known: set[int], where: str, expected: str) -> None:
    """Refuse a message that has fields and none that is known: what is unknown is not empty."""
    if seen and seen.isdisjoint(known):
        raise BadRequest(
            f"not OTLP/protobuf as it is known here: {where} has field {min(seen)}, {expected} is expected"
        )


def _fields(message: memoryview, left: list[int]) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each field that has a length; skip the others."""
    at, groups = 0, []
    while at < len(message):
        left[0] -= 1
        if left[0] < 0:
            raise TooLarge(f"more than {MAX_SPANS} spans or log records and {MAX_PARTS} other parts")
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise BadRequest("not OTLP/protobuf: a field has no number")
        if kind == _LENGTH:
            length, at = _varint(message, at)
            at += length
            if at <= len(message) and not groups:
                yield number, message[at - length : at]
        elif kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            _step(groups, number, kind)
    if at != len(message) or groups:
        raise BadRequest("not OTLP/protobuf: it breaks off")


def _step(groups: list[int], number: int, kind: int) -> None:
    if kind == _GROUP and len(groups) < _MAX_GROUPS:
        groups.append(number)
    elif kind != _END_GROUP or not groups or groups.pop() != number:
        raise BadRequest("not OTLP/protobuf: a field of no known kind")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise BadRequest("not OTLP/protobuf: it breaks off")


def _resource(raw: bytes) -> dict:
    try:
        return _attributes(Resource.FromString(raw).attributes)
    except DecodeError:
        raise InvalidSpan("the resource is not protobuf, or a text in it is not UTF-8") from None


def _attributes(pairs) -> dict:
    # Most values are text, and a text that is not empty needs no look at what else there could be.
    return {pair.key: pair.value.string_value or _value(pair.value, 1) for pair in islice(pairs, MAX_ATTRIBUTES)}


def _error_type(events) -> str:
    for event in events:
        if event.name == "exception":
            kind = _attributes(event.attributes).get("exception.type")
            if isinstance(kind, str):
                return kind
    return ""


def _value(value, depth: int):
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind not in ("array_value", "kvlist_value"):
        # Bytes are text here, the same as they are in OTLP/JSON.
        return base64.b64encode(content).decode() if kind == "bytes_value" else content
    if depth > redact.MAX_DEPTH:
        return "…"
    if kind == "array_value":
        return [_value(item, depth + 1) for item in islice(content.values, MOST)]
    return {pair.key: _value(pair.value, depth + 1) for pair in islice(content.values, MOST)}
