"""An OTLP/JSON trace request becomes spans.

Belongs here: reading the request as OpenTelemetry's exporters post it, and what Claude Code's spans are.
Does not: HTTP (web) and files (files).
Ids are hex in OTLP/JSON, which protobuf's own JSON reader takes for base64: hence no protobuf here.
"""

import re
from collections.abc import Iterator

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.collect.rows import canonical_id, whole
from leo_telemetry_pipeline.span import InvalidSpan, Span

_OURS = "leo."
_COLUMNS = ("span_type", "span_name", "sd_id", "project", "workflow_execution_id", "queue_wait_ms")
_STATUS = {1: "OK", 2: "ERROR", "STATUS_CODE_OK": "OK", "STATUS_CODE_ERROR": "ERROR"}
# The tool that starts a sub-agent was renamed from Task to Agent.
_SUBAGENT_TOOLS = ("Agent", "Task")
_OTHER_TYPE = "operation"
_CLAUDE_CODE_TYPES = {
    "claude_code.interaction": "handoff",
    "claude_code.llm_request": "llm",
    "claude_code.tool": "tool",
    "claude_code.tool.blocked_on_user": "wait",
    "claude_code.tool.execution": "execution",
}
_HEX = {length: re.compile(f"[0-9a-fA-F]{{{length}}}", re.ASCII).fullmatch for length in (16, 32)}


def is_other_signal(request: dict) -> bool:
    """Say whether the request carries logs or metrics, which are not kept."""
    return "resourceLogs" in request or "resourceMetrics" in request


def spans_from_request(request: dict, project: str = "") -> Iterator[Span | InvalidSpan]:
    """Yield a storable span for each in a trace request, or the reason why one of them is none.

    ``project`` is for spans that name none by ``leo.project``, themselves or through their resource.
    Where a whole part of the request cannot be read, one reason stands for that part.
    """
    try:
        parts = _list(request, "resourceSpans")
    except InvalidSpan as error:
        parts = []
        yield error
    for part in parts:
        try:
            resource = _attributes(_dict(part, "resource").get("attributes"))
            spans = [span for scope in _list(part, "scopeSpans") for span in _list(scope, "spans")]
        except InvalidSpan as error:
            yield error
            continue
        for span in spans:
            try:
                yield _span(span, resource, project)
            except InvalidSpan as error:
                yield error


def _span(span: object, resource: dict, project: str) -> Span:
    if not isinstance(span, dict):
        raise InvalidSpan("a span is no object")
    name = span.get("name")
    if not isinstance(name, str) or not name.strip():
        raise InvalidSpan("name is missing or empty")
    own = _attributes(span.get("attributes"))
    columns, attributes = _split(resource, own)
    span_type, span_name = _kind(name, own)
    start = _nanoseconds(span, "startTimeUnixNano")
    end = _nanoseconds(span, "endTimeUnixNano")
    if start is None:
        raise InvalidSpan("startTimeUnixNano is missing")
    if end is not None and end < start:
        raise InvalidSpan("endTimeUnixNano is before startTimeUnixNano")
    made = Span(
        trace_id=_id(span, "traceId", 32),
        span_id=_id(span, "spanId", 16),
        parent_span_id=_parent(span),
        span_type=_word(columns, "span_type") or span_type,
        span_name=_word(columns, "span_name") or span_name,
        start_time_ms=start // 1_000_000,
        end_time_ms=None if end is None else end // 1_000_000,
        duration_ms=None if end is None else (end - start + 500_000) // 1_000_000,
        queue_wait_ms=whole(columns.get("queue_wait_ms"), "leo.queue_wait_ms"),
        workflow_execution_id=_word(columns, "workflow_execution_id"),
        sd_id=_word(columns, "sd_id"),
        project=_word(columns, "project") or project,
        status=_status(span),
        attributes=redact.without_identity(attributes),
    )
    return redact.clean(made)


def _split(resource: dict, own: dict) -> tuple[dict, dict]:
    # A resource speaks for all its spans, a span for itself; ours go before what exporters add.
    ours, attributes = {}, {}
    if "service.name" in resource:
        attributes["service.name"] = resource["service.name"]
    for key, value in [*((k, v) for k, v in resource.items() if k.startswith(_OURS)), *own.items()]:
        if key.startswith(_OURS) and key != _OURS:
            ours[key.removeprefix(_OURS)] = value
        else:
            attributes[key] = value
    columns = {name: ours.pop(name) for name in _COLUMNS if name in ours}
    return columns, {**attributes, **ours}


def _kind(name: str, attributes: dict) -> tuple[str, str]:
    span_type = _CLAUDE_CODE_TYPES.get(name, _OTHER_TYPE)
    if span_type == "llm":
        return span_type, _first(attributes, "model", "gen_ai.request.model") or name
    if span_type != "tool":
        return span_type, name
    tool = _first(attributes, "tool_name") or name
    if tool not in _SUBAGENT_TOOLS:
        return span_type, tool
    return "subagent", _first(attributes, "subagent_type", "agent_type", "agent.type") or tool


def _first(attributes: dict, *keys: str) -> str | None:
    values = (attributes.get(key) for key in keys)
    return next((value for value in values if isinstance(value, str) and value.strip()), None)


def _word(columns: dict, name: str) -> str | None:
    value = columns.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or value.isspace():
        raise InvalidSpan(f"{_OURS}{name} is no text")
    return value


def _status(span: dict) -> str | None:
    code = _dict(span, "status").get("code")
    return _STATUS.get(code) if isinstance(code, int | str) else None


def _id(span: dict, name: str, digits: int) -> str:
    value = span.get(name)
    if not isinstance(value, str) or not _HEX[digits](value):
        raise InvalidSpan(f"{name} is not {digits} hex digits: {str(value)[:60]!r}")
    return canonical_id(value, name)


def _parent(span: dict) -> str | None:
    value = span.get("parentSpanId")
    if value is None or value == "" or (isinstance(value, str) and not value.strip("0")):
        return None
    return _id(span, "parentSpanId", 16)


def _nanoseconds(span: dict, name: str) -> int | None:
    # 0 is how protobuf says that a time was not given.
    return whole(span.get(name), name) or None


def _attributes(pairs: object) -> dict:
    if pairs is None:
        return {}
    if not isinstance(pairs, list):
        raise InvalidSpan("attributes is no list")
    attributes = {}
    for pair in pairs:
        if not isinstance(pair, dict) or not isinstance(pair.get("key"), str):
            raise InvalidSpan("an attribute has no key")
        attributes[pair["key"]] = _value(pair.get("value"), 1)
    return attributes


def _value(value: object, depth: int):
    if not isinstance(value, dict) or not value:
        return None
    if depth > redact.MAX_DEPTH:
        return redact.flat(value)
    kind, content = next(iter(value.items()))
    if kind == "intValue":
        return whole(content, "intValue")
    if kind == "doubleValue":
        return _double(content)
    if kind == "arrayValue":
        return [_value(item, depth + 1) for item in _list(content, "values")]
    if kind == "kvlistValue":
        pairs = [pair for pair in _list(content, "values") if isinstance(pair, dict)]
        return {str(pair.get("key")): _value(pair.get("value"), depth + 1) for pair in pairs}
    # stringValue, boolValue, and bytesValue, which is base64 text.
    return content


def _double(content: object) -> float:
    try:
        return float(content)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise InvalidSpan(f"doubleValue is no number: {str(content)[:60]!r}") from None


def _dict(holder: object, name: str) -> dict:
    value = holder.get(name) if isinstance(holder, dict) else None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidSpan(f"{name} is no object")
    return value


def _list(holder: object, name: str) -> list:
    if not isinstance(holder, dict):
        raise InvalidSpan(f"what holds {name} is no object")
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidSpan(f"{name} is no list")
    return value
