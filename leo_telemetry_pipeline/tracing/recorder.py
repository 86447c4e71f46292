"""In-memory recorder, fixed clock and fixed ids, for repeatable tests of measured programs.

Belongs here: test doubles of the trace API. Does not: the recorder of a real program (writer).
"""

from __future__ import annotations

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.tracing.to_span import to_span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from leo_telemetry_pipeline.span import Span
    from leo_telemetry_pipeline.tracing.operation import Operation

_NS = 1_000_000_000


class InMemoryRecorder:
    """Keeps ended operations for a test: ``Tracer(InMemoryRecorder())``."""

    def __init__(self) -> None:
        self._ended: list[Operation] = []

    def begin(self, operation: Operation) -> None:
        """Ignore an operation that has only begun."""

    def end(self, operation: Operation) -> None:
        """Keep an ended operation."""
        self._ended.append(operation)

    @property
    def spans(self) -> list[Span]:
        """Spans in the order in which they ended, as they would be stored."""
        return [redact.clean(to_span(operation)) for operation in list(self._ended)]

    def clear(self) -> None:
        """Forget all spans."""
        self._ended.clear()


class FixedClock:
    """Clock that moves only on request; ``start_s`` is in seconds since the epoch."""

    def __init__(self, start_s: float = 1_767_225_600.0) -> None:
        self._wall_ns = round(start_s * _NS)
        self._monotonic_ns = 0

    def wall_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """Return nanoseconds since this clock was created."""
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        self._wall_ns += round(seconds * _NS)
        self._monotonic_ns += round(seconds * _NS)

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock, back if negative, but not the monotonic clock."""
        self._wall_ns += round(seconds * _NS)


class FixedIds:
    """Ids that count up from 1 instead of random ones; trace ids are still valid UUIDs."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def __call__(self, bits: int) -> int:
        """Return the next id of this number of bits."""
        self._last[bits] = self._last.get(bits, 0) + 1
        return self._last[bits]
