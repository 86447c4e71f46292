"""Conversion of Zipkin v2 JSON (API and reporters) to trace requests, one span per object.

Belongs here: Zipkin's fields. Does not: converting requests to spans (otlp), finding objects in files (reader).

Client and server may share a span id. Both halves are kept: the server's half gets an id derived from the shared one,
and the client's half as its parent.
"""

import hashlib
from collections.abc import Iterator
from typing import TypeGuard

# Status codes as OpenTelemetry's Zipkin exporters write them.
_STATUS = {"OK": 1, "ERROR": 2}


def is_span(value: dict) -> bool:
    """Return whether an object is a Zipkin v2 span."""
    is_v1 = "binaryAnnotations" in value
    return "traceId" in value and "id" in value and not is_v1 and not {"spanId", "trace_id"} & value.keys()


def requests(value: dict) -> Iterator[dict | str]:
    """Yield the span as an OTLP/JSON trace request, or the reason why it is invalid."""
    start, took = value.get("timestamp"), value.get("duration")
    if not is_count(start):
        yield f"Zipkin: timestamp is {'missing' if start is None else 'not a number of microseconds'}"
        return
    if took is not None and not is_count(took):
        yield "Zipkin: duration is not a number of microseconds"
        return
    trace_id, span_id, parent_id = (text(value.get(name)) for name in ("traceId", "id", "parentId"))
    span_id, parent_id = (digits and digits.rjust(16, "0") for digits in (span_id, parent_id))
    if value.get("shared") is True:
        span_id, parent_id = server_half(trace_id, span_id), span_id
    span = {
        "traceId": trace_id.rjust(32, "0") if trace_id else "",
        "spanId": span_id,
        "parentSpanId": parent_id,
        "name": text(value.get("name")) or "unknown",
        "startTimeUnixNano": start * 1_000,
        "endTimeUnixNano": (start + took) * 1_000 if took is not None else 0,
        "attributes": attributes_of(_tags(value)),
        "status": _status(value.get("tags")),
    }
    yield as_request(service(value.get("localEndpoint")), [span])


def server_half(trace_id: str, span_id: str) -> str:
    """Return the id of the server's half of a shared span; deterministic, so that it can be imported again."""
    return hashlib.sha256(f"{trace_id.zfill(32)} {span_id} server".lower().encode()).hexdigest()[:16]


def as_request(service: str, spans: list[dict]) -> dict:
    """Return a trace request with the spans of one service."""
    resource = {"attributes": attributes_of({"service.name": service} if service else None)}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}


def attributes_of(tags: object) -> list[dict]:
    """Return tags as OTLP/JSON attributes."""
    pairs = tags.items() if isinstance(tags, dict) else ()
    return [{"key": str(key), "value": {_kind(value): value}} for key, value in pairs]


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolValue"
    if isinstance(value, int):
        return "intValue"
    return "doubleValue" if isinstance(value, float) else "stringValue"


def _tags(value: dict) -> dict:
    tags, kind = value.get("tags"), text(value.get("kind"))
    return {**(tags if isinstance(tags, dict) else {}), **({"span.kind": kind.lower()} if kind else {})}


def _status(tags: object) -> dict:
    if not isinstance(tags, dict):
        return {}
    code = _STATUS.get(str(tags.get("otel.status_code", "")).upper())
    # In Zipkin, the tag marks a failure whatever its value, but some reporters write "false" for success.
    error = tags.get("error")
    if code is None and error is not None and str(error).lower() != "false":
        return {"code": 2, "message": "" if str(error).lower() == "true" else str(error)}
    return {"code": code} if code else {}


def service(endpoint: object) -> str:
    """Return the service name of an endpoint or a Jaeger process, empty if missing."""
    return text(endpoint.get("serviceName")) if isinstance(endpoint, dict) else ""


def text(value: object) -> str:
    """Return a string as it is, and an empty one for any other value."""
    return value if isinstance(value, str) else ""


def is_count(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
