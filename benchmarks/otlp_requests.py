"""OTLP requests in both encodings, like those of exporters.

Belongs here: generating bodies by number of spans and attributes. Does not: sending, measuring.
"""

import json
import random
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

JSON, PROTOBUF = "application/json", "application/x-protobuf"
# Mostly from the semantic conventions; the receiver keeps most of them.
_KEYS = (
    *("http.request.method", "http.response.status_code", "http.route", "url.scheme", "server.address", "server.port"),
    *("network.protocol.version", "db.system.name", "db.operation.name", "db.collection.name", "rpc.system"),
    *("rpc.service", "rpc.method", "messaging.system", "messaging.destination.name", "error.type", "thread.id"),
    *("thread.name", "code.function.name", "code.namespace", "gen_ai.request.model", "gen_ai.usage.input_tokens"),
    *("gen_ai.usage.output_tokens", "gen_ai.response.id", "url.full", "user_agent.original", "client.address"),
    *("db.query.text", "leo.sd_type", "leo.gate_score", "leo.retry_attempt", "session.id", "tool_name", "model"),
    *("attempt", "success", "duration_ms", "input_tokens", "body_bytes", "retry_count"),
)
MOST_ATTRIBUTES = len(_KEYS)
_NUMBERS = ("_code", ".port", ".id", "_tokens", "_score", "attempt", "_ms", "_bytes", "_count")


def values(rng: random.Random, count: int) -> dict[str, str | int]:
    """Return ``count`` attributes of one span."""
    return {
        key: rng.randrange(600) if key.endswith(_NUMBERS) else f"{key.rpartition('.')[2]}-{rng.randrange(10_000):x}"
        for key in _KEYS[:count]
    }


def body(seed: int, spans: int, attributes: int, form: str = PROTOBUF) -> bytes:
    """Return a request with ten spans per trace; each seed has other traces."""
    rng = random.Random(seed)
    start, trace = time.time_ns() - 3600 * 10**9, b""
    made = ExportTraceServiceRequest()
    part = made.resource_spans.add()
    name = part.resource.attributes.add(key="service.name")
    name.value.string_value = "shop"
    into = part.scope_spans.add().spans
    for number in range(spans):
        trace = rng.randbytes(16) if number % 10 == 0 else trace
        begins = start + rng.randrange(3 * 10**12)
        span = into.add(
            trace_id=trace,
            span_id=rng.randbytes(8),
            name=f"GET /{number % 25}",
            kind=2,
            start_time_unix_nano=begins,
            end_time_unix_nano=begins + rng.randrange(10**9),
        )
        for key, value in values(rng, attributes).items():
            pair = span.attributes.add(key=key)
            if isinstance(value, int):
                pair.value.int_value = value
            else:
                pair.value.string_value = value
    return made.SerializeToString() if form == PROTOBUF else in_json(made)


def in_json(made: ExportTraceServiceRequest) -> bytes:
    """Return a request as OTLP/JSON."""
    parts = []
    for part in made.resource_spans:
        scopes = [{"spans": [_span(span) for span in scope.spans]} for scope in part.scope_spans]
        parts.append({"resource": {"attributes": _pairs(part.resource.attributes)}, "scopeSpans": scopes})
    return json.dumps({"resourceSpans": parts}, separators=(",", ":")).encode()


def _span(span) -> dict:
    return {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_time_unix_nano),
        "endTimeUnixNano": str(span.end_time_unix_nano),
        "attributes": _pairs(span.attributes),
    }


def _pairs(attributes) -> list[dict]:
    return [
        {
            "key": pair.key,
            "value": {"stringValue": pair.value.string_value}
            if pair.value.WhichOneof("value") == "string_value"
            else {"intValue": str(pair.value.int_value)},
        }
        for pair in attributes
    ]
