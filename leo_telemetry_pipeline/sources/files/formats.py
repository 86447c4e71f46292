"""Detection of the format of a JSON object.

Belongs here: the table of supported formats. Does not: converting formats (zipkin, jaeger, otlp), unsupported ones
(unsupported), reading files (reader).
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
    """A supported format: how to recognize an object, and its conversion to OTLP/JSON trace requests.

    ``clock`` is its time field and unit, which a column map cannot change.
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


# To add a format, write a module and add a line here.
SHAPES = (
    Shape("OTLP", otlp.is_trace_request, _itself, "startTimeUnixNano:ns"),
    Shape("resource spans of OpenTelemetry", _is_bare, _bare, "startTimeUnixNano:ns"),
    Shape("Zipkin v2", zipkin.is_span, zipkin.requests, "timestamp:us"),
    Shape("Jaeger", jaeger.is_download, jaeger.requests, "startTime:us"),
    Shape("a Jaeger trace", jaeger.is_trace, jaeger.requests, "startTime:us"),
    Shape("a Jaeger span", jaeger.is_span, jaeger.requests, "startTime:us"),
)


def shape_of(value: dict) -> Shape | None:
    """Return the format of an object that is not a row, None if unknown."""
    return next((shape for shape in SHAPES if shape.is_one(value)), None)


def is_other_signal(value: dict) -> bool:
    """Return whether an object carries OpenTelemetry logs or metrics."""
    return otlp.is_other_signal(value) or any(
        key in value for key in ("scopeLogs", "scopeMetrics", "scope_logs", "scope_metrics", "resource_logs")
    )


def unwrapped(value: dict) -> dict:
    """Return the request inside the wrapper of a receiver's log or a query service."""
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
# Start of a row: up to 20 members with plain values, then an id. The text must also name a column in _ROW.
_ROW_TEXT = re.compile(
    r'[\s\ufeff,\[]*\{\s*(?:"[\w.]+"\s*:\s*(?:"[^"\\]{0,300}"|[-+.0-9eE]+|true|false|null)\s*,\s*){0,20}'
    r'"(?:trace|span)_id"\s*:'
).match


def is_span(value: object) -> bool:
    """Return whether a value is a span, possibly an invalid one, rather than something else."""
    if isinstance(value, list):
        return any(map(is_span, value))
    if not isinstance(value, dict):
        return False
    value = unwrapped(value)
    return shape_of(value) is not None or (bool(_ROW & value.keys()) and any(map(_SPAN_ID, map(str, value))))


def is_text_of_span(text: str) -> bool:
    """Return whether text that is not valid JSON starts like a row."""
    return _ROW_TEXT(text) is not None and any(f'"{name}"' in text for name in _ROW)


def holds_spans(value: object, depth: int = 12) -> bool:
    """Return whether any key within a value looks like a span or trace id."""
    if isinstance(value, dict):
        return any(_SPAN_ID(str(key)) or (depth > 0 and holds_spans(inner, depth - 1)) for key, inner in value.items())
    return isinstance(value, list) and depth > 0 and any(holds_spans(inner, depth - 1) for inner in value)


def keys(value: object) -> str:
    """Return the keys of an object, safe to store."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), None)
    if not isinstance(value, dict):
        return ""
    # A field name is one word; a sentence may be private text.
    shown = [redact.text(str(key)) if _FIELD(str(key)) else "…" for key in list(value)[:_MOST_KEYS]]
    return ", ".join([*shown, "…"] if len(value) > _MOST_KEYS else shown)
