"""OTLP reader: public functions that convert trace requests to spans.

Belongs here: the functions that receiver and file reader call. Does not: the two encodings (otlp_json, otlp_protobuf),
converting spans (otlp_span), HTTP (web) and files (files).
"""

from collections.abc import Generator, Iterator

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.otlp import field_names
from leo_telemetry_pipeline.sources.otlp.json_cursor import NotJson
from leo_telemetry_pipeline.sources.otlp.otlp_json import parts_of_json, read_json, spans_of
from leo_telemetry_pipeline.sources.otlp.otlp_json_parts import check_metrics
from leo_telemetry_pipeline.sources.otlp.otlp_span import BadRequest, Divert, Read, Reading, TooLarge
from leo_telemetry_pipeline.span import InvalidSpan, Span

__all__ = [
    "BadRequest",
    "Read",
    "TooLarge",
    "check_metrics_json",
    "is_other_signal",
    "is_trace_request",
    "parts_of_json",
    "parts_of_protobuf",
    "read_json",
    "read_protobuf",
    "spans_from_request",
]


def read_protobuf(body: bytes, *, project: str = "", policy: redact.Policy) -> Read:
    """Return the spans of an OTLP/protobuf request, like read_json."""
    # Imported here because reading files does not need protobuf, which takes 50 ms to import.
    from leo_telemetry_pipeline.sources.otlp import otlp_protobuf

    return otlp_protobuf.read_protobuf(body, project=project, policy=policy)


def parts_of_protobuf(
    body: bytes, *, project: str = "", policy: redact.Policy, divert: Divert | None = None
) -> Generator[Read, None, None]:
    """Yield the spans of an OTLP/protobuf request in parts, like parts_of_json."""
    from leo_telemetry_pipeline.sources.otlp import otlp_protobuf

    return otlp_protobuf.parts_of_protobuf(body, project=project, policy=policy, divert=divert)


def check_metrics_json(body: bytes) -> None:
    """Raise BadRequest if the body is not JSON or carries a signal other than metrics."""
    try:
        check_metrics(body)
    except NotJson as error:
        raise BadRequest(f"not OTLP/JSON: {error}") from None


def is_trace_request(value: dict) -> bool:
    """Return whether an object is a trace request, in any spelling that spans_from_request reads."""
    return field_names.is_trace_request(value)


def is_other_signal(request: dict) -> bool:
    """Return whether the request carries logs, metrics or profiles, which are not kept."""
    return not field_names.OTHER_SIGNALS.isdisjoint(request)


def spans_from_request(
    request: dict,
    project: str = "",
    policy: redact.Policy | None = None,
    removed: dict[str, int] | None = None,
    divert: Divert | None = None,
    notes: list[dict] | None = None,
) -> Iterator[Span | InvalidSpan]:
    """Yield each span of a parsed trace request from a file, redacted, or the reason why it is invalid.

    ``project`` is the default for spans without ``leo.project`` on the span or its resource. All attributes are kept
    except identities; those that ``policy`` removes are counted in ``removed``. If ``divert`` returns a note for a
    span, it is appended to ``notes`` instead.
    """
    policy = policy or redact.Policy()
    reading = Reading(project, foreign=policy.own, own=policy.own, resource=policy.resource, divert=divert)
    reading.removed = {} if removed is None else removed
    reading.notes = [] if notes is None else notes
    return spans_of(request, reading)
