"""Conversion of decoded OpenTelemetry spans to Spans, shared by both encodings.

Belongs here: limits, ids, times, which attributes are kept, counting rejected spans.
Does not: the encodings themselves (otlp_json, otlp_protobuf), names of spans (conventions).
"""

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from sys import getsizeof
from typing import NamedTuple

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.otlp import conventions, stored_columns
from leo_telemetry_pipeline.sources.rows import whole
from leo_telemetry_pipeline.span import LATEST_MS, LATEST_NS, RESERVED_TYPES, InvalidSpan, Span, lasted_between

MAX_SPANS = 10_000
MAX_PARTS = 10_000
MAX_SPAN_BYTES = 1 << 20
MAX_ATTRIBUTES = 128
MAX_REASONS = 10
# Memory for the spans of one part of a request: about 2,000 ordinary ones.
PART_BYTES = 4 << 20
# Limit of the bytes of all resources. Each counts once per span, since every span is stored with its attributes.
MAX_RESOURCE_BYTES = 128 << 20
# A smaller body is read in one part.
PART_BODY = 64 << 10
# Names under which removed attributes are counted: beyond the limit of a span, or with a value of unknown kind.
TOO_MANY = f"(more than {MAX_ATTRIBUTES} attributes)"
UNKNOWN_VALUE = "(attributes with a value of an unknown kind)"
# Collects rejected spans beyond the first MAX_REASONS - 1 reasons.
OTHER_REASONS = "other reasons"
# One more element than redact keeps of a list, so that redact notices and marks the cut.
MOST = redact.MAX_VALUES + 1
_NESTED = frozenset((dict, list))
# Memory of a note.
_NOTE_BYTES = 2_000

Keep = Callable[[dict, dict[str, int]], dict]
KeepKnown = Callable[[dict, dict[str, int], frozenset[str]], dict]
Part = tuple[memoryview, list[memoryview]]


class BadRequest(ValueError):
    """A body that is not an OTLP request; it is discarded."""


class TooLarge(ValueError):
    """A request beyond the size limits; it is discarded."""


class Read(NamedTuple):
    """The result of reading a request or a part of it: spans, rejected spans by reason, removed attributes by name.

    ``notes``: Claude Code's spans, if diverted (sources.claude). ``is_last``: no part follows.
    """

    spans: list[Span]
    rejections: dict[str, int]
    removed: dict[str, int]
    notes: tuple[dict, ...] = ()
    is_last: bool = False

    @property
    def rejected(self) -> int:
        """The number of rejected spans."""
        return sum(self.rejections.values())

    @property
    def reasons(self) -> list[str]:
        """The first few distinct reasons."""
        return list(self.rejections)


class Decoded(NamedTuple):
    """A span as received. Ids are hex digits, ``parent_id`` empty for none; times are UTC epoch ns, 0 for none."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict
    status: str | None = None
    message: str = ""
    error_type: str = ""
    cut: int = 0
    unknown: int = 0
    kind: str | None = None


class Resource(NamedTuple):
    """Columns and attributes that a resource sets for all its spans."""

    columns: dict
    attributes: dict


# Returns a note for a span that is not stored as received, None for all others.
Divert = Callable[[Decoded, Resource], dict | None]


class Reading:
    """Converts decoded spans and counts removed attributes and rejected spans.

    ``foreign``, ``own`` and ``resource`` select the attributes to keep: of other instrumentation, of ``leo.*``, and of
    a resource, in addition to conventions.RESOURCE_KEYS. If ``divert`` returns a note for a span, only that is kept.
    """

    def __init__(
        self, project: str, *, foreign: Keep, own: Keep, resource: KeepKnown | None = None, divert: Divert | None = None
    ) -> None:
        self.project = project
        self.notes: list[dict] = []
        self._divert = divert
        self.spans: list[Span] = []
        self.rejections: dict[str, int] = {}
        self.removed: dict[str, int] = {}
        self._foreign = foreign
        self._own = own
        self._resource = resource or redact.Policy().resource
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the spans have reached the memory limit of one part."""
        return self._bytes >= PART_BYTES

    def take(self, *, is_last: bool = False) -> Read:
        """Return and reset the results since the last call."""
        read = Read(self.spans, self.rejections, self.removed, tuple(self.notes), is_last)
        self.spans, self.rejections, self.removed, self.notes, self._bytes = [], {}, {}, [], 0
        return read

    def reject(self, reason: object, count: int = 1) -> None:
        """Count rejected spans, by the first few distinct reasons."""
        text = redact.text(str(reason), 200)
        if text not in self.rejections and len(self.rejections) >= MAX_REASONS - 1:
            text = OTHER_REASONS
        if count:
            self.rejections[text] = self.rejections.get(text, 0) + count

    def resource(self, attributes: dict) -> Resource:
        """Return the Resource of these attributes."""
        columns, ours, others = conventions.split(attributes)
        kept = self._resource(others, self.removed, conventions.RESOURCE_KEYS)
        return Resource(columns, {**kept, **self._own(ours, self.removed)} if ours else kept)

    def add(self, given: Decoded, resource: Resource) -> None:
        """Add a decoded span. Raise InvalidSpan."""
        if self.diverts(given, resource):
            self._bytes += _NOTE_BYTES
            return
        span = self.make(given, resource)
        self._bytes += _weight(span)
        self.spans.append(span)

    def diverts(self, given: Decoded, resource: Resource) -> bool:
        """Add the note that a span is diverted to, if any; return whether there was one."""
        note = None if self._divert is None or stored_columns.KEY in given.attributes else self._divert(given, resource)
        if note is None:
            return False
        self._attributes(given, resource)  # counts removed attributes
        # A note keeps only the attributes named by LEO_TELEMETRY_KEEP_KEYS.
        if chosen := self._resource(given.attributes, {}, frozenset()):
            note["chosen"] = redact.clean_attributes(chosen)
        self.notes.append(note)
        return True

    def make(self, given: Decoded, resource: Resource) -> Span:
        """Return the redacted Span of a decoded span. Raise InvalidSpan."""
        if not given.name.strip():
            raise InvalidSpan("name is missing or empty")
        if given.start_ns <= 0:
            raise InvalidSpan("startTimeUnixNano is missing")
        if given.end_ns and given.end_ns < given.start_ns:
            raise InvalidSpan("endTimeUnixNano is before startTimeUnixNano")
        if max(given.start_ns, given.end_ns) > LATEST_NS:
            raise InvalidSpan("startTimeUnixNano or endTimeUnixNano is after the year 9999")
        span_type, span_name = conventions.kind(given.name, given.attributes)
        columns, attributes = self._attributes(given, resource)
        if stored := columns.get(conventions.STORED):
            return redact.clean(stored_columns.restored(given.trace_id, given.start_ns, stored, attributes))
        start, end = given.start_ns, given.end_ns
        duration_ms, rest_us = lasted_between(start, end) if end else (None, None)
        span = Span(
            trace_id=_uuid(given.trace_id, 32, "traceId"),
            span_id=_uuid(given.span_id, 16, "spanId"),
            parent_span_id=_uuid(given.parent_id, 16, "parentSpanId") if given.parent_id.strip("0") else None,
            span_type=span_type,
            span_name=span_name,
            start_time_ms=start // 1_000_000,
            end_time_ms=end // 1_000_000 if end else None,
            duration_ms=duration_ms,
            duration_rest_us=rest_us,
            project=self.project,
            status=given.status,
            attributes=attributes,
        )
        if columns:
            _set_columns(span, columns)
        return redact.clean(span)

    def _attributes(self, given: Decoded, resource: Resource) -> tuple[dict, dict]:
        # Precedence: leo.* attributes over others, the span over its resource.
        columns, ours, others = conventions.split(given.attributes)
        attributes = {**resource.attributes, **self._foreign(others, self.removed)}
        if ours:
            attributes.update(self._own(ours, self.removed))
        if given.message:
            attributes["status_message"] = given.message
        if given.kind:
            attributes.setdefault(conventions.SPAN_KIND, given.kind)
        if given.error_type:
            attributes.setdefault("error.type", given.error_type)
        if given.cut:
            self.removed[TOO_MANY] = self.removed.get(TOO_MANY, 0) + given.cut
        if given.unknown:
            self.removed[UNKNOWN_VALUE] = self.removed.get(UNKNOWN_VALUE, 0) + given.unknown
        return {**resource.columns, **columns} if columns else resource.columns, attributes


def read_parts(
    parts: Sequence[Part],
    reading: Reading,
    resource_of: Callable[[bytes], dict],
    decode: Callable[[bytes], Decoded],
) -> Generator[Read, None, None]:
    """Decode the resources and spans of a request, and yield results in parts that fit in memory.

    ``resource_of`` and ``decode`` raise InvalidSpan for a single bad item, BadRequest for a bad body, possibly after
    some parts.
    """
    check_resources(parts)
    for raw_resource, raw_spans in parts:
        try:
            resource = reading.resource(resource_of(_bounded(raw_resource, "the resource")))
        except InvalidSpan as error:
            reading.reject(error, len(raw_spans))
            continue
        for raw in raw_spans:
            try:
                reading.add(decode(_bounded(raw, "a span")), resource)
            except InvalidSpan as error:
                reading.reject(error)
            if reading.is_full:
                yield reading.take()
    yield reading.take(is_last=True)


def check_resources(parts: Iterable[Part]) -> None:
    """Raise TooLarge if the resources are too large, each counted once per span."""
    if sum(len(raw_resource) * len(raw_spans) for raw_resource, raw_spans in parts) > MAX_RESOURCE_BYTES:
        raise TooLarge(f"more than {MAX_RESOURCE_BYTES >> 20} MiB of resources, each counted once per span")


def whole_of(parts: Iterable[Read]) -> Read:
    """Return the parts of a request as one result."""
    spans: list[Span] = []
    rejections: Counter[str] = Counter()
    removed: Counter[str] = Counter()
    notes: list[dict] = []
    for part in parts:
        spans += part.spans
        rejections.update(part.rejections)
        removed.update(part.removed)
        notes += part.notes
    return Read(spans, dict(rejections), dict(removed), tuple(notes))


def number(value: object, name: str) -> int | None:
    """Return an integer or None. InvalidSpan does not quote the value, since its reason goes to the client."""
    if type(value) is str and len(value) < 30 and value.isascii() and value.isdigit():
        return int(value)
    try:
        return whole(value, name)
    except InvalidSpan:
        raise InvalidSpan(f"{name} is not a number") from None


def _bounded(raw: memoryview, what: str) -> bytes:
    if len(raw) > MAX_SPAN_BYTES:
        raise InvalidSpan(f"{what} is larger than {MAX_SPAN_BYTES >> 20} MiB")
    return bytes(raw)


def _uuid(digits: str, length: int, name: str) -> str:
    if len(digits) != length:
        raise InvalidSpan(f"{name} is not {length} hex digits")
    if not digits.strip("0"):
        raise InvalidSpan(f"{name} is all zeros")
    if length == 16:
        return f"00000000-0000-0000-{digits[:4]}-{digits[4:]}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _set_columns(span: Span, columns: dict) -> None:
    span.span_type = _type(columns) or span.span_type
    span.span_name = _word(columns, "span_name") or span.span_name
    span.queue_wait_ms = _queue_wait(columns)
    span.workflow_execution_id = _word(columns, "workflow_execution_id")
    span.sd_id = _word(columns, "sd_id")
    span.project = _word(columns, "project") or span.project


# Span would refuse these too, but its reason includes the value and goes into logs.
def _type(columns: dict) -> str | None:
    word = _word(columns, "span_type")
    if word is not None and ("+" in word or word in RESERVED_TYPES):
        raise InvalidSpan("leo.span_type is reserved by the dimension grammar")
    return word


def _queue_wait(columns: dict) -> int | None:
    wait = number(columns.get("queue_wait_ms"), "leo.queue_wait_ms")
    if wait is not None and not 0 <= wait <= LATEST_MS:
        raise InvalidSpan("leo.queue_wait_ms is negative or too large")
    return wait


def _word(columns: dict, name: str) -> str | None:
    value = columns.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or value.isspace():
        raise InvalidSpan(f"{conventions.OURS}{name} is not text")
    return value


def _weight(span: Span) -> int:
    # Memory of a span in bytes, within about 10 %.
    return 800 + _size(span.attributes)


def _size(value: object) -> int:
    size = getsizeof(value)
    if type(value) is dict:
        size += sum(map(getsizeof, value)) + _size_of_all(value.values())
    elif type(value) is list:
        size += _size_of_all(value)
    return size


def _size_of_all(values: Collection) -> int:
    is_flat = _NESTED.isdisjoint(map(type, values))
    return sum(map(getsizeof if is_flat else _size, values))
