"""OTLP requests as they are posted, in protobuf and in JSON."""

import json
import struct
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from leo_telemetry_pipeline.redact import Policy
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.sources.otlp.otlp import Read

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


SPAN_JSON = in_json(request(wire_span({"k": "v"})))
