"""What takes the spans of a program until their writer is there, which a thread makes from the first span on.

Belongs here: holding back what begins and ends meanwhile, handing it over, and the ways a process may fork or end then.
Does not: the writer, nor which settings it follows (making). Imported by the program that is measured.
"""

from __future__ import annotations

import _thread
import atexit
import os
import time

# Here and not when it is needed: its hooks have to be called after ours before a fork, as it waits for the thread
# that handing over may start; and a child that is forked during an import could never import that module.
from leo_telemetry_pipeline.writer import process_hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque

    from leo_telemetry_pipeline.tracing.operation import Operation
    from leo_telemetry_pipeline.tracing.tracer import Tracer
    from leo_telemetry_pipeline.writer.making import Making
    from leo_telemetry_pipeline.writer.writer import Writer
else:
    # `collections` itself takes long to import.
    from _collections import deque

# Longer than any import takes that ends at all.
_PREPARE_S = 5.0
_CLOSE_S = 1.0


class FirstSpan:
    """Stands for the writer of a tracer, so that importing starts nothing and the first span waits for no import.

    ``making`` makes the writer, or None where nothing is collected, which then takes the place of this.
    """

    def __init__(self, tracer: Tracer, making: Making) -> None:
        self.writer: Writer | None = None
        self.begun = False
        self.ended: deque[Operation] = deque()
        self._open: dict[Operation, None] = {}
        self._tracer, self._making = tracer, making
        tracer.recorder = self
        # Held while the writer is made, and through a fork: a child could never import what a thread was about to.
        self._lock = _thread.RLock()
        self._is_making = self._is_ready = self._in_vain = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._begin_anew
            )

    def begin(self, operation: Operation, /) -> None:
        """Note an operation that begins, and see that the writer is made; take it back where there will be none."""
        self._open[operation] = None
        if not self.begun:
            self.begun = True
            self.start()
            # What was done meanwhile is not the program's work.
            operation.start_ns = time.time_ns()
        if self._is_ready:
            self._open.pop(operation, None)
            if self.writer is None:
                operation.take_back()
            else:
                self.writer.begin(operation)

    def end(self, operation: Operation, /) -> None:
        """Hold back an operation that ended, or hand it over; safe in threads, signal handlers and finalizers."""
        self._open.pop(operation, None)
        self.ended.append(operation)
        if self._is_ready:
            self._hand_over()

    def start(self) -> None:
        """Have the writer made: in a thread, unless it is needed at once."""
        self.begun = True
        atexit.unregister(self.close)
        atexit.register(self.close)
        if not self._making.is_urgent():
            try:
                _thread.start_new_thread(self.prepare, ())
            except RuntimeError:  # no more threads, or the interpreter is about to end
                pass
            else:
                return
        self.prepare()

    def prepare(self, timeout_s: float = _PREPARE_S) -> bool:
        """Make the writer and hand over what was held back, or wait while a thread does; say whether it is done."""
        if not self._lock.acquire(timeout=timeout_s):
            return False
        try:
            if self._is_making:
                # A signal handler came between while this very thread makes it.
                return False
            if not self._is_ready:
                self._is_making = True
                try:
                    self.writer = self._making.writer()
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
        """Close the writer, once it is made; called when the process ends."""
        if self.begun and self.prepare(max(timeout_s, _PREPARE_S)) and self.writer is not None:
            self.writer.close(timeout_s)

    def _replace(self, writer: Writer | None) -> None:
        # A test may have set a recorder of its own meanwhile.
        if self._tracer.recorder is self:
            self._tracer.recorder = writer

    def _hand_over_open(self) -> None:
        writer = self.writer
        for operation in list(self._open):
            if writer is None:
                break
            writer.begin(operation)
            if operation.duration_ns is not None:
                # It ended meanwhile, and whoever ended it may not have found it with the writer.
                writer.state.open.pop(operation, None)
        self._open.clear()

    def _hand_over(self) -> None:
        # Called by several threads at once: whoever takes an operation hands it over.
        while self.ended:
            try:
                operation = self.ended.popleft()
            except IndexError:
                return
            if self.writer is not None:
                self.writer.end(operation)

    def _before_fork(self) -> None:
        # Whoever hangs there for so long is not waited for again by each further fork.
        self._in_vain = not self._lock.acquire(timeout=0.0 if self._in_vain else _PREPARE_S)
        if not self._in_vain and self.begun:
            # Then the writer tells the child which spans are its parent's.
            self.prepare()

    def _after_fork(self) -> None:
        process_hooks.given_back(self._lock)

    def _begin_anew(self) -> None:
        if not process_hooks.given_back(self._lock):
            self._lock = _thread.RLock()
            self._is_making = self._in_vain = False
            if not self._is_ready:
                # What a thread was importing for so long, this child can never import: it collects nothing.
                self._is_ready = True
                self._replace(None)
        self.begun = self._is_ready
        self.ended.clear()
        self._open.clear()
