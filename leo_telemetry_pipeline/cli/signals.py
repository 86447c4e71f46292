"""SIGINT, SIGTERM and SIGHUP: a handler that records the signal, and loops that poll for it.

Belongs here: handlers, and the watcher thread for work that does not poll. Does not: child processes (supervise).

An exception raised in a handler appears wherever the main thread is; inside the import of a C extension it is lost.
So a command imports first, while signals end it immediately; after that they are recorded. Work that does not poll is
interrupted, except in an import; a process that hangs in C, such as in a query, is ended by the watcher thread.
"""

import _thread
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from leo_telemetry_pipeline.errors import UserError

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Grace period for commands that poll: longer than any step between two polls on an ordinary machine.
_PATIENCE_S = 3.0
# A main thread that runs no handler for this long hangs in C, where Python cannot interrupt it.
_HANGS_S = 4.5
# For this long after an interrupt, further signals do not interrupt the cleanup.
_LEAVES_S = 5.0
_POKE_S = 0.2


class _State:
    """Signals received and the response to them. Not a dataclass, whose import every command would pay for."""

    def __init__(self) -> None:
        # The first signal that our handler received, and the first that any handler (ours or Dagster's) did; 0 if none.
        self.number = self.first = 0
        self.heard_s = self.left_s = self.patience_s = 0.0
        self.deferred = self.watched = False
        # How often the main thread has answered the watcher.
        self.answers = 0

    def hear(self, number: int) -> None:
        if not self.number:
            self.heard_s, self.number = time.monotonic(), number

    @property
    def is_over(self) -> bool:
        """Whether the grace period is over."""
        return bool(self.number) and time.monotonic() >= self.heard_s + self.patience_s


_state = _State()


def end_at_once() -> None:
    """Let signals end the process immediately, without a traceback; for imports, while it holds nothing."""
    for number in _NUMBERS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def listen(*, patience_s: float = 0.0) -> None:
    """Record signals, and interrupt work that has not polled within ``patience_s``.

    SIGINT is handled even in a shell's background job, which ignores it; SIGHUP stays ignored under ``nohup``.
    """
    _state.patience_s = patience_s
    for number in (*_NUMBERS, signal.SIGALRM):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _note)
    if not _state.watched:
        _state.watched = True
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        _thread.start_new_thread(_watch, (reading, _thread.get_ident()))


def forget() -> None:
    """Reset all state in a forked child, which has only this thread."""
    global _state
    signal.set_wakeup_fd(-1)
    _state = _State()


def number() -> int:
    """Return the first signal received, SIGINT if there was none."""
    return _state.number or _state.first or signal.SIGINT


def end_requested() -> bool:
    """Return whether this process should end; the caller must then end it, as it is no longer interrupted."""
    is_requested = bool(_state.number or _state.first)
    if is_requested and not _state.left_s:
        _state.left_s = time.monotonic()
    return is_requested


def check() -> None:
    """Raise KeyboardInterrupt if this process should end; call it between steps, where the exception is never lost."""
    if end_requested():
        raise KeyboardInterrupt


@contextmanager
def recorded() -> Iterator[None]:
    """Record signals while a polling block runs, and suppress the errors that a requested end causes."""
    listen(patience_s=_PATIENCE_S)
    try:
        yield
        # Ctrl-C in a terminal also reaches the programs that we started, which then fail.
    except (KeyboardInterrupt, UserError):
        if not (_state.number or _state.first):
            raise


@contextmanager
def deferred() -> Iterator[None]:
    """Defer interrupts while a block cleans up, such as by ending other processes."""
    before, _state.deferred = _state.deferred, True
    try:
        yield
    finally:
        _state.deferred = before


def _note(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGALRM:
        _state.answers += 1
    else:
        _state.hear(number)
    now = time.monotonic()
    if _state.deferred or (_state.left_s and now < _state.left_s + _LEAVES_S):
        return
    if _state.is_over and not _loses(frame):
        _state.left_s = now
        raise KeyboardInterrupt


def _loses(frame: FrameType | None) -> bool:
    """Return whether an exception raised here would be lost: in an import, or while a process is being started."""
    while frame is not None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if file.startswith("<frozen importlib._bootstrap") or (name == "__init__" and file.endswith("/subprocess.py")):
            return True
        frame = frame.f_back
    return False


def _watch(reading: int, main: int) -> None:
    """After the grace period, interrupt the main thread until it leaves its work; end the process if it hangs."""
    while True:
        if numbers := set(os.read(reading, 512)) - {signal.SIGALRM}:
            if not _is_from_heartbeat():
                _state.first = _state.first or min(numbers)
            _poke_until_left(main, min(numbers))


def _is_from_heartbeat() -> bool:
    """Return whether the heartbeat of a run that lost its row sent the signal, which ends only that run."""
    used = sys.modules.get("leo_telemetry_pipeline.defs.lifecycle")
    return used is not None and used.Heartbeat.take_interrupt()


def _poke_until_left(main: int, number: int) -> None:
    answers, answered_s = _state.answers, time.monotonic()
    while not _state.left_s:
        signal.pthread_kill(main, signal.SIGALRM)
        time.sleep(_POKE_S)
        if _state.deferred or _state.answers != answers:
            answers, answered_s = _state.answers, time.monotonic()
            if not _state.number:
                # While it executes a step, Dagster has handlers of its own, and cleans up itself.
                return
        if time.monotonic() > answered_s + _HANGS_S:
            _release_servers()
            time.sleep(_POKE_S)
            if _state.answers == answers:
                os._exit(128 + number)


def _release_servers() -> None:
    """Stop the embedded database unless others use it; this also ends the statement in which this process hangs."""
    used = sys.modules.get("leo_telemetry_pipeline.store.server.embedded")
    if used is not None:
        with suppress(UserError):
            used.release_all()
