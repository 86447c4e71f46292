"""The recorder of a real program: what ended is queued here, and taken to the database by threads of its own.

Belongs here: what the measured program calls, and what it may ask. Nothing here raises, waits for a network, or prints.
Does not: how spans get to the database or the disk (worker_thread, sender, spool.journal), when a process ends
(process_hooks).
"""

import math
import time
from _thread import RLock, get_ident
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Thread

from leo_telemetry_pipeline.writer import process_hooks
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
# So many in the queue are not left to wait for the next tick.
_MANY = 1_000
# What of the time to close is kept for writing to disk what the database does not take.
_SPOOL_S = 0.15
_SPOOL_ONE_S = 50e-6
# And of that, what is kept for leaving the counters.
_COUNTERS_S = 0.05
# Longer than any import takes that ends, and the longest that an exit waits for a disk that goes on taking spans.
_MAKING_S = 5.0
# Whether everything has been imported but for what talks to the database.
_is_loaded = False


@contextmanager
def _held(lock: RLock) -> "Iterator[None]":
    if not lock.acquire(timeout=_MAKING_S):
        raise TimeoutError
    try:
        yield
    finally:
        lock.release()


class Writer:
    """Takes operations as they begin and end, and brings their spans to the database, or to disk where it is away.

    ``make_sink`` is called in a thread, and raises Unavailable where there is no database; ``prepare`` imports what
    it needs. ``folder`` is the spool, ``spool_bytes`` what it may hold; ``queue_spans`` wait in memory at most.
    With ``durable`` a span is on disk when ``end`` returns. What is open for ``open_after_s`` is announced.
    ``policy`` says which attributes are kept, ``project`` is for spans that name none.
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
        process_hooks.in_forked_child(self._begin_anew)

    def _begin(self, state: WriterState) -> None:
        self.state = state
        self._is_closed = False
        self._thread: Thread | None = None
        self._making = RLock()
        self._made_by = 0
        self._parts: Parts | None = None
        # -1 disables the fast path: when durable, and when closing.
        self._room = -1 if self._durable or state.closing else self._queue_spans

    def begin(self, operation: "Operation", /) -> None:
        """Take note of an operation that begins."""
        state = self.state
        state.open[operation] = None
        if state.parked:
            self._wake()

    def end(self, operation: "Operation", /) -> None:
        """Take an operation that ended; safe in threads, signal handlers and finalizers."""
        state = self.state
        state.open.pop(operation, None)
        queue = state.queue
        waiting = len(queue)
        if waiting < self._room:
            queue.append(operation)
            if state.parked or waiting == _MANY:
                self._wake()
        else:
            self._put_aside(operation)

    def submit(self, spans: "Iterable[Span]", removed: Mapping[str, int] | None = None) -> int:
        """Take spans, and counts of attributes that were not kept, by name; return how many spans were dropped."""
        state = self.state
        state.tally.remember(removed or {})
        dropped = 0
        for span in spans:
            if len(state.queue) < self._room:
                state.queue.append(span)
            else:
                dropped += not self._put_aside(span)
        if state.queue and (state.parked or len(state.queue) >= _MANY):
            self._wake()
        return dropped

    def counters(self) -> dict:
        """Return how many spans were created, stored, spooled, dropped (by reason) and are queued.

        created = stored + spooled + dropped + queued, at any moment. ``queued`` is not known to have its end yet;
        ``stored`` is in the database; ``spooled`` was left on disk, whoever brings it to the database later.
        """
        state = self.state
        with state.tally.lock:
            return state.tally.counters(len(state.queue))

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until all that ended before is stored or on disk; say whether that came in time and nothing was lost."""
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
            # What waits while the writer closes is lost without having been in hand.
            had_losses = had_losses or (state.closing and tally.has_losses)
            return not had_losses and tally.are_kept(position, list(state.queue))

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Bring all that is queued to the database within ``timeout_s``, and the rest to disk; called at exit.

        A disk that goes on taking spans is waited for, one that hangs is not. What ends later goes to disk at once.
        Where spans were not stored, the counters stay for the next drain.
        """
        state = self.state
        # Not acquired where a thread hangs that makes the parts: then what is queued is counted as lost.
        self._making.acquire(timeout=max(timeout_s, _MAKING_S))
        give_up = time.monotonic() + timeout_s
        try:
            if state.closing:
                return
            self._allow(give_up - _COUNTERS_S)
            state.closing = True
        finally:
            process_hooks.given_back(self._making)
        self._room = -1
        process_hooks.not_at_exit(self.close)
        thread = self._thread
        if thread is not None:
            self._join(thread, give_up)
        # A thread that lives may be waiting for a disk that hangs; nobody else shall do that too.
        is_alone = thread is None or not thread.is_alive()
        while is_alone and state.queue and time.monotonic() < state.until_s:
            with state.tally.lock:
                state.tally.disown(state.tally.take(1), 1)
                item = state.queue.popleft()
            self._leave(item)
        state.give_up()
        self._is_closed = True
        if is_alone:
            self._put_away()

    def _join(self, thread: Thread, give_up: float) -> None:
        state = self.state
        state.bell.put(True)
        while thread.is_alive() and give_up - time.monotonic() > _SPOOL_S + _SPOOL_ONE_S * len(state.queue):
            thread.join(0.01)
        state.out_of_time = True
        state.bell.put(True)
        latest = time.monotonic() + _MAKING_S
        while thread.is_alive() and (now := time.monotonic()) < min(give_up, latest):
            before = state.progress
            thread.join(min(give_up - now, _SPOOL_S))
            if not _is_loaded or state.progress > before:
                # A busy machine is slow; a disk that hangs stands still.
                give_up = time.monotonic() + CLOSE_S
                self._allow(give_up - _COUNTERS_S)

    def _allow(self, until_s: float) -> None:
        self.state.until_s = until_s
        if self._parts is not None:
            self._parts.journal.until_s = until_s

    def _put_away(self) -> None:
        with suppress(Exception):  # the disk may refuse, and the interpreter be about to end
            if self._parts is not None or self.counters()["created"]:
                self._get_parts().put_away()

    def _begin_anew(self, can_import: bool) -> None:
        """Start from nothing in a child that was forked: what is queued and open here is its parent's.

        Without ``can_import``, a thread of the parent was importing what this child would wait for until its end.
        """
        state = WriterState(self.state.of_parent | {id(operation): operation for operation in self.state.open})
        self._is_cut_off = self._is_cut_off or not (can_import or _is_loaded)
        if self._is_cut_off:
            state.closing, state.parked = True, False
        self._begin(state)

    def _put_aside(self, item: "Operation | Span") -> bool:
        """Take what the quick way does not: durable spans, late ones, and those there is no room for; say whether."""
        state = self.state
        if state.closing:
            return self._leave(item)
        if not self._durable:
            state.tally.pass_by("queue_full")
            return False
        if self._made_by == get_ident():
            # A signal handler came between while this thread was making what the disk needs.
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
        """Put a span on disk in the thread that ended it; None for one that is none, or its parent's."""
        if id(item) in self.state.of_parent:
            return None
        removed: dict[str, int] = {}
        try:
            kept = self._get_parts().keep(item, removed)
        except Exception as error:  # noqa: BLE001 one span that cannot be is lost, and counted, alone
            self.state.tally.pass_by("out_of_time" if isinstance(error, TimeoutError) else "invalid")
            return None
        self.state.tally.remember(removed)
        return kept

    def _leave(self, item: "Operation | Span | Kept") -> bool:
        """Leave on disk what the thread cannot take any more; say whether the disk took it."""
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
            # For now no thread can be started, or the interpreter is about to end: the next span tries again.
            self.state.parked = True
        else:
            self.state.bell.put(False)

    def _start(self) -> None:
        with _held(self._making):
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
        except Exception as error:  # noqa: BLE001 nothing is printed; what is queued goes to disk at the end
            self.state.trouble = error

    def _load(self) -> None:
        if self._prepare is not None:
            with process_hooks.importing:
                self._prepare()

    def _get_parts(self) -> "Parts":
        if self._is_cut_off:
            raise TimeoutError
        with _held(self._making):
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
