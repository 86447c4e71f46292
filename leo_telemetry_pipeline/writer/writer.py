"""Writer: the recorder of a real program; queues ended operations, which its threads deliver.

Belongs here: the calls of the measured program. They never raise, print or wait for a network.
Does not: delivery to database or disk (worker_thread, sender, spool.journal), detecting exits (process_hooks).
"""

import math
import time
from _thread import RLock, get_ident
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Thread

from leo_telemetry_pipeline.writer import patience, process_hooks
from leo_telemetry_pipeline.writer.sink import Unavailable
from leo_telemetry_pipeline.writer.state import WriterState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from leo_telemetry_pipeline.redact import Policy
    from leo_telemetry_pipeline.span import Span
    from leo_telemetry_pipeline.tracing.operation import Operation
    from leo_telemetry_pipeline.writer.preparing import Kept, Parts
    from leo_telemetry_pipeline.writer.sink import Sink

__all__ = ["Unavailable", "Writer"]

CLOSE_S = 1.0
# A queue of this length wakes the thread without waiting for its next tick.
_MANY = 1_000
# Part of the time to close that is reserved for the spool, in total and per span.
_SPOOL_S = 0.15
_SPOOL_ONE_S = 50e-6
# Part of that time that is reserved for the counters.
_COUNTERS_S = 0.05
# Longer than any import that does not hang; limit for an exit that waits for a slow disk.
_MAKING_S = 5.0
# Whether all but the database driver is imported.
_is_loaded = False


@contextmanager
def _held(lock: RLock) -> "Iterator[None]":
    if not patience.acquired(lock, _MAKING_S):
        raise TimeoutError
    try:
        yield
    finally:
        lock.release()


class Writer:
    """Delivers the spans of ended operations to the database, or to disk while it is away.

    ``make_sink`` is called in a thread and raises Unavailable without a database; ``prepare`` imports what it needs.
    ``folder`` is the spool, limited to ``spool_bytes``; at most ``queue_spans`` wait in memory. If ``durable``, a span
    is on disk when ``end`` returns. Operations open for ``open_after_s`` are announced. ``policy`` decides which
    attributes are kept; ``project`` is the default.
    """

    def __init__(
        self,
        make_sink: "Callable[[], Sink]",
        *,
        folder: str,
        project: str = "",
        durable: bool = False,
        queue_spans: int = 20_000,
        spool_bytes: int = 256 << 20,
        open_after_s: float = 2.0,
        policy: "Policy | None" = None,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self._folder = folder
        self._open_after_s = open_after_s
        self._make_sink = make_sink
        self._project = project
        self._durable = durable
        self._queue_spans = queue_spans
        self._spool_bytes = spool_bytes
        self._policy = policy
        self._prepare = prepare
        self._is_cut_off = False
        self._begin(WriterState({}))
        process_hooks.in_forked_child(self._reset_in_child)

    def _begin(self, state: WriterState) -> None:
        self.state = state
        self._is_closed = False
        self._thread: Thread | None = None
        self._parts_lock = RLock()
        self._made_by = 0
        self._parts: Parts | None = None
        # -1 disables the fast path: in durable mode and when closing.
        self._room = -1 if self._durable or state.closing else self._queue_spans

    def begin(self, operation: "Operation", /) -> None:
        """Note an operation that has begun."""
        state = self.state
        state.open[operation] = None
        if state.parked:
            self._wake()

    def end(self, operation: "Operation", /) -> None:
        """Queue an ended operation; safe in threads, signal handlers and finalizers."""
        state = self.state
        state.open.pop(operation, None)
        queue = state.queue
        waiting = len(queue)
        if waiting < self._room:
            queue.append(operation)
            if state.parked or waiting == _MANY:
                self._wake()
        else:
            self._take_slow_path(operation)

    def submit(self, spans: "Iterable[Span]", removed: Mapping[str, int] | None = None) -> int:
        """Queue spans and the counts of their removed attributes by name; return how many spans were dropped."""
        state = self.state
        state.tally.remember(removed or {})
        dropped = 0
        for span in spans:
            if len(state.queue) < self._room:
                state.queue.append(span)
            else:
                dropped += not self._take_slow_path(span)
        if state.queue and (state.parked or len(state.queue) >= _MANY):
            self._wake()
        return dropped

    def counters(self) -> dict:
        """Return the numbers of ``trace.counters``. Spooled spans count as such even if they were drained since."""
        state = self.state
        with state.tally.lock:
            return state.tally.counters(len(state.queue))

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until all ended spans are stored or on disk; return False on timeout or if any span was lost."""
        give_up = time.monotonic() + timeout_s
        state, tally = self.state, self.state.tally
        with tally.lock:
            had_losses = tally.has_losses
            state.hurry_to = position = tally.position(len(state.queue))
        if self._thread is not None:
            state.bell.put(True)
        while not tally.have_ended(position) and time.monotonic() < give_up:
            time.sleep(0.002)
        with tally.lock:
            # Spans that end while the writer closes are lost without having been queued.
            had_losses = had_losses or (state.closing and tally.has_losses)
            return not had_losses and tally.are_kept(position, list(state.queue))

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Store queued spans within ``timeout_s``, and write the rest to disk; called at exit.

        This waits for a slow disk, but not for one that hangs. Spans that end later go to disk at once.
        """
        state, lock = self.state, self._parts_lock
        # If a thread hangs while making the parts, the lock is not acquired, and queued spans count as lost.
        patience.acquired(lock, max(timeout_s, _MAKING_S))
        try:
            if state.closing:
                return
            self._allow(math.inf)
            state.closing = True
        finally:
            process_hooks.release_if_held(lock)
        self._room = -1
        process_hooks.not_at_exit(self.close)
        thread = self._thread
        if thread is not None:
            self._join(thread, timeout_s)
        # A living thread may wait for a disk that hangs; this one must not.
        is_alone = thread is None or not thread.is_alive()
        while is_alone and state.queue and timeout_s > 0:
            timeout_s -= patience.passed(self._leave_next, _COUNTERS_S)
        state.give_up()
        self._is_closed = True
        if is_alone:
            self._put_away()

    def _join(self, thread: Thread, left_s: float) -> None:
        state = self.state
        state.bell.put(True)
        while thread.is_alive() and left_s > _SPOOL_S + _SPOOL_ONE_S * len(state.queue):
            left_s -= patience.passed(thread.join, 0.01)
        state.out_of_time = True
        state.bell.put(True)
        at_most_s = _MAKING_S
        while thread.is_alive() and min(left_s, at_most_s) > _COUNTERS_S:
            before = state.progress
            took_s = patience.passed(thread.join, _COUNTERS_S)
            left_s, at_most_s = left_s - took_s, at_most_s - took_s
            if not _is_loaded or state.progress > before:
                # There is progress: the machine is slow, but the disk does not hang.
                left_s = CLOSE_S
        if thread.is_alive():
            self._allow(time.monotonic())
            thread.join(_COUNTERS_S)

    def _leave_next(self, _: float) -> None:
        with self.state.tally.lock:
            self.state.tally.disown(self.state.tally.take(1), 1)
            item = self.state.queue.popleft()
        self._leave(item)

    def _allow(self, until_s: float) -> None:
        self.state.until_s = until_s
        if self._parts is not None:
            self._parts.journal.until_s = until_s

    def _put_away(self) -> None:
        with suppress(Exception):  # the disk may refuse, or the interpreter be shutting down
            if self._parts is not None or self.counters()["created"]:
                self._get_parts().put_away()

    def _reset_in_child(self, can_import: bool) -> None:
        """Reset in a forked child: queued and open spans belong to the parent.

        Without ``can_import``, the child can never import the modules that a thread of the parent was importing.
        """
        state = WriterState(self.state.of_parent | {id(operation): operation for operation in self.state.open})
        self._is_cut_off = self._is_cut_off or not (can_import or _is_loaded)
        if self._is_cut_off:
            state.closing, state.parked = True, False
        self._begin(state)

    def _take_slow_path(self, item: "Operation | Span") -> bool:
        """Take a durable span, a late one, or one that the queue has no room for; return whether it is kept."""
        state = self.state
        if state.closing:
            return self._leave(item)
        if not self._durable:
            state.tally.pass_by("queue_full")
            return False
        if self._made_by == get_ident():
            # A signal handler interrupted this thread while it made the parts.
            state.queue.append(item)
            return True
        kept = self._keep(item)
        if kept is None:
            return False
        if len(state.queue) >= self._queue_spans:
            return self._get_parts().leave(kept)
        state.queue.append(kept)
        if state.parked or len(state.queue) == _MANY:
            self._wake()
        return True

    def _keep(self, item: "Operation | Span | Kept") -> "Kept | None":
        """Write a span to disk in the thread that ended it; None if it is invalid or belongs to the parent."""
        if id(item) in self.state.of_parent:
            return None
        removed: dict[str, int] = {}
        try:
            kept = self._get_parts().keep(item, removed)
        except Exception as error:  # noqa: BLE001 an invalid span is dropped and counted, without the others
            self.state.tally.pass_by("out_of_time" if isinstance(error, TimeoutError) else "invalid")
            return None
        self.state.tally.remember(removed)
        return kept

    def _leave(self, item: "Operation | Span | Kept") -> bool:
        """Leave on disk a span that is too late for the thread; return whether the disk took it."""
        kept = self._keep(item)
        is_left = kept is not None and self._get_parts().leave(kept)
        if self._is_closed:
            self._put_away()
        return is_left

    def _wake(self) -> None:
        self.state.parked = False
        try:
            if self._thread is None:
                self._start()
        except (RuntimeError, TimeoutError):
            # No thread can start, or the interpreter is shutting down: the next span tries again.
            self.state.parked = True
        else:
            self.state.bell.put(False)

    def _start(self) -> None:
        with _held(self._parts_lock):
            if self._thread is not None:
                return
            self._thread = thread = Thread(target=self._work, name="leo-telemetry-writer", daemon=True)
            try:
                thread.start()
            except BaseException:
                self._thread = None
                raise
            finally:
                process_hooks.at_exit(self.close)

    def _work(self) -> None:
        global _is_loaded
        try:
            with process_hooks.importing:
                from leo_telemetry_pipeline.writer.worker_thread import Loop
            parts = self._get_parts()
            _is_loaded = True
            Loop(self.state, parts, self._make_sink, self._load, self._open_after_s).run()
        except Exception as error:  # noqa: BLE001 nothing is printed; queued spans go to disk at exit
            self.state.trouble = error

    def _load(self) -> None:
        if self._prepare is not None:
            with process_hooks.importing:
                self._prepare()

    def _get_parts(self) -> "Parts":
        if self._is_cut_off:
            raise TimeoutError
        with _held(self._parts_lock):
            if self._parts is None:
                self._made_by = get_ident()
                try:
                    self._parts = self._make_parts()
                    self._parts.journal.until_s = math.inf if self._is_closed else self.state.until_s
                finally:
                    self._made_by = 0
            return self._parts

    def _make_parts(self) -> "Parts":
        with _held(process_hooks.importing):
            from leo_telemetry_pipeline import redact
            from leo_telemetry_pipeline.scrub import tools  # noqa: F401  # else imported with the first text
            from leo_telemetry_pipeline.spool.spool import Spool
            from leo_telemetry_pipeline.writer.preparing import Parts
        policy = redact.Policy() if self._policy is None else self._policy
        return Parts(self.state.tally, Spool(self._folder, self._spool_bytes), self._project, policy)
