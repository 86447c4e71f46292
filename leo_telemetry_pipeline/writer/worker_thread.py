"""The thread of a writer: it takes what ended from the queue, and sees that nothing stays in memory for long.

Belongs here: when a batch is made, and whether it goes to the database or to the disk. It never waits for a network.
Does not: the calls of the program that is measured (writer), talking to the database (sender).

A span is in memory alone for two ticks, also while somebody waits for it or the program ends: what the database has
not taken by then is on disk as well.
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
from leo_telemetry_pipeline.writer.open_operations import Running
from leo_telemetry_pipeline.writer.preparing import Kept, Parts
from leo_telemetry_pipeline.writer.sender import PATIENCE_S, Sender
from leo_telemetry_pipeline.writer.state import State

if TYPE_CHECKING:
    from leo_telemetry_pipeline.writer.sink import Sink

TICK_S = 0.1
_HURRIED_TICK_S = 0.02
# A program pays more for waking this thread than for a span: as long as spans keep coming, the clock wakes it.
PARK_AFTER_S = 1.0
BATCH = 1_000
# The spool is emptied in bites, so that what ends now does not wait behind what ended yesterday.
BITE_S = 0.2
_ASK_DRAINER_S = 5.0
MOST_OPEN = 10_000


class Loop:
    """Runs until its writer is closing and every span has its end."""

    def __init__(
        self,
        state: State,
        parts: Parts,
        make_sink: "Callable[[], Sink]",
        prepare: Callable[[], object],
        open_after_s: float,
    ) -> None:
        self._state = state
        self._parts = parts
        self._journal = parts.journal
        self._sender = Sender(make_sink, prepare, lambda: state.bell.put(False))
        self._running = Running(open_after_s, self._open_span)
        # Spans before this position were there when the last whole tick ended; ticks in a hurry make nothing older.
        self._aged_to = 0
        self._aged_s = -math.inf
        self._last_batch_s = -math.inf
        self._answered = False
        self._spooled = 0
        self._drain_at_s: float | None = None

    def run(self) -> None:
        """Work until the writer closes."""
        state = self._state
        # The sender may still be counting what it has given back already.
        while not (state.closing and (state.is_over or (self._is_done() and not state.tally.in_hand))):
            self._wait()
            try:
                self._tick()
            except Exception as error:  # noqa: BLE001 the next tick may do better, and nobody else would
                state.trouble = error
        self._say_goodbye()

    def _wait(self) -> None:
        """Wait until there is something to do, and then for more of it to come together."""
        state = self._state
        if self._is_idle() and time.monotonic() - self._last_batch_s > PARK_AFTER_S:
            state.parked = True
            # Whoever came before this was seen has not rung.
            urgent = self._is_idle() and self._ring(self._until_drain())
            state.parked = False
            if urgent:
                return
        until = time.monotonic() + (_HURRIED_TICK_S if state.in_a_hurry else TICK_S)
        while (left := until - time.monotonic()) > 0:
            if self._ring(left) or state.in_a_hurry or len(state.queue) >= BATCH:
                return

    def _ring(self, timeout_s: float | None) -> bool:
        """Wait for the bell, and say whether it is urgent."""
        try:
            return self._state.bell.get(timeout=timeout_s)
        except Empty:
            return False

    def _is_done(self) -> bool:
        return not (self._state.queue or self._sender.jobs)

    def _is_idle(self) -> bool:
        return self._is_done() and not (self._state.open or self._running.tells or self._state.in_a_hurry)

    def _until_drain(self) -> float | None:
        if self._drain_at_s is None:
            return None
        return max(0.0, max(self._drain_at_s, self._sender.again_s) - time.monotonic())

    def _tick(self) -> None:
        state, sender = self._state, self._sender
        if state.out_of_time or sender.busy_s() > PATIENCE_S:
            sender.give_up()
        # Seen before the queue is emptied: what ends meanwhile is still open here, and stored before it is withdrawn.
        opened = list(state.open)
        for operation in opened[:-MOST_OPEN]:
            # What is never ended must not be kept for ever; it is not shown any more, and stored if it ends.
            state.open.pop(operation, None)
        is_whole = time.monotonic() - self._aged_s >= TICK_S
        self._dispatch(self._aged_to if is_whole else 0)
        self._secure_late()
        if is_whole:
            self._aged_to, self._aged_s = state.tally.position(len(state.queue)), time.monotonic()
        self._journal.release(after_s=LEFT_AFTER_S)
        if state.tally.spooled != self._spooled or sender.answered != self._answered:
            # This program, or one before it, left something on disk.
            self._spooled, self._answered = state.tally.spooled, sender.answered
            self._drain_at_s = time.monotonic()
        if sender.accepts and not state.queue and not state.closing:
            self._tell(opened)

    def _dispatch(self, aged_to: int) -> None:
        """Hand on what waits: to the database as it accepts more, to the disk what lies before ``aged_to``."""
        state, sender = self._state, self._sender
        while state.queue and not state.is_over:
            aged = aged_to - state.tally.position(0)
            if state.out_of_time or sender.away:
                self._batch(BATCH).finish(False)
            elif sender.accepts:
                sender.offer(self._batch(BATCH))
            elif state.in_a_hurry and sender.has_room and (aged > 0 or len(state.queue) >= BATCH):
                # Somebody waits for the database, but shall not do so with spans in memory alone: of many, writing
                # the last takes a while.
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
        """Take spans from the queue, and make of them what may be stored."""
        state, tally = self._state, self._state.tally
        self._last_batch_s = time.monotonic()
        with tally.lock:
            items = [state.queue.popleft() for _ in range(min(most, len(state.queue)))]
            hand = tally.take(len(items))
            removed = tally.take_removed()
        spans: list[Span] = []
        kept: list[Kept] = []
        for item in items:
            self._state.progress += 1
            if isinstance(item, Kept):
                kept.append(item)
            elif id(item) in state.of_parent:
                tally.disown(hand, 1)
            else:
                try:
                    spans.append(self._parts.span(item, removed))
                except Exception:  # noqa: BLE001 one span that cannot be is lost, and counted, alone
                    tally.drop(hand, "invalid", 1)
        return Batch(tally, hand, self._journal, spans, removed, kept)

    def _tell(self, opened: list[Operation]) -> None:
        """Use the time in which the database has nothing to store."""
        announcement = self._running.job(opened)
        if announcement is not None:
            self._sender.offer(announcement)
        elif not self._sender.jobs and self._drain_at_s is not None and time.monotonic() >= self._drain_at_s:
            self._drain_at_s = None
            self._journal.release()
            self._sender.offer(_Bite(str(self._parts.spool.folder), self._sender.goes_on, self._drained))

    def _drained(self, drained: Drained | None) -> None:
        """Take note of a bite: None where the database went away meanwhile."""
        now = time.monotonic()
        if drained is None or drained.busy:
            self._drain_at_s = now + _ASK_DRAINER_S
        elif drained.segments and drained.left:
            self._drain_at_s = now

    def _open_span(self, operation: Operation) -> Span | None:
        with suppress(Exception):  # its program may change it meanwhile
            return self._parts.span(operation, {})
        return None

    def _say_goodbye(self) -> None:
        farewell = self._running.farewell()
        if farewell is not None and self._sender.accepts:
            self._sender.offer(farewell)
            while self._sender.jobs and not self._state.out_of_time:
                self._ring(_HURRIED_TICK_S)
        if self._state.is_over:
            self._state.give_up()
        with suppress(Exception):  # the disk may refuse, and the interpreter be about to end
            self._parts.put_away()
        self._sender.close()


class _Bite:
    """A job that empties a part of the spool."""

    def __init__(self, folder: str, goes_on: Callable[[], object], drained: Callable[[Drained | None], object]) -> None:
        self._folder = folder
        self._goes_on = goes_on
        self._told = drained
        self._drained = Drained()

    def run(self, sink: "Sink") -> None:
        with suppress(OSError), drain.opened(self._folder, at_most_s=BITE_S) as opened:  # no fault of the database
            for batch in opened.batches:
                # A segment may be large: each part of it has the time of a job.
                self._goes_on()
                batch.stored = sink.store(batch.spans, batch.removed)
            self._drained = opened.drained

    def finish(self, done: bool) -> None:
        self._told(self._drained if done else None)
