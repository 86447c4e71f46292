"""Conversion of operations to spans.

Belongs here: turning any values of a program into columns of a Span. Does not: redaction (redact), delivery (writer).
"""

from __future__ import annotations

from leo_telemetry_pipeline.span import LATEST_MS, RESERVED_TYPES, Span, lasted
from leo_telemetry_pipeline.tracing.context import uuid_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from leo_telemetry_pipeline.tracing.operation import Operation

_MS = 1_000_000


def to_span(operation: Operation) -> Span:
    """Return the span of an operation, without an end while it runs; never raise.

    Times are in whole milliseconds; the duration also has microseconds. Invalid names and times become valid ones.
    """
    start_ms = min(max(operation.start_ns // _MS, 0), LATEST_MS)
    duration_ms = rest_us = None
    if operation.duration_ns is not None:
        duration_ms, rest_us = lasted(min(operation.duration_ns, (LATEST_MS - start_ms) * _MS))
    return Span(
        trace_id=uuid_text(operation.trace_id),
        span_id=uuid_text(operation.span_id),
        parent_span_id=uuid_text(operation.parent_id) if operation.parent_id else None,
        workflow_execution_id=_text(operation.workflow_execution_id),
        sd_id=_text(operation.sd_id),
        project=_text(operation.project) or "",
        span_type=_type(operation.span_type),
        span_name=_text(operation.span_name) or "unnamed",
        start_time_ms=start_ms,
        end_time_ms=None if duration_ms is None else start_ms + duration_ms,
        duration_ms=duration_ms,
        duration_rest_us=rest_us,
        queue_wait_ms=operation.queue_wait_ms,
        status=None if duration_ms is None else operation.status,
        attributes=operation.attributes.copy(),
    )


def _text(value: object) -> str | None:
    if value is None:
        return None
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 __str__ of the program may raise anything
        text = f"<{type(value).__name__}>"
    return text if text and not text.isspace() else None


def _type(value: object) -> str:
    word = (_text(value) or "span").strip().lower().replace("+", "_")
    return f"{word}_span" if word in RESERVED_TYPES else word
