"""OTLP/JSON encoder: stored spans as trace requests that any OpenTelemetry tool reads.

Belongs here: the structure of a request, and every column of a span in it, so that reading gives the same span.
Does not: files and streams (cli), columns that OTLP lacks (stored_columns).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

from leo_telemetry_pipeline.sources.otlp import conventions, stored_columns
from leo_telemetry_pipeline.sources.otlp.otlp_span import MAX_ATTRIBUTES
from leo_telemetry_pipeline.span import Span

SPANS_PER_REQUEST = 500
_SERVICE = "service.name"
_KINDS = {kind: number for number, kind in conventions.KINDS.items()}
_INTERNAL = 1
_STATUS = {"OK": 1, "ERROR": 2}
_NS = 1_000_000
# Two places are for our own attributes.
_MOST = MAX_ATTRIBUTES - 2


def requests_of(spans: Iterable[Span]) -> Iterator[dict]:
    """Yield trace requests of up to 500 spans each."""
    spans = iter(spans)
    while batch := list(islice(spans, SPANS_PER_REQUEST)):
        by_service: dict[str, list[Span]] = defaultdict(list)
        for span in batch:
            service = span.attributes.get(_SERVICE)
            by_service[service if isinstance(service, str) else ""].append(span)
        yield {"resourceSpans": [_of_service(*each) for each in by_service.items()]}


def _of_service(service: str, spans: list[Span]) -> dict:
    attributes = [_pair(_SERVICE, service)] if service else []
    return {"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [_span(span) for span in spans]}]}


def _span(span: Span) -> dict:
    attributes = list(span.attributes.items())
    pairs = [(stored_columns.KEY, stored_columns.of(span)), *((_key(key), value) for key, value in attributes[:_MOST])]
    if more := dict(attributes[_MOST:]):
        pairs.append((conventions.OURS + stored_columns.MORE, more))
    start = span.start_time_ms * _NS
    made = {
        "traceId": span.trace_id.replace("-", ""),
        "spanId": _short(span.span_id),
        # Readers refuse a blank name; ours takes the name from ``leo.stored_span``.
        "name": span.span_name if span.span_name.strip() else "(blank)",
        "kind": _kind(span),
        "startTimeUnixNano": str(start),
        "attributes": [_pair(key, value) for key, value in pairs],
        "status": {"code": _STATUS.get(span.status or "", 0)},
    }
    if span.parent_span_id is not None:
        made["parentSpanId"] = _short(span.parent_span_id)
    if (length := _length_us(span)) is not None:
        made["endTimeUnixNano"] = str(start + length * 1_000)
    return made


def _kind(span: Span) -> int:
    kind = span.attributes.get(conventions.SPAN_KIND)
    return _KINDS.get(kind, _INTERNAL) if isinstance(kind, str) else _INTERNAL


def _length_us(span: Span) -> int | None:
    if span.duration_ms is not None:
        return span.duration_ms * 1_000 + (span.duration_rest_us or 0)
    return None if span.end_time_ms is None else (span.end_time_ms - span.start_time_ms) * 1_000


def _short(span_id: str) -> str:
    """Return the 16 hex digits that OTLP has for an id, which are unique enough within a trace."""
    return span_id.replace("-", "")[16:]


def _key(name: str) -> str:
    # The reader takes ``leo.`` off names, so a name of its own with that prefix gets another one.
    return conventions.OURS + name if name.startswith(conventions.OURS) else name


def _pair(key: str, value: object) -> dict:
    return {"key": key, "value": _value(value)}


def _value(value: object) -> dict:
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [_pair(key, item) for key, item in value.items()]}}
    return {"stringValue": str(value)}
