"""Span: the record of one timed operation, which sources produce and the store writes.

Belongs here: Span and its validation.
Does not: producing spans (tracing, sources), redaction (redact), storing (store).
Imported by the measured program, so it imports nothing slow.
"""

COLUMNS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "workflow_execution_id",
    "sd_id",
    "project",
    "phase",
    "gate_name",
    "subagent_name",
    "span_type",
    "span_name",
    "start_time_ms",
    "end_time_ms",
    "duration_ms",
    "duration_rest_us",
    "queue_wait_ms",
    "status",
    "attributes",
)

# Dimension types that cannot be span types, like any word with a plus sign.
RESERVED_TYPES = ("sd_type", "global")

# End of the year 9999: later than any plausible clock error, and small enough that sums do not overflow.
LATEST_MS = 253_402_300_799_999
LATEST_NS = LATEST_MS * 1_000_000 + 999_999

# A duration as it is stored: rounded to ms, and the microseconds to add; None where the source has whole ms.
Lasted = tuple[int, int | None]
_MS = 1_000_000


def lasted(nanoseconds: int) -> Lasted:
    """Return a duration, rounded half up to ms, and the rest of -500 to 499 microseconds."""
    ms = (nanoseconds + _MS // 2) // _MS
    return ms, min((nanoseconds + 500) // 1_000 - ms * 1_000, 499)


def lasted_between(start_ns: int, end_ns: int) -> Lasted:
    """Return the duration between two moments. If both are in whole ms, so is their clock, and the rest is unknown."""
    ms, rest_us = lasted(end_ns - start_ns)
    return ms, None if start_ns % _MS == 0 == end_ns % _MS else rest_us


class InvalidSpan(ValueError):
    """Invalid span values; the message names the column and the fault."""


class InvalidStart(InvalidSpan):
    """A start outside 1970 to 9999, often a time in another unit; ``start`` and ``end`` are as given."""

    def __init__(self, start: int, end: int | None) -> None:
        super().__init__(f"start_time_ms {start} is not a time between 1970 and 9999")
        self.start = start
        self.end = end


class Span:
    """One timed operation, with the columns of ``workflow_trace_log``.

    Ids are canonical UUID strings, times UTC epoch milliseconds, durations milliseconds, attributes valid JSON.
    ``duration_rest_us`` are the microseconds, -500 to 499, that the rounded duration lacks; None if that is unknown.
    Only the older LEO format sets ``phase``, ``gate_name`` and ``subagent_name``; its ``span_name`` is generic.
    """

    __slots__ = COLUMNS

    def __init__(
        self,
        *,
        trace_id: str,
        span_id: str,
        span_type: str,
        span_name: str,
        start_time_ms: int,
        end_time_ms: int | None = None,
        duration_ms: int | None = None,
        duration_rest_us: int | None = None,
        parent_span_id: str | None = None,
        queue_wait_ms: int | None = None,
        workflow_execution_id: str | None = None,
        sd_id: str | None = None,
        project: str = "",
        phase: str | None = None,
        gate_name: str | None = None,
        subagent_name: str | None = None,
        status: str | None = None,
        attributes: dict | None = None,
    ) -> None:
        if not span_type:
            raise InvalidSpan("span_type is empty")
        if "+" in span_type or span_type in RESERVED_TYPES:
            raise InvalidSpan(f"span_type {span_type!r} is reserved by the dimension grammar")
        if not span_name:
            raise InvalidSpan("span_name is empty")
        if not 0 <= start_time_ms <= LATEST_MS:
            raise InvalidStart(start_time_ms, end_time_ms)
        if end_time_ms is not None and not start_time_ms <= end_time_ms <= LATEST_MS:
            raise InvalidSpan(f"end_time_ms {end_time_ms} is before start_time_ms {start_time_ms} or after 9999")
        if duration_ms is not None and not 0 <= duration_ms <= LATEST_MS:
            raise InvalidSpan(f"duration_ms {duration_ms} is negative or too large")
        if duration_rest_us is not None and not _is_rest(duration_ms, duration_rest_us):
            raise InvalidSpan(f"duration_rest_us {duration_rest_us} is not the rest of duration_ms {duration_ms}")
        if queue_wait_ms is not None and not 0 <= queue_wait_ms <= LATEST_MS:
            raise InvalidSpan(f"queue_wait_ms {queue_wait_ms} is negative or too large")
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_span_id = parent_span_id
        self.workflow_execution_id = workflow_execution_id
        self.sd_id = sd_id
        self.project = project
        self.phase = phase
        self.gate_name = gate_name
        self.subagent_name = subagent_name
        self.span_type = span_type
        self.span_name = span_name
        self.start_time_ms = start_time_ms
        self.end_time_ms = end_time_ms
        self.duration_ms = duration_ms
        self.duration_rest_us = duration_rest_us
        self.queue_wait_ms = queue_wait_ms
        self.status = status
        self.attributes = attributes if attributes is not None else {}

    def __repr__(self) -> str:
        return f"Span({self.span_type}:{self.span_name}, trace_id={self.trace_id}, span_id={self.span_id})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Span):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in COLUMNS)

    __hash__ = None  # type: ignore[assignment]  # mutable, like its attributes


def _is_rest(duration_ms: int | None, rest_us: int) -> bool:
    return duration_ms is not None and -500 <= rest_us <= 499 and duration_ms * 1_000 + rest_us >= 0
