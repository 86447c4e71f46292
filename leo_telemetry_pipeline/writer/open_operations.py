"""Operations that have been open for a while, on their way to where everyone can see them.

Belongs here: what is announced, when it is told again, when it is withdrawn.
Does not: the operations themselves, nor the table that shows them (store.open_spans).
"""

import time
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import TYPE_CHECKING

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.tracing.context import uuid_text
from leo_telemetry_pipeline.tracing.operation import Operation

if TYPE_CHECKING:
    from leo_telemetry_pipeline.writer.sink import Sink

LOOK_S = 1.0
BEAT_S = 5.0
# So many are told at once; who has more open operations looks at the oldest.
MOST = 1_000


class OpenOperations:
    """What of the open operations is announced; ``job`` says what is to be told now."""

    def __init__(self, open_after_s: float, span_of: Callable[[Operation], Span | None]) -> None:
        self._open_after_ns = int(open_after_s * 1e9)
        self._span_of = span_of
        self._announced: dict[Operation, tuple[str, str]] = {}
        self._withdrawn: list[tuple[str, str]] = []
        self._look_at_s = self._beat_at_s = 0.0
        self._asked = False

    @property
    def tells(self) -> bool:
        """Whether somebody has to look at the operations again."""
        return bool(self._announced or self._withdrawn)

    def job(self, operations: Iterable[Operation]) -> "Announcement | None":
        """Return what is to be told about the operations that are open, oldest first; mostly nothing."""
        now = time.monotonic()
        if self._asked or now < self._look_at_s:
            return None
        self._look_at_s = now + LOOK_S
        before = time.time_ns() - self._open_after_ns
        long = list(takewhile(lambda operation: operation.start_ns <= before, operations))[:MOST]
        still = dict.fromkeys(long)
        fresh = [operation for operation in long if operation not in self._announced]
        self._withdraw(operation for operation in list(self._announced) if operation not in still)
        beat = bool(self._announced) and now >= self._beat_at_s
        if not fresh and not self._withdrawn and not beat:
            return None
        if beat or not self._announced:
            self._beat_at_s = now + BEAT_S
        self._announced.update((operation, _ids(operation)) for operation in fresh)
        spans = [self._span_of(operation) for operation in (long if beat else fresh)]
        return self._announcement([span for span in spans if span is not None])

    def farewell(self) -> "Announcement | None":
        """Return what withdraws everything; None for nothing."""
        if self._asked:
            return None
        self._withdraw(list(self._announced))
        return self._announcement([]) if self._withdrawn else None

    def told(self, announcement: "Announcement", done: bool) -> None:
        """Take note of whether an announcement was made."""
        del self._withdrawn[: len(announcement.ended)]
        if not done:
            # Told anew when the database is back; what ends meanwhile stops beating there.
            self._announced.clear()
        # Last: from here on another thread may change both.
        self._asked = False

    def _announcement(self, spans: list[Span]) -> "Announcement":
        self._asked = True
        return Announcement(self, spans, self._withdrawn.copy())

    def _withdraw(self, operations: Iterable[Operation]) -> None:
        self._withdrawn += [self._announced.pop(operation) for operation in operations]


class Announcement:
    """A job that tells what is open and what is not any more."""

    def __init__(self, running: OpenOperations, opened: list[Span], ended: list[tuple[str, str]]) -> None:
        self.ended = ended
        self._running = running
        self._opened = opened
        self._told = False

    def run(self, sink: "Sink") -> None:
        """Tell it."""
        sink.announce(self._opened, self.ended)

    def finish(self, done: bool) -> None:
        """Take note of it, once."""
        if not self._told:
            self._told = True
            self._running.told(self, done)


def _ids(operation: Operation) -> tuple[str, str]:
    return uuid_text(operation.trace_id), uuid_text(operation.span_id)
