"""OTLP/protobuf decoder, which counts and measures all spans before it decodes any.

Belongs here: the structure of a trace request in protobuf, scanned by hand. Does not: OTLP/JSON (otlp_json), HTTP
(web), names of spans (conventions).
"""

import base64
from collections.abc import Generator, Iterator
from itertools import islice

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.otlp.conventions import KINDS
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
# Number that instrumentation_library_spans had for a while, after scope_spans had taken its original one.
_LIBRARY_SPANS = 1000
_SCOPE, _SPANS = 1, 2
_VARINT, _LENGTH, _GROUP, _END_GROUP = 0, 2, 3, 4
_FIXED = {1: 8, 5: 4}
_MAX_GROUPS = 64
_RECORDS = {"spans": "spans", "logs": "log_records"}
_STATUS = {1: "OK", 2: "ERROR"}


def read_protobuf(body: bytes, *, project: str = "", policy: redact.Policy) -> Read:
    """Return the spans of an OTLP/protobuf request, redacted. Raise BadRequest or TooLarge for the whole request.

    ``project`` is the default for spans without one. Invalid spans are rejected one by one.
    """
    return whole_of(parts_of_protobuf(body, project=project, policy=policy))


def parts_of_protobuf(
    body: bytes, *, project: str = "", policy: redact.Policy, divert: Divert | None = None
) -> Generator[Read, None, None]:
    """Yield the result of read_protobuf in parts that fit in memory. Raises before the first part or not at all."""
    reading = Reading(project, foreign=policy.foreign, own=policy.own, resource=policy.resource, divert=divert)
    yield from read_parts(parts_in(body), reading, _resource, decode)


def decode(raw: bytes) -> Decoded:
    """Decode a span in protobuf. Raise InvalidSpan."""
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
        kind=KINDS.get(span.kind),
    )


def parts_in(body: bytes, signal: str = "spans") -> list[Part]:
    """Return the resources of a request with the bytes of their spans or log records. Raise BadRequest or TooLarge.

    Requests of both signals have the same structure.
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
    # Repeated messages are merged, which in protobuf is the concatenation of their bytes.
    return memoryview(b"".join(resource)), spans


def _check(seen: set[int], known: set[int], where: str, expected: str) -> None:
    """Refuse a message whose fields are all unknown, instead of reading it as empty."""
    if seen and seen.isdisjoint(known):
        raise BadRequest(f"unknown form of OTLP/protobuf: {where} has field {min(seen)}, {expected} is expected")


def _fields(message: memoryview, left: list[int]) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each length-delimited field; skip the others."""
    position, groups = 0, []
    while position < len(message):
        left[0] -= 1
        if left[0] < 0:
            raise TooLarge(f"more than {MAX_SPANS} spans or log records and {MAX_PARTS} other parts")
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise BadRequest("not OTLP/protobuf: a field has no number")
        if kind == _LENGTH:
            length, position = _varint(message, position)
            position += length
            if position <= len(message) and not groups:
                yield number, message[position - length : position]
        elif kind == _VARINT:
            _, position = _varint(message, position)
        elif kind in _FIXED:
            position += _FIXED[kind]
        else:
            _step(groups, number, kind)
    if position != len(message) or groups:
        raise BadRequest("not OTLP/protobuf: it is truncated")


def _step(groups: list[int], number: int, kind: int) -> None:
    if kind == _GROUP and len(groups) < _MAX_GROUPS:
        groups.append(number)
    elif kind != _END_GROUP or not groups or groups.pop() != number:
        raise BadRequest("not OTLP/protobuf: a field of an unknown kind")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise BadRequest("not OTLP/protobuf: it is truncated")


def _resource(raw: bytes) -> dict:
    try:
        return _attributes(Resource.FromString(raw).attributes)
    except DecodeError:
        raise InvalidSpan("the resource is not protobuf, or a text in it is not UTF-8") from None


def _attributes(pairs) -> dict:
    # Fast path: most values are non-empty text.
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
        # Bytes become base64 text, as in OTLP/JSON.
        return base64.b64encode(content).decode() if kind == "bytes_value" else content
    if depth > redact.MAX_DEPTH:
        return "…"
    if kind == "array_value":
        return [_value(item, depth + 1) for item in islice(content.values, MOST)]
    return {pair.key: _value(pair.value, depth + 1) for pair in islice(content.values, MOST)}
