"""OTLP requests read at once, where the receiver reads them in parts."""

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.otlp import otlp, otlp_protobuf
from leo_telemetry_pipeline.sources.otlp.otlp_span import Read, whole_of


def read_json(body: bytes, *, policy: redact.Policy, project: str = "") -> Read:
    """Return the spans of a request in JSON."""
    return whole_of(otlp.parts_of_json(body, project=project, policy=policy))


def read_protobuf(body: bytes, *, policy: redact.Policy, project: str = "") -> Read:
    """Return the spans of a request in protobuf."""
    return whole_of(otlp_protobuf.parts_of_protobuf(body, project=project, policy=policy))
