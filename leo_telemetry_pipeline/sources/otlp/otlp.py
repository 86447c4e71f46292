"""A trace request becomes spans: the face of what reads OTLP.

Belongs here: what the receiver and the reader of files call.
Does not: the two encodings (otlp_json, otlp_protobuf), what spans become (otlp_span), HTTP (web) and files (files).
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
    """Return the spans of an OTLP/protobuf request, as read_json does for JSON."""
    # Reading files needs no protobuf, which takes 50 ms to import.
    from leo_telemetry_pipeline.sources.otlp import otlp_protobuf

    return otlp_protobuf.read_protobuf(body, project=project, policy=policy)


def parts_of_protobuf(
    body: bytes, *, project: str = "", policy: redact.Policy, divert: Divert | None = None
) -> Generator[Read, None, None]:
    """Yield the spans of an OTLP/protobuf request in parts, as parts_of_json does for JSON."""
    from leo_telemetry_pipeline.sources.otlp import otlp_protobuf

    return otlp_protobuf.parts_of_protobuf(body, project=project, policy=policy, divert=divert)


def check_metrics_json(body: bytes) -> None:
    """Raise BadRequest where the body is not JSON, or carries another signal than metrics, which are not kept."""
    try:
        check_metrics(body)
    except NotJson as error:
        raise BadRequest(f"not OTLP/JSON: {error}") from None


def is_trace_request(value: dict) -> bool:
    """Say whether an object is a trace request, in any of the spellings that spans_from_request reads."""
    return field_names.is_trace_request(value)


def is_other_signal(request: dict) -> bool:
    """Say whether the request carries logs or metrics, which are not kept."""
    return not field_names.OTHER_SIGNALS.isdisjoint(request)


def spans_from_request(
    request: dict,
    project: str = "",
    policy: redact.Policy | None = None,
    removed: dict[str, int] | None = None,
    divert: Divert | None = None,
    notes: list[dict] | None = None,
) -> Iterator[Span | InvalidSpan]:
    """Yield a storable span for each in a trace request of a file, or the reason why one of them is none.

    ``project`` is for spans that name none by ``leo.project``, themselves or through their resource.
    All attributes are kept but those that name a person, an account or an organization: what ``policy`` takes
    away is counted in ``removed``. Spans for which ``divert`` returns a note are none here: ``notes`` takes that.
    """
    policy = policy or redact.Policy()
    reading = Reading(project, foreign=policy.own, own=policy.own, resource=policy.resource, divert=divert)
    reading.removed = {} if removed is None else removed
    reading.notes = [] if notes is None else notes
    return spans_of(request, reading)
