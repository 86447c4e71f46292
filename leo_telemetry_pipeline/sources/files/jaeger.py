"""Jaeger's JSON becomes trace requests: what its UI downloads and its query service answers.

Belongs here: the fields of Jaeger. Does not: what a request becomes (otlp), finding objects in files (reader).
"""

from collections.abc import Iterator
from typing import TypeGuard

from leo_telemetry_pipeline.sources.files import zipkin

_STATUS = {"OK": 1, "ERROR": 2}


def is_trace(value: dict) -> bool:
    """Say whether an object is one trace of Jaeger's."""
    return "traceID" in value and isinstance(value.get("spans"), list)


def is_download(value: dict) -> bool:
    """Say whether an object holds traces of Jaeger's, as a download of its UI does."""
    data = value.get("data")
    return isinstance(data, list) and any(isinstance(trace, dict) and is_trace(trace) for trace in data)


def is_span(value: dict) -> bool:
    """Say whether an object is a single span of Jaeger's, as its storage in Elasticsearch has it."""
    return "traceID" in value and "spanID" in value and "operationName" in value


def requests(value: dict) -> Iterator[dict | str]:
    """Yield the spans of a download, a trace or a single span as trace requests, or why one of them is not one."""
    if is_span(value):
        yield from _of_trace({"spans": [value], "processes": {"": value.get("process")}})
        return
    for trace in value.get("data", [value]):
        if isinstance(trace, dict) and is_trace(trace):
            yield from _of_trace(trace)
        else:
            yield "Jaeger: a trace has no traceID and spans"


def _of_trace(trace: dict) -> Iterator[dict | str]:
    processes = trace.get("processes")
    processes = processes if isinstance(processes, dict) else {}
    for span in trace["spans"]:
        if not isinstance(span, dict):
            yield "Jaeger: a span is not an object"
            continue
        process = processes.get(span.get("processID", ""), span.get("process"))
        start, took = span.get("startTime"), span.get("duration")
        if not _is_count(start) or not _is_count(took):
            wrong = "startTime" if not _is_count(start) else "duration"
            yield f"Jaeger: {wrong} is {'missing' if span.get(wrong) is None else 'not a number of microseconds'}"
            continue
        yield zipkin.as_request(_service(process), [_span(span, start, took)])


def _span(span: dict, start: int, took: int) -> dict:
    tags = _tags(span.get("tags"))
    trace_id = _text(span.get("traceID"))
    return {
        # Jaeger leaves out leading zeros.
        "traceId": trace_id.rjust(32, "0") if trace_id else "",
        "spanId": _text(span.get("spanID")).rjust(16, "0"),
        "parentSpanId": _parent(span, trace_id),
        "name": _text(span.get("operationName")),
        "startTimeUnixNano": start * 1_000,
        "endTimeUnixNano": (start + took) * 1_000,
        "attributes": zipkin.attributes_of(tags),
        "status": _status(tags),
    }


def _parent(span: dict, trace_id: str) -> str:
    # The first reference within the trace is the parent, a CHILD_OF before a FOLLOWS_FROM; old files have a field.
    references = span.get("references")
    own = [
        reference
        for reference in (references if isinstance(references, list) else ())
        if isinstance(reference, dict) and _text(reference.get("traceID")).lstrip("0") == trace_id.lstrip("0")
    ]
    own.sort(key=lambda reference: reference.get("refType") != "CHILD_OF")
    parent = _text(own[0].get("spanID")) if own else _text(span.get("parentSpanID"))
    return parent.rjust(16, "0") if parent.strip("0") else ""


def _tags(tags: object) -> dict:
    # A list of {"key", "type", "value"}; text holds numbers of 64 bits where they come by way of JavaScript.
    found = {}
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, dict) and isinstance(tag.get("key"), str):
            found[tag["key"]] = tag.get("value")
    return found


def _status(tags: dict) -> dict:
    code = _STATUS.get(str(tags.get("otel.status_code", "")).upper())
    if code is None and str(tags.get("error", "false")).lower() not in ("false", ""):
        code = 2
    message = tags.get("otel.status_description")
    return {"code": code, "message": message if isinstance(message, str) else ""} if code else {}


def _service(process: object) -> str:
    return _text(process.get("serviceName")) if isinstance(process, dict) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
