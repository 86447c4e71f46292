"""A log request of OTLP, in JSON or protobuf, becomes the log events of Claude Code in it.

Belongs here: the shape of a log request, one record at a time. Does not: which events are noted (otel_notes), HTTP
(web). The records of other programs are skipped: only what helps spans is read.
"""

import json
from collections.abc import Iterator

from leo_telemetry_pipeline.collect.claude.otel_notes import PREFIX, Record
from leo_telemetry_pipeline.collect.json_slices import Cursor, NotJson

_NAME = "event.name"
_MAX_ATTRIBUTES = 128
_SCALARS = ("stringValue", "boolValue", "intValue", "doubleValue")


class BadLogs(ValueError):
    """A body that is not a log request; nothing of it is used."""


def records_of(request: dict) -> Iterator[tuple[dict, Record]]:
    """Yield the attributes of the resource and the record of each event in a JSON request that was read already."""
    for part in _list(request, "resourceLogs"):
        resource = _attributes(_dict(part, "resource"))
        for scope in _list(part, "scopeLogs"):
            for record in _list(scope, "logRecords"):
                if (found := _record(record)) is not None:
                    yield resource, found


def read_json(body: bytes) -> Iterator[tuple[dict, Record]]:
    """Yield what records_of does from the bytes of a JSON request. Raise BadLogs where it is not one."""
    try:
        for raw_resource, raw_records in _slices(Cursor(body)):
            resource = _attributes(_load(raw_resource))
            for raw in raw_records:
                if (found := _record(_load(raw))) is not None:
                    yield resource, found
    except (NotJson, ValueError, RecursionError) as error:
        raise BadLogs(f"not OTLP/JSON: {error}") from None


def read_protobuf(body: bytes) -> Iterator[tuple[dict, Record]]:
    """Yield what records_of does from the bytes of a protobuf request. Raise BadLogs where it is not one."""
    # Reading JSON needs no protobuf, which takes 50 ms to import.
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    try:
        # On the wire a request is the same as LogsData.
        request = LogsData.FromString(body)
    except DecodeError:
        raise BadLogs("not OTLP/protobuf, or a text in it is not UTF-8") from None
    for part in request.resource_logs:
        resource = _wire_attributes(part.resource.attributes)
        for scope in part.scope_logs:
            for record in scope.log_records:
                attributes = _wire_attributes(record.attributes)
                name = _name(record.event_name, record.body.string_value, attributes)
                moment = record.time_unix_nano or record.observed_time_unix_nano
                found = Record(name, record.trace_id.hex(), record.span_id.hex(), "", moment, moment, attributes)
                if name.startswith(PREFIX):
                    yield resource, found


def _slices(cursor: Cursor) -> Iterator[tuple[memoryview, list[memoryview]]]:
    if not cursor.is_object():
        raise NotJson("it is not an object")
    for key in cursor.members():
        if key != "resourceLogs" or cursor.is_null():
            cursor.value()
            continue
        for _ in cursor.elements():
            yield _part(cursor)
    cursor.finish()


def _part(cursor: Cursor) -> tuple[memoryview, list[memoryview]]:
    resource, records = memoryview(b"{}"), []
    for key in cursor.members():
        if key == "resource":
            resource = cursor.value()
        elif key != "scopeLogs" or cursor.is_null():
            cursor.value()
        else:
            for _ in cursor.elements():
                for inner in cursor.members():
                    if inner != "logRecords" or cursor.is_null():
                        cursor.value()
                        continue
                    records += [cursor.value() for _ in cursor.elements()]
    return resource, records


def _load(raw: memoryview) -> object:
    return json.loads(bytes(raw).decode())


def _record(record: object) -> Record | None:
    if not isinstance(record, dict):
        return None
    attributes = _attributes(record)
    body = record.get("body")
    text = body.get("stringValue") if isinstance(body, dict) else None
    name = _name(record.get("eventName"), text, attributes)
    if not name.startswith(PREFIX):
        return None
    moment = _number(record.get("timeUnixNano")) or _number(record.get("observedTimeUnixNano"))
    return Record(name, _hex(record.get("traceId")), _hex(record.get("spanId")), "", moment, moment, attributes)


def _name(event: object, body: object, attributes: dict) -> str:
    for name in (body, event):
        if isinstance(name, str) and name.startswith(PREFIX):
            return name
    name = attributes.get(_NAME)
    return PREFIX + name.removeprefix(PREFIX) if isinstance(name, str) and "session.id" in attributes else ""


def _attributes(holder: object) -> dict:
    found = {}
    for pair in _list(holder, "attributes")[:_MAX_ATTRIBUTES]:
        key, value = (pair.get("key"), pair.get("value")) if isinstance(pair, dict) else (None, None)
        if isinstance(key, str) and isinstance(value, dict):
            for kind in _SCALARS:
                if kind in value:
                    found[key] = value[kind]
    return found


def _wire_attributes(pairs) -> dict:
    found = {}
    for pair in pairs[:_MAX_ATTRIBUTES]:
        kind = pair.value.WhichOneof("value")
        if kind in ("string_value", "bool_value", "int_value", "double_value"):
            found[pair.key] = getattr(pair.value, kind)
    return found


def _list(holder: object, name: str) -> list:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, list) else []


def _dict(holder: object, name: str) -> dict:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}


def _hex(value: object) -> str:
    text = value.lower() if isinstance(value, str) else ""
    return text if set(text) <= set("0123456789abcdef") else ""


def _number(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
