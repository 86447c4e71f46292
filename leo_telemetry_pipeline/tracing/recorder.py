"""Recorders for tests, and the clock and ids that make what they record the same each time.

Belongs here: InMemoryRecorder, FixedClock and FixedIds, for the tests of programs that are measured.
Does not: the recorder of a real program (writer).
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
    """Keeps what ended, for a test to look at: ``Tracer(InMemoryRecorder())``."""

    def __init__(self) -> None:
        self._ended: list[Operation] = []

    def begin(self, operation: Operation) -> None:
        """Take no notice of what only begins."""

    def end(self, operation: Operation) -> None:
        """Keep an operation that ended."""
        self._ended.append(operation)

    @property
    def spans(self) -> list[Span]:
        """The spans in the order of their ends, as they would be stored."""
        return [redact.clean(to_span(operation)) for operation in list(self._ended)]

    def clear(self) -> None:
        """Forget all of them."""
        self._ended.clear()


class FixedClock:
    """A clock that moves only when told to; ``start_s`` is in seconds since the epoch."""

    def __init__(self, start_s: float = 1_767_225_600.0) -> None:
        self._wall_ns = round(start_s * _NS)
        self._monotonic_ns = 0

    def wall_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """Return nanoseconds since this clock was made."""
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall_ns += round(seconds * _NS)
        self._monotonic_ns += round(seconds * _NS)

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back by a negative number, without time passing."""
        self._wall_ns += round(seconds * _NS)


class FixedIds:
    """Ids that count from 1 instead of random ones; trace ids are UUIDs all the same."""

    def __init__(self) -> None:
        self._given: dict[int, int] = {}

    def __call__(self, bits: int) -> int:
        """Return the next number for ids of so many bits."""
        self._given[bits] = self._given.get(bits, 0) + 1
        return self._given[bits]
