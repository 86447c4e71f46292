"""OTLP/JSON decoder.

Belongs here: the structure of a trace request in JSON, parsed whole or one span at a time. Does not: locating spans in
bytes (otlp_json_parts), field names (field_names), HTTP (web), files (files), names of spans (conventions).
protobuf's JSON parser would read ids as base64, but in OTLP/JSON they are hex.
"""

import base64
import binascii
import json
import re
from collections.abc import Generator, Iterator

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.otlp import conventions, field_names
from leo_telemetry_pipeline.sources.otlp.json_cursor import NotJson
from leo_telemetry_pipeline.sources.otlp.otlp_json_parts import parts_in
from leo_telemetry_pipeline.sources.otlp.otlp_span import (
    MAX_ATTRIBUTES,
    MOST,
    BadRequest,
    Decoded,
    Divert,
    Read,
    Reading,
    number,
    read_parts,
    whole_of,
)
from leo_telemetry_pipeline.span import InvalidSpan, Span

# Bounds the memory of one parsed span; a hundred values are usual.
MAX_SPAN_VALUES = 50_000
_STATUS = {1: "OK", 2: "ERROR", "STATUS_CODE_OK": "OK", "STATUS_CODE_ERROR": "ERROR", "OK": "OK", "ERROR": "ERROR"}
_KINDS = {
    given: kind
    for number, kind in conventions.KINDS.items()
    for given in (number, str(number), kind.upper(), f"SPAN_KIND_{kind.upper()}")
}
_decode = json.JSONDecoder().decode
_HEX = re.compile("[0-9a-fA-F]*", re.ASCII).fullmatch
# Kinds of AnyValue; bytes are base64 in JSON and stay so.
_PLAIN = frozenset(("stringValue", "boolValue", "bytesValue", "string_value", "bool_value", "bytes_value"))
_WHOLE = frozenset(("intValue", "int_value"))
_DOUBLE = frozenset(("doubleValue", "double_value"))
_ARRAY = frozenset(("arrayValue", "array_value"))
_MANY = _ARRAY | {"kvlistValue", "kvlist_value"}
_UNKNOWN = object()


def read_json(body: bytes, *, project: str = "", policy: redact.Policy) -> Read:
    """Return the spans of an OTLP/JSON request, redacted. Raise BadRequest or TooLarge for the whole request.

    ``project`` is the default for spans without one. Invalid spans are rejected one by one.
    """
    return whole_of(parts_of_json(body, project=project, policy=policy))


def parts_of_json(
    body: bytes, *, project: str = "", policy: redact.Policy, divert: Divert | None = None
) -> Generator[Read, None, None]:
    """Yield the result of read_json in parts that fit in memory. May raise BadRequest after some parts."""
    reading = Reading(project, foreign=policy.foreign, own=policy.own, resource=policy.resource, divert=divert)
    try:
        parts = parts_in(body)
    except NotJson as error:
        raise BadRequest(f"not OTLP/JSON: {error}") from None
    except field_names.UnknownNames as error:
        raise BadRequest(f"unknown form of OTLP/JSON: {error}") from None
    yield from read_parts(parts, reading, lambda raw: _resource(load(raw)), lambda raw: decode(load(raw)))


def spans_of(request: dict, reading: Reading) -> Iterator[Span | InvalidSpan]:
    """Yield each span of a parsed request, or the reason why it is invalid.

    If a part of the request cannot be read as a whole, one reason is yielded for it.
    """
    try:
        parts = _parts_of(request)
    except (InvalidSpan, field_names.UnknownNames) as error:
        parts = []
        yield InvalidSpan(str(error))
    for part in parts:
        try:
            resource = reading.resource(_resource(_dict(part, "resource")))
            spans = _spans_of_part(part)
        except (InvalidSpan, field_names.UnknownNames) as error:
            yield InvalidSpan(str(error))
            continue
        for span in spans:
            try:
                decoded = decode(span)
                if not reading.diverts(decoded, resource):
                    yield reading.make(decoded, resource)
            except InvalidSpan as error:
                yield error


def _parts_of(request: dict) -> list:
    parts, inner = [], request
    while isinstance(inner, dict):
        field_names.check(inner, field_names.IN_REQUEST, "the request", "resourceSpans")
        parts += [part for name in inner if name in field_names.REQUEST for part in _list(inner, name)]
        if not field_names.SCOPES.isdisjoint(inner):
            parts.append(inner)
        inner = inner.get(field_names.WRAPPER)
    return parts


def _spans_of_part(part: object) -> list:
    if not isinstance(part, dict):
        raise InvalidSpan("the parent of scopeSpans is not an object")
    field_names.check_part(part, field_names.SCOPES, field_names.IN_RESOURCE, "resourceSpans", "scopeSpans")
    spans = []
    for name in (key for key in part if key in field_names.SCOPES):
        for scope in _list(part, name):
            if isinstance(scope, dict):
                field_names.check_part(scope, field_names.SPANS, field_names.IN_SCOPE, "scopeSpans", "spans")
            spans += _list(scope, "spans")
    return spans


def decode(span: object) -> Decoded:
    """Decode a span in JSON. Raise InvalidSpan."""
    if not isinstance(span, dict):
        raise InvalidSpan("a span is not an object")
    try:
        span = field_names.of_span(span)
    except field_names.UnknownNames as error:
        raise InvalidSpan(str(error)) from None
    name = span.get("name")
    status = _dict(span, "status")
    code, message = status.get("code"), status.get("message")
    attributes, unknown, cut = _attributes(span.get("attributes"))
    return Decoded(
        name=name if isinstance(name, str) else "",
        trace_id=_id(span, "traceId", 32),
        span_id=_id(span, "spanId", 16),
        parent_id=_id(span, "parentSpanId", 16),
        start_ns=number(span.get("startTimeUnixNano"), "startTimeUnixNano") or 0,
        end_ns=number(span.get("endTimeUnixNano"), "endTimeUnixNano") or 0,
        attributes=attributes,
        status=_STATUS.get(code) if isinstance(code, int | str) else None,
        message=message if isinstance(message, str) else "",
        error_type=_error_type(span.get("events")),
        cut=cut,
        unknown=unknown,
        kind=_KINDS.get(kind) if isinstance(kind := span.get("kind"), int | str) else None,
    )


def values(body: bytes) -> int:
    """Return an upper bound of the number of values in JSON."""
    return body.count(b",") + body.count(b"{") + body.count(b"[") + body.count(b'"') // 2


def load(raw: bytes | memoryview) -> object:
    """Parse a slice of a request. Raise InvalidSpan, or BadRequest if it is not JSON at all."""
    # Nearly all spans have fewer bytes than this, so their values need not be counted.
    raw = bytes(raw)
    if len(raw) > MAX_SPAN_VALUES and values(raw) > MAX_SPAN_VALUES:
        raise InvalidSpan(f"a span has more than {MAX_SPAN_VALUES} values")
    try:
        return _decode(raw.decode())
    except RecursionError:
        raise InvalidSpan("nested too deep") from None
    except UnicodeDecodeError:
        raise InvalidSpan("not UTF-8") from None
    except json.JSONDecodeError as error:
        # The end of the span is unknown, so the rest cannot be read either.
        raise BadRequest(f"not OTLP/JSON: {error.msg.lower()}") from None
    except ValueError:
        raise InvalidSpan("a number is too long") from None


def _resource(resource: object) -> dict:
    if resource is None:
        return {}
    if not isinstance(resource, dict):
        raise InvalidSpan("resource is not an object")
    return _attributes(resource.get("attributes"))[0]


def _id(span: dict, name: str, digits: int) -> str:
    value = span.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidSpan(f"{name} is not {digits} hex digits")
    if _HEX(value) and len(value) == digits:
        return value.lower()
    decoded = _base64(value, digits)
    if decoded is None and not _HEX(value):
        raise InvalidSpan(f"{name} is not {digits} hex digits")
    return decoded or value.lower()


def _base64(value: str, digits: int) -> str | None:
    """Return the hex digits of a base64 id, as written by protobuf's JSON mapping and by Tempo; None for others."""
    bare = value.rstrip("=")
    # The length of a base64 id differs from that of a hex id.
    if len(bare) != (digits * 4 + 5) // 6 or len(value) > len(bare) + 2:
        return None
    try:
        return base64.b64decode(
            bare + "=" * (-len(bare) % 4), altchars=b"-_" if "-" in bare or "_" in bare else None, validate=True
        ).hex()
    except (binascii.Error, ValueError):
        return None


def _error_type(events: object) -> str:
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict) and event.get("name") == "exception":
            kind = _attributes(event.get("attributes"))[0].get("exception.type")
            if isinstance(kind, str):
                return kind
    return ""


def _attributes(pairs: object) -> tuple[dict, int, int]:
    """Return attributes, the number with a value of unknown kind, and the number beyond the limit."""
    if pairs is None:
        return {}, 0, 0
    if not isinstance(pairs, list):
        raise InvalidSpan("attributes is not a list")
    attributes, unknown = {}, 0
    for pair in pairs[:MAX_ATTRIBUTES]:
        key = pair.get("key", "") if isinstance(pair, dict) else None
        if not isinstance(key, str):
            raise InvalidSpan("an attribute has no key")
        given = pair.get("value")
        if type(given) is dict and len(given) == 1 and "stringValue" in given:
            # Most values are text.
            attributes[key] = given["stringValue"]
        elif (value := _value(given, 1)) is _UNKNOWN:
            unknown += 1
        else:
            attributes[key] = value
    return attributes, unknown, max(0, len(pairs) - MAX_ATTRIBUTES)


def _value(value: object, depth: int):
    """Return the content of an AnyValue, None if empty, _UNKNOWN for an unknown kind."""
    if not isinstance(value, dict):
        return None if value is None else _UNKNOWN
    for kind, content in value.items():
        if kind in _PLAIN:
            return content
        if kind in _WHOLE:
            return number(content, "intValue")
        if kind in _DOUBLE:
            return _double(content)
        if kind in _MANY:
            return _many(kind, _list(content or {}, "values")[:MOST], depth) if depth <= redact.MAX_DEPTH else "…"
    return _UNKNOWN if value else None


def _many(kind: str, values: list, depth: int) -> list | dict:
    if kind in _ARRAY:
        return [_known(item, depth) for item in values]
    pairs = [pair for pair in values if isinstance(pair, dict)]
    return {str(pair.get("key", "")): _known(pair.get("value"), depth) for pair in pairs}


def _known(value: object, depth: int):
    content = _value(value, depth + 1)
    return None if content is _UNKNOWN else content


def _double(content: object) -> float | None:
    if content is None:
        return None
    try:
        return float(content)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise InvalidSpan("doubleValue is not a number") from None


def _dict(holder: object, name: str) -> dict:
    value = holder.get(name) if isinstance(holder, dict) else None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidSpan(f"{name} is not an object")
    return value


def _list(holder: object, name: str) -> list:
    if not isinstance(holder, dict):
        raise InvalidSpan(f"the parent of {name} is not an object")
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidSpan(f"{name} is not a list")
    return value
