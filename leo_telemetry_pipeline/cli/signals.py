"""How SIGINT, SIGTERM and SIGHUP end a command: a handler that takes note, and loops that look.

Belongs here: handlers, and the watcher of work that does not look. Does not: ending other processes (supervise).

An exception from a handler appears wherever the main thread happens to be: in the import of a C extension it is lost.
So a command imports first, while signals still end it at once; then signals are noted. Work that does not look is
interrupted, but not in an import; a process that hangs in C, such as in a query, is ended by a thread.
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
# For commands that look: longer than any step between two looks takes on an ordinary machine.
_PATIENCE_S = 3.0
# A main thread that runs no handler for so long hangs in C: nothing in Python can interrupt it.
_HANGS_S = 4.5
# So long after it was interrupted, another signal interrupts what a command does to leave.
_LEAVES_S = 5.0
_POKE_S = 0.2


class _State:
    """What was heard, and what became of it. Not a dataclass: each command would import those, and ``inspect``."""

    def __init__(self) -> None:
        # The first signal that our handler got, and the first at all, which Dagster's may have got; 0 before it.
        self.number = self.first = 0
        self.heard_s = self.left_s = self.patience_s = 0.0
        self.deaf = self.watched = False
        # How often the main thread answered the watcher.
        self.answers = 0

    def hear(self, number: int) -> None:
        if not self.number:
            self.heard_s, self.number = time.monotonic(), number

    @property
    def is_over(self) -> bool:
        """Whether work that does not look has had its time."""
        return bool(self.number) and time.monotonic() >= self.heard_s + self.patience_s


_state = _State()


def end_at_once() -> None:
    """Let signals end the process at once, without a traceback: for imports, while it holds nothing."""
    for number in _NUMBERS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def listen(*, patience_s: float = 0.0) -> None:
    """Note signals, and interrupt work after ``patience_s`` unless it looks.

    SIGINT is heard also where a shell's background job ignores it, SIGHUP not under ``nohup``.
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
    """Know nothing of what was heard before, in a child of this process that has no thread but this one."""
    global _state
    signal.set_wakeup_fd(-1)
    _state = _State()


def number() -> int:
    """Return the signal that was heard first, SIGINT where none was."""
    return _state.number or _state.first or signal.SIGINT


def asked() -> bool:
    """Tell whether this process shall end; the caller then ends it, so it is not interrupted any more."""
    is_asked = bool(_state.number or _state.first)
    if is_asked and not _state.left_s:
        _state.left_s = time.monotonic()
    return is_asked


def check() -> None:
    """Raise KeyboardInterrupt where this process shall end: between two steps, where it is never lost."""
    if asked():
        raise KeyboardInterrupt


@contextmanager
def noted() -> Iterator[None]:
    """Let a block that looks run to its end, which is a good one when it was asked to end."""
    listen(patience_s=_PATIENCE_S)
    try:
        yield
        # Ctrl-C in a terminal goes to the programs that we started as well, and they fail of it.
    except (KeyboardInterrupt, UserError):
        if not (_state.number or _state.first):
            raise


@contextmanager
def deaf() -> Iterator[None]:
    """Let nothing interrupt a block that leaves nothing behind, such as no other process."""
    before, _state.deaf = _state.deaf, True
    try:
        yield
    finally:
        _state.deaf = before


def _note(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGALRM:
        _state.answers += 1
    else:
        _state.hear(number)
    now = time.monotonic()
    if _state.deaf or (_state.left_s and now < _state.left_s + _LEAVES_S):
        return
    if _state.is_over and not _loses(frame):
        _state.left_s = now
        raise KeyboardInterrupt


def _loses(frame: FrameType | None) -> bool:
    """Tell whether an exception would be lost here, in an import, or a process that is being started."""
    while frame is not None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if file.startswith("<frozen importlib._bootstrap") or (name == "__init__" and file.endswith("/subprocess.py")):
            return True
        frame = frame.f_back
    return False


def _watch(reading: int, main: int) -> None:
    """Interrupt the main thread when its time is over, until it leaves; end the process when it does not answer."""
    while True:
        if numbers := set(os.read(reading, 512)) - {signal.SIGALRM}:
            if not _is_of_heartbeat():
                _state.first = _state.first or min(numbers)
            _see_to_it(main, min(numbers))


def _is_of_heartbeat() -> bool:
    """Tell whether a signal is that of a heartbeat to a run that lost its row, which ends that run alone."""
    used = sys.modules.get("leo_telemetry_pipeline.defs.lifecycle")
    return used is not None and used.Heartbeat.take_interrupt()


def _see_to_it(main: int, number: int) -> None:
    answers, answered_s = _state.answers, time.monotonic()
    while not _state.left_s:
        signal.pthread_kill(main, signal.SIGALRM)
        time.sleep(_POKE_S)
        if _state.deaf or _state.answers != answers:
            answers, answered_s = _state.answers, time.monotonic()
            if not _state.number:
                # Dagster has handlers of its own while it executes a step, and clears up: look after it.
                return
        if time.monotonic() > answered_s + _HANGS_S:
            _leave_servers()
            time.sleep(_POKE_S)
            if _state.answers == answers:
                os._exit(128 + number)


def _leave_servers() -> None:
    """Stop the embedded database unless others use it, which also ends the statement in which this process hangs."""
    used = sys.modules.get("leo_telemetry_pipeline.store.server.embedded")
    if used is not None:
        with suppress(UserError):
            used.release_all()
