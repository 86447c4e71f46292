"""OTLP/JSON: what is written in JSON becomes decoded spans.

Belongs here: the shape of a trace request in JSON, whole or one span at a time.
Does not: finding the spans in bytes (json_slices), HTTP (web), files (files), or what spans are called (conventions).
Ids are hex in OTLP/JSON, which protobuf's own JSON reader takes for base64: hence no protobuf here.
"""

import json
import re
from collections.abc import Iterator

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.collect.json_slices import Cursor, NotJson
from leo_telemetry_pipeline.collect.otlp_span import (
    MAX_ATTRIBUTES,
    MAX_PARTS,
    MAX_SPANS,
    MOST,
    BadRequest,
    Decoded,
    Part,
    Read,
    Reading,
    TooLarge,
    number,
    read_parts,
)
from leo_telemetry_pipeline.span import InvalidSpan, Span

# A hundred values a span are usual. More of them only cost time, and those of one span memory.
MAX_VALUES = 2_000_000
MAX_SPAN_VALUES = 50_000
_STATUS = {1: "OK", 2: "ERROR", "STATUS_CODE_OK": "OK", "STATUS_CODE_ERROR": "ERROR"}
_HEX = re.compile("[0-9a-fA-F]*", re.ASCII).fullmatch
_NOTHING = memoryview(b"{}")


def read_json(body: bytes, *, project: str = "", policy: redact.Policy) -> Read:
    """Return the spans of an OTLP/JSON request, redacted. Raise BadRequest or TooLarge for the whole of it.

    ``project`` is for spans that name none. Spans that are none by themselves are rejected one by one.
    """
    if _values(body) > MAX_VALUES:
        raise TooLarge(f"more than {MAX_VALUES} values in one request")
    reading = Reading(project, foreign=policy.foreign, own=policy.own, resource=policy.resource)
    try:
        return read_parts(_parts(body), reading, lambda raw: _resource(_load(raw)), lambda raw: decode(_load(raw)))
    except NotJson as error:
        raise BadRequest(f"not OTLP/JSON: {error}") from None


def spans_of(request: dict, reading: Reading) -> Iterator[Span | InvalidSpan]:
    """Yield a span for each in a request that was read already, or why it is none.

    Where a whole part of the request cannot be read, one reason stands for that part.
    """
    try:
        parts = _list(request, "resourceSpans")
    except InvalidSpan as error:
        parts = []
        yield error
    for part in parts:
        try:
            resource = reading.resource(_resource(_dict(part, "resource")))
            spans = [span for scope in _list(part, "scopeSpans") for span in _list(scope, "spans")]
        except InvalidSpan as error:
            yield error
            continue
        for span in spans:
            try:
                yield reading.make(decode(span), resource)
            except InvalidSpan as error:
                yield error


def decode(span: object) -> Decoded:
    """Return what a span in JSON says. Raise InvalidSpan."""
    if not isinstance(span, dict):
        raise InvalidSpan("a span is no object")
    name = span.get("name")
    status = _dict(span, "status")
    code, message = status.get("code"), status.get("message")
    attributes, cut = _attributes(span.get("attributes"))
    return Decoded(
        name=name if isinstance(name, str) else "",
        trace_id=_hex(span, "traceId"),
        span_id=_hex(span, "spanId"),
        parent_id=_hex(span, "parentSpanId"),
        start_ns=number(span.get("startTimeUnixNano"), "startTimeUnixNano") or 0,
        end_ns=number(span.get("endTimeUnixNano"), "endTimeUnixNano") or 0,
        attributes=attributes,
        status=_STATUS.get(code) if isinstance(code, int | str) else None,
        message=message if isinstance(message, str) else "",
        error_type=_error_type(span.get("events")),
        cut=cut,
    )


def _parts(body: bytes) -> list[Part]:
    # All spans are counted before the first of them becomes an object.
    cursor, parts, counts = Cursor(body), [], [MAX_PARTS, MAX_SPANS]
    if not cursor.is_object():
        raise NotJson("it is no object")
    for key in cursor.members():
        if key in ("resourceLogs", "resourceMetrics"):
            raise BadRequest(f"{key} are not traces: send only those to this address")
        if key != "resourceSpans":
            cursor.value()
        elif not cursor.is_null():
            for _ in cursor.elements():
                parts.append(_part(cursor, counts))
    cursor.finish()
    return parts


def _part(cursor: Cursor, counts: list[int]) -> Part:
    resource, spans = _NOTHING, []
    _count(counts, 0)
    for key in cursor.members():
        if key == "resource":
            resource = cursor.value()
        elif key != "scopeSpans":
            cursor.value()
        elif not cursor.is_null():
            for _ in cursor.elements():
                _count(counts, 0)
                _scope(cursor, counts, spans)
    return resource, spans


def _scope(cursor: Cursor, counts: list[int], spans: list[memoryview]) -> None:
    for key in cursor.members():
        if key != "spans":
            cursor.value()
        elif not cursor.is_null():
            for _ in cursor.elements():
                _count(counts, 1)
                spans.append(cursor.value())


def _count(counts: list[int], which: int) -> None:
    counts[which] -= 1
    if counts[which] < 0:
        raise TooLarge(f"more than {MAX_SPANS} spans" if which else f"more than {MAX_PARTS} resources and scopes")


def _values(body: bytes) -> int:
    return body.count(b",") + body.count(b"{") + body.count(b"[") + body.count(b'"') // 2


def _load(raw: bytes) -> object:
    # There cannot be more values than bytes, so nearly every span needs no counting.
    if len(raw) > MAX_SPAN_VALUES and _values(raw) > MAX_SPAN_VALUES:
        raise InvalidSpan(f"a span has more than {MAX_SPAN_VALUES} values")
    try:
        return json.loads(raw.decode())
    except RecursionError:
        raise InvalidSpan("nested too deep") from None
    except UnicodeDecodeError:
        raise InvalidSpan("not UTF-8") from None
    except json.JSONDecodeError as error:
        # Where one span ends is known no more.
        raise BadRequest(f"not OTLP/JSON: {error.msg.lower()}") from None
    except ValueError:
        raise InvalidSpan("a number is too long") from None


def _resource(resource: object) -> dict:
    if resource is None:
        return {}
    if not isinstance(resource, dict):
        raise InvalidSpan("resource is no object")
    return _attributes(resource.get("attributes"))[0]


def _hex(span: dict, name: str) -> str:
    value = span.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not _HEX(value):
        raise InvalidSpan(f"{name} is not {32 if name == 'traceId' else 16} hex digits")
    return value.lower()


def _error_type(events: object) -> str:
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict) and event.get("name") == "exception":
            kind = _attributes(event.get("attributes"))[0].get("exception.type")
            if isinstance(kind, str):
                return kind
    return ""


def _attributes(pairs: object) -> tuple[dict, int]:
    if pairs is None:
        return {}, 0
    if not isinstance(pairs, list):
        raise InvalidSpan("attributes is no list")
    attributes = {}
    for pair in pairs[:MAX_ATTRIBUTES]:
        key = pair.get("key", "") if isinstance(pair, dict) else None
        if not isinstance(key, str):
            raise InvalidSpan("an attribute has no key")
        attributes[key] = _value(pair.get("value"), 1)
    return attributes, max(0, len(pairs) - MAX_ATTRIBUTES)


def _value(value: object, depth: int):
    for kind, content in value.items() if isinstance(value, dict) else ():
        # Bytes are base64 text in JSON, and stay so.
        if kind in ("stringValue", "boolValue", "bytesValue"):
            return content
        if kind == "intValue":
            return number(content, "intValue")
        if kind == "doubleValue":
            return _double(content)
        if kind in ("arrayValue", "kvlistValue"):
            return _many(kind, _list(content or {}, "values")[:MOST], depth) if depth <= redact.MAX_DEPTH else "…"
    return None


def _many(kind: str, values: list, depth: int) -> list | dict:
    if kind == "arrayValue":
        return [_value(item, depth + 1) for item in values]
    pairs = [pair for pair in values if isinstance(pair, dict)]
    return {str(pair.get("key", "")): _value(pair.get("value"), depth + 1) for pair in pairs}


def _double(content: object) -> float | None:
    if content is None:
        return None
    try:
        return float(content)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise InvalidSpan("doubleValue is no number") from None


def _dict(holder: object, name: str) -> dict:
    value = holder.get(name) if isinstance(holder, dict) else None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidSpan(f"{name} is no object")
    return value


def _list(holder: object, name: str) -> list:
    if not isinstance(holder, dict):
        raise InvalidSpan(f"what holds {name} is no object")
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidSpan(f"{name} is no list")
    return value
