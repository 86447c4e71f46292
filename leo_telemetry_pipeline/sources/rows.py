"""Conversion of a row (a line of JSON or CSV) to a Span: tolerant, but without guessing.

Belongs here: spellings of ids and attributes, and column names.
Does not: spellings of times (times), files, formats and lines (files), OTLP (otlp).
"""

import json
import re

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.span import COLUMNS, InvalidSpan, Span

REQUIRED = ("trace_id", "span_id", "span_type", "span_name", "start_time_ms")
# Set by the database; a dump of the table contains them.
_NOT_KEPT = frozenset(("id", "created_at"))
_KNOWN = frozenset(COLUMNS) | _NOT_KEPT
_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII).fullmatch
_HEX = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}", re.ASCII).fullmatch
_NO_ID = frozenset(("", "null", "none", "nil", "<nil>", "nan", "-", "\\n"))
_NO_PARENT = _NO_ID | {"root"}
_NO_IDENTITIES = redact.Policy()


def span_from_row(
    row: dict, project: str = "", policy: redact.Policy = _NO_IDENTITIES, removed: dict[str, int] | None = None
) -> Span:
    """Return the redacted span of a row of ``workflow_trace_log``.

    Unknown columns are kept as attributes, except ``id`` and ``created_at``. ``project`` is the default for rows
    without one. Attributes that ``policy`` removes are counted in ``removed``.
    Raise InvalidSpan, which names the column.
    """
    get = row.get
    # Check ids first: a row without ids is not a span at all, and the error should say so.
    trace_id, span_id = canonical_id(get("trace_id"), "trace_id"), canonical_id(get("span_id"), "span_id")
    attributes = attributes_of(get("attributes"))
    if not row.keys() <= _KNOWN:
        attributes = _with_unknown(row, attributes)
    start, end = get("start_time_ms"), get("end_time_ms")
    duration, queue_wait = get("duration_ms"), get("queue_wait_ms")
    rest_us = whole(get("duration_rest_us"), "duration_rest_us")
    if (
        type(start) is not int
        or (end is not None and type(end) is not int)
        or (duration is not None and type(duration) is not int)
        or (queue_wait is not None and type(queue_wait) is not int)
    ):
        start, end, duration, fraction_us, queue_wait = _times(row)
        rest_us = rest_us if fraction_us is None else fraction_us
    span = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=_parent(get("parent_span_id")),
        workflow_execution_id=_text(get("workflow_execution_id"), "workflow_execution_id"),
        sd_id=_text(get("sd_id"), "sd_id"),
        project=_text(get("project"), "project") or project,
        phase=_text(get("phase"), "phase"),
        gate_name=_text(get("gate_name"), "gate_name"),
        subagent_name=_text(get("subagent_name"), "subagent_name"),
        span_type=_name(get("span_type"), "span_type"),
        span_name=_name(get("span_name"), "span_name"),
        start_time_ms=start,
        end_time_ms=end,
        duration_ms=duration,
        duration_rest_us=rest_us,
        queue_wait_ms=queue_wait,
        status=_text(get("status"), "status"),
        attributes=policy.own(attributes, {} if removed is None else removed),
    )
    return redact.clean(span)


def canonical_id(value: object, name: str) -> str:
    """Return an id as a canonical UUID string, from any usual UUID spelling or W3C hex.

    The 16 hex digits of a W3C span id become the low 64 bits of a UUID with zero high bits.
    """
    if type(value) is str and _CANONICAL(value):
        return value
    if value is None or (isinstance(value, str) and value.strip().lower() in _NO_ID):
        raise InvalidSpan(f"{name} is missing")
    if not isinstance(value, str):
        raise InvalidSpan(f"{name} is a {type(value).__name__}, not a UUID")
    digits = value.strip().lower().removeprefix("urn:uuid:").strip("{}")
    if not _CANONICAL(digits) and not _HEX(digits):
        raise InvalidSpan(f"{name} is not a UUID: {redact.shown(value)}")
    digits = digits.replace("-", "").zfill(32)
    if not digits.strip("0"):
        raise InvalidSpan(f"{name} is all zeros")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def whole(value: object, name: str) -> int | None:
    """Return a number or its text as an integer, rounded half up; None for an empty value. Raise InvalidSpan."""
    if value is None or type(value) is int:
        return value
    # Imported here because the trace API writes integers, which need no parsing.
    from leo_telemetry_pipeline.sources import times

    exact = times.number(value, name)
    return None if exact is None else times.rounded(exact)


def attributes_of(value: object) -> dict:
    """Return attributes from an object, JSON text, or an empty value. Raise InvalidSpan."""
    if type(value) is dict:
        return value
    if value is None or (isinstance(value, str) and value.strip().lower() in _NO_ID):
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidSpan("attributes is not a JSON object") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidSpan(f"attributes is a {type(value).__name__}, not an object")
    return value


def _times(row: dict) -> tuple[int, int | None, int | None, int | None, int | None]:
    """Return start, end, duration and its rest, and queue wait."""
    from leo_telemetry_pipeline.sources import times

    start, end = (times.moment(row.get(name), name) for name in ("start_time_ms", "end_time_ms"))
    duration, queue_wait = (times.duration(row.get(name), name) for name in ("duration_ms", "queue_wait_ms"))
    if start is None:
        raise InvalidSpan("start_time_ms is missing")
    fraction_us = None if duration is None else times.rest_us(duration)
    if duration is None and end is not None and not (isinstance(start, int) and isinstance(end, int)):
        # Once truncated to milliseconds, start and end may be up to a millisecond further apart.
        duration = end - start
        fraction_us = times.rest_us(duration) or 0
    return (
        times.cut(start),
        None if end is None else times.cut(end),
        None if duration is None else times.rounded(duration),
        fraction_us,
        None if queue_wait is None else times.rounded(queue_wait),
    )


def _parent(value: object) -> str | None:
    if value is None:
        return None
    if type(value) is str and _CANONICAL(value):
        return value
    if isinstance(value, str) and (value.strip().lower() in _NO_PARENT or not value.strip("0-")):
        return None
    return canonical_id(value, "parent_span_id")


def _text(value: object, name: str) -> str | None:
    if value is None:
        return None
    if type(value) is str:
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bytes):
        raise InvalidSpan(f"{name} is not UTF-8")
    raise InvalidSpan(f"{name} is a {type(value).__name__}, not text")


def _name(value: object, name: str) -> str:
    if type(value) is str and value and not value.isspace():
        return value
    text = _text(value, name)
    if text is None or text.isspace():
        raise InvalidSpan(f"{name} is {'missing' if value is None else 'empty'}")
    return text


def _with_unknown(row: dict, attributes: dict) -> dict:
    # Attributes take precedence over columns of the same name.
    unknown = {name: value for name, value in row.items() if name not in _KNOWN and value not in (None, "")}
    return {**unknown, **attributes}
