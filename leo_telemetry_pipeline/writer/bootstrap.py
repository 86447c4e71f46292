"""Buffers operations until the Writer exists; a thread creates it at the first span.

Belongs here: buffering, handover, forks and exits meanwhile. Does not: creating the writer (making).
"""

from __future__ import annotations

import _thread
import atexit
import os
import time

# Imported eagerly. Before a fork, the hooks of process_hooks must run after ours, since they wait for threads that ours
# may start; and a child forked during a lazy import could never complete it.
from leo_telemetry_pipeline.writer import patience, process_hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque

    from leo_telemetry_pipeline.tracing.operation import Operation
    from leo_telemetry_pipeline.tracing.tracer import Tracer
    from leo_telemetry_pipeline.writer.making import WriterFactory
    from leo_telemetry_pipeline.writer.writer import Writer
else:
    # `collections` is slow to import.
    from _collections import deque

# Longer than any import that does not hang.
_PREPARE_S = 5.0
_CLOSE_S = 1.0


class FirstSpan:
    """Recorder that starts on the first span: importing starts nothing, and the first span waits for no import.

    ``factory`` returns the writer that replaces this recorder, or None if collection is disabled.
    """

    def __init__(self, tracer: Tracer, factory: WriterFactory) -> None:
        self.writer: Writer | None = None
        self.begun = False
        self.ended: deque[Operation] = deque()
        self._open: dict[Operation, None] = {}
        self._tracer, self._factory = tracer, factory
        tracer.recorder = self
        # Held while the writer is created and across a fork: a child forked during an import could never complete it.
        self._lock = _thread.RLock()
        self._is_making = self._is_ready = self._timed_out = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._reset_in_child
            )

    def begin(self, operation: Operation, /) -> None:
        """Note an operation, creating the writer for the first one; undo its start if collection is disabled."""
        self._open[operation] = None
        if not self.begun:
            self.begun = True
            self.start()
            # Exclude the startup time.
            operation.start_ns = time.time_ns()
        if self._is_ready:
            self._open.pop(operation, None)
            if self.writer is None:
                operation.take_back()
            else:
                self.writer.begin(operation)

    def end(self, operation: Operation, /) -> None:
        """Buffer an ended operation, or hand it over; safe in threads, signal handlers and finalizers."""
        self._open.pop(operation, None)
        self.ended.append(operation)
        if self._is_ready:
            self._hand_over()

    def start(self) -> None:
        """Create the writer, in a thread unless it is needed at once."""
        self.begun = True
        atexit.unregister(self.close)
        atexit.register(self.close)
        if not self._factory.is_urgent():
            try:
                _thread.start_new_thread(self.prepare, ())
            except RuntimeError:  # no more threads, or the interpreter is about to end
                pass
            else:
                return
        self.prepare()

    def prepare(self, timeout_s: float = _PREPARE_S) -> bool:
        """Create the writer and hand over the buffer, or wait while a thread does so; return whether it is done."""
        if not patience.acquired(self._lock, timeout_s):
            return False
        try:
            if self._is_making:
                # A signal handler interrupted this thread while it was creating the writer.
                return False
            if not self._is_ready:
                self._is_making = True
                try:
                    self.writer = self._factory.writer()
                finally:
                    self._is_making = False
                self._is_ready = True
                self._replace(self.writer)
                self._hand_over_open()
            self._hand_over()
            return True
        finally:
            self._lock.release()

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Close the writer, once it exists; called when the process ends."""
        if self.begun and self.prepare(max(timeout_s, _PREPARE_S)) and self.writer is not None:
            self.writer.close(timeout_s)

    def _replace(self, writer: Writer | None) -> None:
        # A test may have replaced the recorder meanwhile.
        if self._tracer.recorder is self:
            self._tracer.recorder = writer

    def _hand_over_open(self) -> None:
        writer = self.writer
        for operation in list(self._open):
            if writer is None:
                break
            writer.begin(operation)
            if operation.duration_ns is not None:
                # The operation may have ended before the writer knew about it.
                writer.state.open.pop(operation, None)
        self._open.clear()

    def _hand_over(self) -> None:
        # Runs in several threads at once; the one that pops an operation hands it over.
        while self.ended:
            try:
                operation = self.ended.popleft()
            except IndexError:
                return
            if self.writer is not None:
                self.writer.end(operation)

    def _before_fork(self) -> None:
        # After one timeout, later forks do not wait again.
        self._timed_out = not patience.acquired(self._lock, 0.0 if self._timed_out else _PREPARE_S)
        if not self._timed_out and self.begun:
            # The writer tells the child which open spans belong to the parent.
            self.prepare()

    def _after_fork(self) -> None:
        process_hooks.release_if_held(self._lock)

    def _reset_in_child(self) -> None:
        if not process_hooks.release_if_held(self._lock):
            self._lock = _thread.RLock()
            self._is_making = self._timed_out = False
            if not self._is_ready:
                # This child can never complete the import that hung in the parent: it collects nothing.
                self._is_ready = True
                self._replace(None)
        self.begun = self._is_ready
        self.ended.clear()
        self._open.clear()
