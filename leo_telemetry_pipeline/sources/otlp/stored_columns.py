"""The columns of a stored span as an attribute, for what OTLP cannot express.

Belongs here: the attribute ``leo.stored_span``, which otlp_writer writes, and reading it. Does not: the rest of a span.

OTLP has ids of 16 digits, no duration apart from start and end, no open spans, and three kinds of status.
"""

from typing import Any

from leo_telemetry_pipeline.sources.otlp import conventions
from leo_telemetry_pipeline.sources.rows import canonical_id, whole
from leo_telemetry_pipeline.span import COLUMNS, InvalidSpan, Span

KEY = conventions.OURS + conventions.STORED
# Attributes beyond the number that a span may have in OTLP.
MORE = f"{conventions.STORED}.attributes"
_IDS = ("span_id", "parent_span_id")
_ELSEWHERE = frozenset(("trace_id", "start_time_ms", "attributes"))
_NUMBERS = frozenset(("end_time_ms", "duration_ms", "duration_rest_us", "queue_wait_ms"))


def of(span: Span) -> dict:
    """Return the columns that have a value, without those that OTLP has itself."""
    return {
        name: value for name in COLUMNS if name not in _ELSEWHERE and (value := getattr(span, name)) not in (None, "")
    }


def restored(trace_id: str, start_ns: int, stored: object, attributes: dict) -> Span:
    """Return the span of these columns and attributes. Raise InvalidSpan."""
    if not isinstance(stored, dict):
        raise InvalidSpan(f"{KEY} is not an object")
    more = attributes.pop(MORE, None)
    try:
        return Span(
            trace_id=canonical_id(trace_id, "traceId"),
            start_time_ms=start_ns // 1_000_000,
            attributes={**attributes, **more} if isinstance(more, dict) else attributes,
            **{name: _column(name, value) for name, value in stored.items() if name in COLUMNS},
        )
    except (InvalidSpan, TypeError):
        # The reason goes to the client and into logs, so it quotes no value.
        raise InvalidSpan(f"{KEY} does not have the columns of a span") from None


def _column(name: str, value: object) -> Any:
    if name in _IDS:
        return canonical_id(value, name)
    if name in _NUMBERS:
        return whole(value, name)
    if name in _ELSEWHERE or not isinstance(value, str):
        raise InvalidSpan(f"{name} is not text")
    return value
