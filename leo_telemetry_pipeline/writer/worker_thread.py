"""Worker thread of a writer: takes ended operations from the queue, and never waits for a network.

Belongs here: when a batch is made, and whether it goes to the database or to disk. Spans that the database has not
taken within two ticks are written to disk, even during a flush or close.
Does not: calls of the measured program (writer), talking to the database (sender).
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import TYPE_CHECKING

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import drain
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.spool.journal import LEFT_AFTER_S
from leo_telemetry_pipeline.tracing.operation import Operation
from leo_telemetry_pipeline.writer.batches import Batch
from leo_telemetry_pipeline.writer.open_operations import OpenOperations
from leo_telemetry_pipeline.writer.preparing import Kept, Parts
from leo_telemetry_pipeline.writer.sender import PATIENCE_S, Sender
from leo_telemetry_pipeline.writer.state import WriterState

if TYPE_CHECKING:
    from leo_telemetry_pipeline.writer.sink import Sink

TICK_S = 0.1
_HURRIED_TICK_S = 0.02
# Waking this thread costs more than recording a span: while spans keep coming, it polls instead.
PARK_AFTER_S = 1.0
BATCH = 1_000
# The spool is drained in steps, so that new spans do not wait behind old ones.
_DRAIN_STEP_S = 0.2
_DRAIN_AGAIN_S = 5.0
MOST_OPEN = 10_000


class Loop:
    """Main loop of the thread: runs until the writer is closing and every span is settled."""

    def __init__(
        self,
        state: WriterState,
        parts: Parts,
        make_sink: "Callable[[], Sink]",
        prepare: Callable[[], object],
        open_after_s: float,
    ) -> None:
        self._state = state
        self._parts = parts
        self._journal = parts.journal
        self._sender = Sender(make_sink, prepare, lambda: state.bell.put(False))
        self._open_operations = OpenOperations(open_after_s, self._open_span)
        # Spans before this position have aged by a whole tick; hurried ticks do not age spans.
        self._aged_to = 0
        self._aged_s = -math.inf
        self._last_batch_s = -math.inf
        self._answered = False
        self._spooled = 0
        self._drain_at_s: float | None = None

    def run(self) -> None:
        """Work until the writer closes."""
        state = self._state
        # The sender may still be counting the spans of a finished job.
        while not (state.closing and (state.is_over or (self._is_done() and not state.tally.unsettled))):
            self._wait()
            try:
                self._tick()
            except Exception as error:  # noqa: BLE001 the next tick may succeed; nothing restarts this thread
                state.trouble = error
        self._shut_down()

    def _wait(self) -> None:
        """Wait until there is work, then let it accumulate for a tick."""
        state = self._state
        if self._is_idle() and time.monotonic() - self._last_batch_s > PARK_AFTER_S:
            state.parked = True
            # Spans that came before `parked` was set have not rung the bell.
            urgent = self._is_idle() and self._ring(self._until_drain())
            state.parked = False
            if urgent:
                return
        until = time.monotonic() + (_HURRIED_TICK_S if state.in_a_hurry else TICK_S)
        while (left := until - time.monotonic()) > 0:
            if self._ring(left) or state.in_a_hurry or len(state.queue) >= BATCH:
                return

    def _ring(self, timeout_s: float | None) -> bool:
        """Wait for the bell; return whether it is urgent."""
        try:
            return self._state.bell.get(timeout=timeout_s)
        except Empty:
            return False

    def _is_done(self) -> bool:
        return not (self._state.queue or self._sender.jobs)

    def _is_idle(self) -> bool:
        return self._is_done() and not (self._state.open or self._open_operations.is_active or self._state.in_a_hurry)

    def _until_drain(self) -> float | None:
        if self._drain_at_s is None:
            return None
        return max(0.0, max(self._drain_at_s, self._sender.again_s) - time.monotonic())

    def _tick(self) -> None:
        state, sender = self._state, self._sender
        if state.out_of_time or sender.busy_s() > PATIENCE_S:
            sender.give_up()
        # Taken before the queue is emptied: an operation that ends meanwhile is stored before it is withdrawn.
        opened = list(state.open)
        for operation in opened[:-MOST_OPEN]:
            # To limit memory, the operation is no longer shown as open; its span is still stored when it ends.
            state.open.pop(operation, None)
        is_whole = time.monotonic() - self._aged_s >= TICK_S
        self._dispatch(self._aged_to if is_whole else 0)
        self._secure_late()
        if is_whole:
            self._aged_to, self._aged_s = state.tally.position(len(state.queue)), time.monotonic()
        self._journal.release(after_s=LEFT_AFTER_S)
        if state.tally.spooled != self._spooled or sender.answered != self._answered:
            # This program or an earlier one may have left spans on disk.
            self._spooled, self._answered = state.tally.spooled, sender.answered
            self._drain_at_s = time.monotonic()
        if sender.accepts and not state.queue and not state.closing:
            self._use_idle_sender(opened)

    def _dispatch(self, aged_to: int) -> None:
        """Pass queued spans to the database while it accepts them, and spans before ``aged_to`` to disk."""
        state, sender = self._state, self._sender
        while state.queue and not state.is_over:
            aged = aged_to - state.tally.position(0)
            if state.out_of_time or sender.away:
                self._batch(BATCH).finish(False)
            elif sender.accepts:
                sender.offer(self._batch(BATCH))
            elif state.in_a_hurry and sender.has_room and (aged > 0 or len(state.queue) >= BATCH):
                # A flush waits for the database; meanwhile its spans must not be only in memory.
                batch = self._batch(BATCH)
                batch.secure()
                sender.offer(batch)
            elif aged > 0:
                self._batch(min(BATCH, aged)).finish(False)
            else:
                return
            self._secure_late()

    def _secure_late(self) -> None:
        for job in list(self._sender.jobs):
            if isinstance(job, Batch) and job.age_s() > TICK_S:
                job.secure()

    def _batch(self, most: int) -> Batch:
        """Take items from the queue and prepare their spans."""
        state, tally = self._state, self._state.tally
        self._last_batch_s = time.monotonic()
        with tally.lock:
            items = [state.queue.popleft() for _ in range(min(most, len(state.queue)))]
            taken = tally.take(len(items))
            removed = tally.take_removed()
        spans: list[Span] = []
        kept: list[Kept] = []
        for item in items:
            self._state.progress += 1
            if isinstance(item, Kept):
                kept.append(item)
            elif id(item) in state.of_parent:
                tally.disown(taken, 1)
            else:
                try:
                    spans.append(self._parts.span(item, removed))
                except Exception:  # noqa: BLE001 an invalid span is dropped and counted, without the others
                    tally.drop(taken, "invalid", 1)
        return Batch(tally, taken, self._journal, spans, removed, kept)

    def _use_idle_sender(self, opened: list[Operation]) -> None:
        """Announce open operations or drain the spool while there is nothing to store."""
        announcement = self._open_operations.job(opened)
        if announcement is not None:
            self._sender.offer(announcement)
        elif not self._sender.jobs and self._drain_at_s is not None and time.monotonic() >= self._drain_at_s:
            self._drain_at_s = None
            self._journal.release()
            self._sender.offer(_DrainJob(str(self._parts.spool.folder), self._sender.restart_clock, self._drained))

    def _drained(self, drained: Drained | None) -> None:
        """Schedule the next drain after ``drained``, which is None if the database went away."""
        now = time.monotonic()
        if drained is None or drained.busy:
            self._drain_at_s = now + _DRAIN_AGAIN_S
        elif drained.segments and drained.left:
            self._drain_at_s = now

    def _open_span(self, operation: Operation) -> Span | None:
        with suppress(Exception):  # the program may change it concurrently
            return self._parts.span(operation, {})
        return None

    def _shut_down(self) -> None:
        withdrawal = self._open_operations.withdrawal()
        if withdrawal is not None and self._sender.accepts:
            self._sender.offer(withdrawal)
            while self._sender.jobs and not self._state.out_of_time:
                self._ring(_HURRIED_TICK_S)
        if self._state.is_over:
            self._state.give_up()
        with suppress(Exception):  # the disk may refuse, or the interpreter be shutting down
            self._parts.put_away()
        self._sender.close()


class _DrainJob:
    """Job that drains part of the spool."""

    def __init__(
        self, folder: str, restart_clock: Callable[[], object], on_drained: Callable[[Drained | None], object]
    ) -> None:
        self._folder = folder
        self._restart_clock = restart_clock
        self._on_drained = on_drained
        self._drained = Drained()

    def run(self, sink: "Sink") -> None:
        # An unreadable spool does not mean that the database is away.
        with suppress(OSError), drain.opened(self._folder, at_most_s=_DRAIN_STEP_S) as opened:
            for batch in opened.batches:
                # A segment may be large, so the time limit of a job applies to each part.
                self._restart_clock()
                batch.stored = sink.store(batch.spans, batch.removed)
            self._drained = opened.drained

    def finish(self, done: bool) -> None:
        self._on_drained(self._drained if done else None)
