"""Conversion of Jaeger JSON (UI downloads, query service, storage) to trace requests.

Belongs here: Jaeger's fields. Does not: converting requests to spans (otlp), finding objects in files (reader).
"""

from collections.abc import Iterator

from leo_telemetry_pipeline.sources.files import zipkin
from leo_telemetry_pipeline.sources.files.zipkin import is_count, service, text

_STATUS = {"OK": 1, "ERROR": 2}


def is_trace(value: dict) -> bool:
    """Return whether an object is a Jaeger trace."""
    return "traceID" in value and isinstance(value.get("spans"), list)


def is_download(value: dict) -> bool:
    """Return whether an object holds Jaeger traces, as a download from its UI does."""
    data = value.get("data")
    return isinstance(data, list) and any(isinstance(trace, dict) and is_trace(trace) for trace in data)


def is_span(value: dict) -> bool:
    """Return whether an object is a single Jaeger span, as stored in Elasticsearch."""
    return "traceID" in value and "spanID" in value and "operationName" in value


def requests(value: dict) -> Iterator[dict | str]:
    """Yield a trace request per span of a download, trace or single span, or the reason why a span is invalid."""
    if is_span(value):
        yield from _of_trace({"spans": [value], "processes": {"": value.get("process")}})
        return
    for trace in value.get("data", [value]):
        if isinstance(trace, dict) and is_trace(trace):
            yield from _of_trace(trace)
        else:
            yield "Jaeger: a trace has no traceID or no spans"


def _of_trace(trace: dict) -> Iterator[dict | str]:
    processes = trace.get("processes")
    processes = processes if isinstance(processes, dict) else {}
    for span in trace["spans"]:
        if not isinstance(span, dict):
            yield "Jaeger: a span is not an object"
            continue
        process = processes.get(span.get("processID", ""), span.get("process"))
        start, took = span.get("startTime"), span.get("duration")
        if not is_count(start) or not is_count(took):
            wrong = "startTime" if not is_count(start) else "duration"
            yield f"Jaeger: {wrong} is {'missing' if span.get(wrong) is None else 'not a number of microseconds'}"
            continue
        yield zipkin.as_request(service(process), [_span(span, start, took)])


def _span(span: dict, start: int, took: int) -> dict:
    tags = _tags(span.get("tags"))
    trace_id = text(span.get("traceID"))
    return {
        # Jaeger leaves out leading zeros.
        "traceId": trace_id.rjust(32, "0") if trace_id else "",
        "spanId": text(span.get("spanID")).rjust(16, "0"),
        "parentSpanId": _parent(span, trace_id),
        "name": text(span.get("operationName")),
        "startTimeUnixNano": start * 1_000,
        "endTimeUnixNano": (start + took) * 1_000,
        "attributes": zipkin.attributes_of(tags),
        "status": _status(tags),
    }


def _parent(span: dict, trace_id: str) -> str:
    # The first reference within the trace, CHILD_OF before FOLLOWS_FROM; old files have a field for the parent.
    references = span.get("references")
    own = [
        reference
        for reference in (references if isinstance(references, list) else ())
        if isinstance(reference, dict) and text(reference.get("traceID")).lstrip("0") == trace_id.lstrip("0")
    ]
    own.sort(key=lambda reference: reference.get("refType") != "CHILD_OF")
    parent = text(own[0].get("spanID")) if own else text(span.get("parentSpanID"))
    return parent.rjust(16, "0") if parent.strip("0") else ""


def _tags(tags: object) -> dict:
    # A list of {"key", "type", "value"}; 64-bit integers that passed through JavaScript are strings.
    values = {}
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, dict) and isinstance(tag.get("key"), str):
            values[tag["key"]] = tag.get("value")
    return values


def _status(tags: dict) -> dict:
    code = _STATUS.get(str(tags.get("otel.status_code", "")).upper())
    if code is None and str(tags.get("error", "false")).lower() not in ("false", ""):
        code = 2
    message = tags.get("otel.status_description")
    return {"code": code, "message": message if isinstance(message, str) else ""} if code else {}
