"""Field names of a trace request in JSON, in all spellings that exporters and trace stores have used.

Belongs here: which keys carry spans, and errors for requests without them. Does not: reading their values (otlp_json).
"""

from collections.abc import Iterable

from leo_telemetry_pipeline import redact

# Tempo writes ``batches``; before 2022, OTLP had instrumentation libraries instead of scopes.
REQUEST = frozenset(("resourceSpans", "resource_spans", "batches"))
SCOPES = frozenset(
    ("scopeSpans", "scope_spans", "instrumentationLibrarySpans", "instrumentation_library_spans"),
)
SPANS = frozenset(("spans",))
# Tempo's v2 API wraps the request in one more object.
WRAPPER = "trace"
OTHER_SIGNALS = frozenset(
    ("resourceLogs", "resource_logs", "resourceMetrics", "resource_metrics", "resourceProfiles", "resource_profiles")
)
METRICS = frozenset(("resourceMetrics", "resource_metrics"))
IN_REQUEST = REQUEST | SCOPES | {WRAPPER}
IN_RESOURCE = SCOPES | {"resource", "schemaUrl", "schema_url"}
IN_SCOPE = SPANS | {"scope", "instrumentationLibrary", "instrumentation_library", "schemaUrl", "schema_url"}

_SPAN = {
    "trace_id": "traceId",
    "span_id": "spanId",
    "parent_span_id": "parentSpanId",
    "start_time_unix_nano": "startTimeUnixNano",
    "end_time_unix_nano": "endTimeUnixNano",
}
_SNAKE = frozenset(_SPAN)
_REQUIRED = frozenset(("traceId", "spanId", "startTimeUnixNano"))
_PLAIN = {name.lower(): name for name in _SPAN.values()}
_CARRIERS = frozenset(name.replace("_", "").lower() for name in (REQUEST - {"batches"}) | SCOPES)
_LONGEST = 60


class UnknownNames(ValueError):
    """A part of a request without any known field; the message names one of its fields and the expected one."""


def is_trace_request(value: dict) -> bool:
    """Return whether an object is a trace request, even with misspelled names: ``check`` can then name them."""
    if any(_plain(key) in _CARRIERS for key in value):
        return True
    inner = value.get(WRAPPER)
    if isinstance(inner, dict) and not REQUEST.isdisjoint(inner):
        return True
    batches = value.get("batches")
    return isinstance(batches, list) and all(
        isinstance(batch, dict) and not IN_RESOURCE.isdisjoint(batch) for batch in batches
    )


def check(keys: Iterable[str], known: frozenset[str], where: str, expected: str) -> None:
    """Raise UnknownNames if there are keys but none is known; a part without keys is valid."""
    keys = list(keys)
    if keys and known.isdisjoint(keys):
        raise UnknownNames(f"{where} has {redact.text(keys[0], _LONGEST)} where {expected} is expected")


def check_part(keys: Iterable[str], carriers: frozenset[str], known: frozenset[str], where: str, expected: str) -> None:
    """Raise UnknownNames if no key carries spans but an unknown one might."""
    keys = list(keys)
    if carriers.isdisjoint(keys):
        check((key for key in keys if key not in known), carriers, where, expected)


def of_span(span: dict) -> dict:
    """Return a span with OTLP/JSON's current field names. Raise UnknownNames for a misspelled one."""
    if span.keys() >= _REQUIRED and _SNAKE.isdisjoint(span):
        return span
    span = {_SPAN.get(key, key): value for key, value in span.items()}
    for key in span:
        name = _PLAIN.get(_plain(key))
        if name is not None and name not in span:
            raise UnknownNames(f"a span has {redact.text(key, _LONGEST)} where {name} is expected")
    return span


def _plain(key: object) -> str:
    return str(key).replace("_", "").replace("-", "").lower()
