"""Zipkin v2 JSON becomes trace requests: one span per object, as Zipkin's API and its reporters write it.

Belongs here: the fields of Zipkin. Does not: what a request becomes (otlp), finding objects in files (reader).

Client and server may share one span id. Both are kept: the server's half gets an id made from the shared one, and the
client's half as its parent.
"""

import hashlib
from collections.abc import Iterator
from typing import TypeGuard

# What OpenTelemetry's exporters to Zipkin write for a status.
_STATUS = {"OK": 1, "ERROR": 2}


def is_span(value: dict) -> bool:
    """Say whether an object is a span of Zipkin v2."""
    is_v1 = "binaryAnnotations" in value
    return "traceId" in value and "id" in value and not is_v1 and not {"spanId", "trace_id"} & value.keys()


def requests(value: dict) -> Iterator[dict | str]:
    """Yield the span as a trace request in OTLP/JSON, or why it is not one."""
    start, took = value.get("timestamp"), value.get("duration")
    if not _is_count(start):
        yield f"Zipkin: timestamp is {'missing' if start is None else 'not a number of microseconds'}"
        return
    if took is not None and not _is_count(took):
        yield "Zipkin: duration is not a number of microseconds"
        return
    trace_id, span_id, parent_id = (_text(value.get(name)) for name in ("traceId", "id", "parentId"))
    span_id, parent_id = (digits and digits.rjust(16, "0") for digits in (span_id, parent_id))
    if value.get("shared") is True:
        span_id, parent_id = server_half(trace_id, span_id), span_id
    span = {
        "traceId": trace_id.rjust(32, "0") if trace_id else "",
        "spanId": span_id,
        "parentSpanId": parent_id,
        "name": _text(value.get("name")) or "unknown",
        "startTimeUnixNano": start * 1_000,
        "endTimeUnixNano": (start + took) * 1_000 if took is not None else 0,
        "attributes": attributes_of(_tags(value)),
        "status": _status(value.get("tags")),
    }
    yield as_request(_service(value.get("localEndpoint")), [span])


def server_half(trace_id: str, span_id: str) -> str:
    """Return the id of the server's half of a span whose id client and server share; the same at every reading."""
    return hashlib.sha256(f"{trace_id.zfill(32)} {span_id} server".lower().encode()).hexdigest()[:16]


def as_request(service: str, spans: list[dict]) -> dict:
    """Return spans of one service as a trace request."""
    resource = {"attributes": attributes_of({"service.name": service} if service else None)}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}


def attributes_of(tags: object) -> list[dict]:
    """Return tags as OTLP/JSON writes attributes."""
    pairs = tags.items() if isinstance(tags, dict) else ()
    return [{"key": str(key), "value": {_kind(value): value}} for key, value in pairs]


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolValue"
    if isinstance(value, int):
        return "intValue"
    return "doubleValue" if isinstance(value, float) else "stringValue"


def _tags(value: dict) -> dict:
    tags, kind = value.get("tags"), _text(value.get("kind"))
    return {**(tags if isinstance(tags, dict) else {}), **({"span.kind": kind.lower()} if kind else {})}


def _status(tags: object) -> dict:
    if not isinstance(tags, dict):
        return {}
    code = _STATUS.get(str(tags.get("otel.status_code", "")).upper())
    # Zipkin marks a failure by the tag alone, whatever it says; some write "false" for its absence.
    error = tags.get("error")
    if code is None and error is not None and str(error).lower() != "false":
        return {"code": 2, "message": "" if str(error).lower() == "true" else str(error)}
    return {"code": code} if code else {}


def _service(endpoint: object) -> str:
    return _text(endpoint.get("serviceName")) if isinstance(endpoint, dict) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
