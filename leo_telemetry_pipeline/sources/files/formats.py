"""Which format a file or an object has: those that are read, and those that are only known by name.

Belongs here: the table of shapes that are read, one entry per format, and the names of the others with a remedy.
Does not: what a format means, which has a module of its own (zipkin, jaeger, otlp), or lines and files (reader).
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.files import jaeger, zipkin
from leo_telemetry_pipeline.sources.otlp import otlp

_MOST_KEYS = 20
_FIELD = re.compile(r"[\w.@$:/-]{1,60}").fullmatch


class Shape(NamedTuple):
    """A format of objects that are read: how to know one, and the trace requests in OTLP/JSON that it makes.

    ``clock`` names its field of times and the unit of it, which no column map can change.
    """

    name: str
    is_one: Callable[[dict], bool]
    requests: Callable[[dict], Iterator[dict | str]]
    clock: str


def _is_bare(value: dict) -> bool:
    return "resource" in value and any(key in value for key in ("scopeSpans", "scope_spans"))


def _bare(value: dict) -> Iterator[dict | str]:
    yield {"resourceSpans": [value]}


def _itself(value: dict) -> Iterator[dict | str]:
    yield value


# A new format is a module and a line here.
SHAPES = (
    Shape("OTLP", otlp.is_trace_request, _itself, "startTimeUnixNano:ns"),
    Shape("resource spans of OpenTelemetry", _is_bare, _bare, "startTimeUnixNano:ns"),
    Shape("Zipkin v2", zipkin.is_span, zipkin.requests, "timestamp:us"),
    Shape("Jaeger", jaeger.is_download, jaeger.requests, "startTime:us"),
    Shape("a Jaeger trace", jaeger.is_trace, jaeger.requests, "startTime:us"),
    Shape("a Jaeger span", jaeger.is_span, jaeger.requests, "startTime:us"),
)


def shape_of(value: dict) -> Shape | None:
    """Return the format of an object that holds spans in another shape than a row."""
    return next((shape for shape in SHAPES if shape.is_one(value)), None)


def is_other_signal(value: dict) -> bool:
    """Say whether an object carries logs or metrics of OpenTelemetry."""
    return otlp.is_other_signal(value) or any(
        key in value for key in ("scopeLogs", "scopeMetrics", "scope_logs", "scope_metrics", "resource_logs")
    )


def unwrapped(value: dict) -> dict:
    """Return the request within what a receiver's log or a query service put around it."""
    if "trace_id" in value:
        return value
    for name in ("body", "trace", "result"):
        inner = value.get(name)
        if isinstance(inner, str) and name == "body":
            try:
                inner = json.loads(inner)
            except (ValueError, RecursionError):
                return value
        if isinstance(inner, dict) and (name == "body" or shape_of(inner)):
            return inner or {"resourceSpans": []}
    return value


_SPAN_ID = re.compile(r"(?i)\b(?:trace|span)_?id$").search
_ROW = frozenset(("span_type", "span_name", "start_time_ms", "end_time_ms", "duration_ms"))
# Plain members, the first id among them, and somewhere a column that only a row of ours has.
_ROW_TEXT = re.compile(
    r'[\s\ufeff,\[]*\{\s*(?:"[\w.]+"\s*:\s*(?:"[^"\\]{0,300}"|[-+.0-9eE]+|true|false|null)\s*,\s*){0,20}'
    r'"(?:trace|span)_id"\s*:'
).match


def is_span(value: object) -> bool:
    """Say whether a value is a span, perhaps one with a defect, rather than something else altogether."""
    if isinstance(value, list):
        return any(map(is_span, value))
    if not isinstance(value, dict):
        return False
    value = unwrapped(value)
    return shape_of(value) is not None or (bool(_ROW & value.keys()) and any(map(_SPAN_ID, map(str, value))))


def is_text_of_span(text: str) -> bool:
    """Say whether text that is not JSON, or no longer, began as a row."""
    return _ROW_TEXT(text) is not None and any(f'"{name}"' in text for name in _ROW)


def holds_spans(value: object, depth: int = 12) -> bool:
    """Say whether anything within a value is named like the id of a span."""
    if isinstance(value, dict):
        return any(_SPAN_ID(str(key)) or (depth > 0 and holds_spans(each, depth - 1)) for key, each in value.items())
    return isinstance(value, list) and depth > 0 and any(holds_spans(each, depth - 1) for each in value)


def keys(value: object) -> str:
    """Return the names of an object's keys as they may be stored."""
    if isinstance(value, list):
        value = next((each for each in value if isinstance(each, dict)), None)
    if not isinstance(value, dict):
        return ""
    # A name of a field is one word; a sentence is what somebody wrote.
    shown = [redact.text(str(key)) if _FIELD(str(key)) else "…" for key in list(value)[:_MOST_KEYS]]
    return ", ".join([*shown, "…"] if len(value) > _MOST_KEYS else shown)
