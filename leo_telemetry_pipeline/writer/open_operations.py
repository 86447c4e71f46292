"""Announcement of long-running operations, so that they are visible while they run.

Belongs here: what is announced, repeated and withdrawn, and when. Does not: the table of open spans (store.open_spans).
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

CHECK_S = 1.0
BEAT_S = 5.0
# Maximum number of open operations that are announced; the oldest ones are chosen.
MOST = 1_000


class OpenOperations:
    """Tracks which open operations are announced; ``job`` returns the next announcement."""

    def __init__(self, open_after_s: float, span_of: Callable[[Operation], Span | None]) -> None:
        self._open_after_ns = int(open_after_s * 1e9)
        self._span_of = span_of
        self._announced: dict[Operation, tuple[str, str]] = {}
        self._withdrawn: list[tuple[str, str]] = []
        self._check_at_s = self._beat_at_s = 0.0
        self._is_pending = False

    @property
    def is_active(self) -> bool:
        """Whether ``job`` must be called again even without open operations."""
        return bool(self._announced or self._withdrawn)

    def job(self, operations: Iterable[Operation]) -> "Announcement | None":
        """Return the announcement that is due, given the open operations, oldest first; usually None."""
        now = time.monotonic()
        if self._is_pending or now < self._check_at_s:
            return None
        self._check_at_s = now + CHECK_S
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

    def withdrawal(self) -> "Announcement | None":
        """Return the announcement that withdraws everything, None if there is nothing to withdraw."""
        if self._is_pending:
            return None
        self._withdraw(list(self._announced))
        return self._announcement([]) if self._withdrawn else None

    def settle(self, announcement: "Announcement", done: bool) -> None:
        """Note whether an announcement succeeded."""
        del self._withdrawn[: len(announcement.ended)]
        if not done:
            # All are announced again when the database is back; until then, rows of ended ones merely get no heartbeat.
            self._announced.clear()
        # Set last: from here on, another thread may change the fields above.
        self._is_pending = False

    def _announcement(self, spans: list[Span]) -> "Announcement":
        self._is_pending = True
        return Announcement(self, spans, self._withdrawn.copy())

    def _withdraw(self, operations: Iterable[Operation]) -> None:
        self._withdrawn += [self._announced.pop(operation) for operation in operations]


class Announcement:
    """Job that announces open operations and withdraws ended ones."""

    def __init__(self, operations: OpenOperations, opened: list[Span], ended: list[tuple[str, str]]) -> None:
        self.ended = ended
        self._operations = operations
        self._opened = opened
        self._is_finished = False

    def run(self, sink: "Sink") -> None:
        """Announce and withdraw."""
        sink.announce(self._opened, self.ended)

    def finish(self, done: bool) -> None:
        """Settle the announcement once."""
        if not self._is_finished:
            self._is_finished = True
            self._operations.settle(self, done)


def _ids(operation: Operation) -> tuple[str, str]:
    return uuid_text(operation.trace_id), uuid_text(operation.span_id)
