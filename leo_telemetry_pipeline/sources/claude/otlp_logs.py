"""Reader of OTLP log requests, JSON or protobuf: yields Claude Code's log events.

Belongs here: the structure of a log request, one record at a time. Does not: which fields are kept (otel_notes), HTTP
(web). Records of other programs are skipped.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from leo_telemetry_pipeline.sources.claude.otel_notes import PREFIX, Record
from leo_telemetry_pipeline.sources.otlp import field_names
from leo_telemetry_pipeline.sources.otlp.json_cursor import Cursor, NotJson
from leo_telemetry_pipeline.sources.otlp.otlp_json import MAX_SPAN_VALUES, load, values
from leo_telemetry_pipeline.sources.otlp.otlp_span import (
    MAX_PARTS,
    MAX_SPAN_BYTES,
    MAX_SPANS,
    BadRequest,
    Part,
    TooLarge,
    check_resources,
)
from leo_telemetry_pipeline.span import InvalidSpan

_NAME = "event.name"
_MAX_ATTRIBUTES = 128
_SCALARS = frozenset(name for kind in ("string", "bool", "int", "double") for name in (f"{kind}Value", f"{kind}_value"))
_REQUEST = frozenset(("resourceLogs", "resource_logs"))
_SCOPES = frozenset(("scopeLogs", "scope_logs"))
_RECORDS = frozenset(("logRecords", "log_records"))
_OTHER_SIGNALS = (field_names.REQUEST | field_names.OTHER_SIGNALS) - _REQUEST
_IN_RESOURCE = (field_names.IN_RESOURCE - field_names.SCOPES) | _SCOPES
_IN_SCOPE = (field_names.IN_SCOPE - field_names.SPANS) | _RECORDS
_NOTHING = memoryview(b"{}")

Found = Iterator[tuple[dict, Record]]


def records_of(request: dict) -> Found:
    """Yield (resource attributes, record) for each event in a parsed JSON request."""
    for part in _lists(request, _REQUEST):
        resource = _attributes(_dict(part, "resource"))
        for scope in _lists(part, _SCOPES):
            for record in _lists(scope, _RECORDS):
                if (event := _record(record)) is not None:
                    yield resource, event


def read_json(body: bytes) -> Found:
    """Yield like records_of from the bytes of a JSON request. Raise BadRequest or TooLarge for the whole request."""
    try:
        parts = _LogParts(body).resources()
        yield from _read(parts, lambda raw: _attributes(load(raw)), _json_record)
    except (NotJson, InvalidSpan) as error:
        raise BadRequest(f"not OTLP/JSON: {error}") from None
    except field_names.UnknownNames as error:
        raise BadRequest(f"unknown form of OTLP/JSON: {error}") from None


def read_protobuf(body: bytes) -> Found:
    """Yield like records_of from the bytes of a protobuf request. Raise like read_json."""
    # Imported here because JSON does not need protobuf, which takes 50 ms to import.
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    from leo_telemetry_pipeline.sources.otlp import otlp_protobuf

    def record_of(raw: bytes) -> Record | None:
        # Field 1 with a length is a span's trace id; in a log record, field 1 is a fixed64.
        if raw.startswith(b"\x0a"):
            raise BadRequest("spans are not logs: send only logs to this address")
        record = LogRecord.FromString(raw)
        attributes = _wire_attributes(record.attributes)
        name = _name(record.event_name, record.body.string_value, attributes)
        moment = record.time_unix_nano or record.observed_time_unix_nano
        event = Record(name, record.trace_id.hex(), record.span_id.hex(), "", moment, moment, attributes)
        return event if name.startswith(PREFIX) else None

    try:
        parts = otlp_protobuf.parts_in(body, "logs")
        yield from _read(parts, lambda raw: _wire_attributes(Resource.FromString(raw).attributes), record_of)
    except DecodeError:
        raise BadRequest("not OTLP/protobuf, or a text in it is not UTF-8") from None


def _read(
    parts: Sequence[Part], resource_of: Callable[[bytes], dict], record_of: Callable[[bytes], Record | None]
) -> Found:
    check_resources(parts)
    for raw_resource, raw_records in parts:
        if len(raw_resource) > MAX_SPAN_BYTES:
            raise TooLarge(f"the resource is larger than {MAX_SPAN_BYTES >> 20} MiB")
        resource = resource_of(bytes(raw_resource))
        for raw in raw_records:
            # Claude Code's own events are small; larger records come from other programs and are skipped anyway.
            if len(raw) <= MAX_SPAN_BYTES and (event := record_of(bytes(raw))) is not None:
                yield resource, event


class _LogParts:
    """Locates the resources and records in the bytes of a JSON request, and counts them before any is parsed."""

    def __init__(self, body: bytes) -> None:
        self._cursor = Cursor(body)
        self._left = {"log records": MAX_SPANS, "resources and scopes": MAX_PARTS}

    def resources(self) -> list[Part]:
        """Return each resource with its records."""
        cursor = self._cursor
        if not cursor.is_object():
            raise NotJson("it is not an object")
        keys, parts = [], []
        for key in cursor.members():
            keys.append(key)
            if key in _OTHER_SIGNALS:
                raise BadRequest(f"{key} are not logs: send only logs to this address")
            parts += self._each(self._resource) if key in _REQUEST else self._skip()
        cursor.finish()
        field_names.check(keys, _REQUEST, "the request", "resourceLogs")
        return parts

    def _resource(self) -> Part:
        self._count("resources and scopes")
        keys, resource, records = [], _NOTHING, []
        for key in self._cursor.members():
            keys.append(key)
            if key == "resource":
                resource = self._cursor.value()
            else:
                for own in self._each(self._scope) if key in _SCOPES else self._skip():
                    records += own
        field_names.check_part(keys, _SCOPES, _IN_RESOURCE, "resourceLogs", "scopeLogs")
        return resource, records

    def _scope(self) -> list[memoryview]:
        self._count("resources and scopes")
        keys, records = [], []
        for key in self._cursor.members():
            keys.append(key)
            records += self._each(self._one) if key in _RECORDS else self._skip()
        field_names.check_part(keys, _RECORDS, _IN_SCOPE, "scopeLogs", "logRecords")
        return records

    def _one(self) -> memoryview:
        self._count("log records")
        return self._cursor.value()

    def _each(self, take: Callable) -> list:
        return [] if self._cursor.is_null() else [take() for _ in self._cursor.elements()]

    def _skip(self) -> list:
        self._cursor.value()
        return []

    def _count(self, what: str) -> None:
        self._left[what] -= 1
        if self._left[what] < 0:
            raise TooLarge(f"more than {MAX_SPANS if what == 'log records' else MAX_PARTS} {what}")


def _json_record(raw: bytes) -> Record | None:
    if len(raw) > MAX_SPAN_VALUES and values(raw) > MAX_SPAN_VALUES:
        return None
    return _record(load(raw))


def _record(record: object) -> Record | None:
    if not isinstance(record, dict):
        return None
    attributes = _attributes(record)
    body = _dict(record, "body")
    text = body.get("stringValue", body.get("string_value"))
    name = _name(_either(record, "eventName", "event_name"), text, attributes)
    if not name.startswith(PREFIX):
        return None
    moment = _number(_either(record, "timeUnixNano", "time_unix_nano"))
    moment = moment or _number(_either(record, "observedTimeUnixNano", "observed_time_unix_nano"))
    trace, span = _hex(_either(record, "traceId", "trace_id")), _hex(_either(record, "spanId", "span_id"))
    return Record(name, trace, span, "", moment, moment, attributes)


def _either(record: dict, name: str, older: str) -> object:
    return record.get(name, record.get(older))


def _name(event: object, body: object, attributes: dict) -> str:
    for name in (body, event):
        if isinstance(name, str) and name.startswith(PREFIX):
            return name
    name = attributes.get(_NAME)
    return PREFIX + name.removeprefix(PREFIX) if isinstance(name, str) and "session.id" in attributes else ""


def _attributes(holder: object) -> dict:
    attributes = {}
    for pair in _lists(holder, ("attributes",))[:_MAX_ATTRIBUTES]:
        key, value = (pair.get("key"), pair.get("value")) if isinstance(pair, dict) else (None, None)
        if isinstance(key, str) and isinstance(value, dict):
            for kind in _SCALARS.intersection(value):
                attributes[key] = value[kind]
    return attributes


def _wire_attributes(pairs) -> dict:
    attributes = {}
    for pair in pairs[:_MAX_ATTRIBUTES]:
        kind = pair.value.WhichOneof("value")
        if kind in ("string_value", "bool_value", "int_value", "double_value"):
            attributes[pair.key] = getattr(pair.value, kind)
    return attributes


def _lists(holder: object, names: Iterable[str]) -> list:
    members = [holder.get(name) for name in names] if isinstance(holder, dict) else []
    return [item for value in members if isinstance(value, list) for item in value]


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
