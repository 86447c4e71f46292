"""Locates the resources and spans in the bytes of a JSON trace request.

Belongs here: scanning the outer objects and counting their contents. Does not: scanning JSON (json_cursor), decoding
spans (otlp_json), field names (field_names).
"""

from collections.abc import Iterator

from leo_telemetry_pipeline.sources.otlp import field_names
from leo_telemetry_pipeline.sources.otlp.json_cursor import MAX_NESTING, Cursor, NotJson
from leo_telemetry_pipeline.sources.otlp.otlp_span import MAX_PARTS, MAX_SPANS, BadRequest, Part, TooLarge

_NOTHING = memoryview(b"{}")


def parts_in(body: bytes) -> list[Part]:
    """Return the resources of a request with the bytes of their spans.

    Raise NotJson, UnknownNames, BadRequest for another signal, or TooLarge.
    """
    # All spans are counted before the first one is parsed.
    cursor, parts = Cursor(body), _TraceParts()
    if not cursor.is_object():
        raise NotJson("it is not an object")
    parts.walk_request(cursor)
    cursor.finish()
    return parts.resources


def check_metrics(body: bytes) -> None:
    """Raise NotJson, or BadRequest if a metrics request carries another signal."""
    cursor, others = Cursor(body), (field_names.REQUEST | field_names.OTHER_SIGNALS) - field_names.METRICS
    if not cursor.is_object():
        raise NotJson("it is not an object")
    for key in cursor.members():
        if key in others:
            raise BadRequest(f"{key} are not metrics: send only metrics to this address")
        cursor.value()
    cursor.finish()


class _TraceParts:
    """The resources of a request, each with slices of the bytes of its spans."""

    def __init__(self) -> None:
        self.resources: list[Part] = []
        self._left = {"spans": MAX_SPANS, "resources and scopes": MAX_PARTS}

    def walk_request(self, cursor: Cursor, depth: int = 1) -> None:
        """Consume a request object, or a single resource with its spans."""
        if depth > MAX_NESTING:
            raise NotJson(f"nested deeper than {MAX_NESTING} levels")
        keys, bare = [], _Resource()
        for key in cursor.members():
            keys.append(key)
            if key in field_names.OTHER_SIGNALS:
                raise BadRequest(f"{key} are not traces: send only traces to this address")
            if key in field_names.REQUEST:
                for _ in _elements(cursor):
                    self._walk_resource(cursor)
            elif key == field_names.WRAPPER and cursor.is_object():
                self.walk_request(cursor, depth + 1)
            else:
                self._member(key, cursor, bare)
        field_names.check(keys, field_names.IN_REQUEST, "the request", "resourceSpans")
        if bare.spans:
            self.resources.append((bare.resource, bare.spans))

    def _walk_resource(self, cursor: Cursor) -> None:
        self._count("resources and scopes")
        keys, resource = [], _Resource()
        for key in cursor.members():
            keys.append(key)
            self._member(key, cursor, resource)
        field_names.check_part(keys, field_names.SCOPES, field_names.IN_RESOURCE, "resourceSpans", "scopeSpans")
        self.resources.append((resource.resource, resource.spans))

    def _member(self, key: str, cursor: Cursor, into: "_Resource") -> None:
        if key in field_names.SCOPES:
            for _ in _elements(cursor):
                self._walk_scope(cursor, into.spans)
        elif key == "resource":
            into.resource = cursor.value()
        else:
            cursor.value()

    def _walk_scope(self, cursor: Cursor, spans: list[memoryview]) -> None:
        self._count("resources and scopes")
        keys = []
        for key in cursor.members():
            keys.append(key)
            if key not in field_names.SPANS:
                cursor.value()
                continue
            for _ in _elements(cursor):
                self._count("spans")
                spans.append(cursor.value())
        field_names.check_part(keys, field_names.SPANS, field_names.IN_SCOPE, "scopeSpans", "spans")

    def _count(self, what: str) -> None:
        self._left[what] -= 1
        if self._left[what] < 0:
            raise TooLarge(f"more than {MAX_SPANS if what == 'spans' else MAX_PARTS} {what}")


class _Resource:
    """A resource and its spans, filled while scanning."""

    def __init__(self) -> None:
        self.resource = _NOTHING
        self.spans: list[memoryview] = []


def _elements(cursor: Cursor) -> Iterator[None]:
    return iter(()) if cursor.is_null() else cursor.elements()
