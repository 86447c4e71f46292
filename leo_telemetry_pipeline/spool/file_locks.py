"""Locks of files that processes share: whoever ends gives them back, however it ends, and no child keeps them.

Belongs here: taking and giving back a lock, and what a fork does to it. Does not: what a lock means (segments, drain).

A lock belongs to an open file, and a child that was forked has that open too: it would hold the lock for as long as
it lives. So it closes what it got, and its parent does not merely close a file, but gives the lock back.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TRY_AGAIN_S = 0.01
_taken: set[int] = set()


def take(fd: int, *, shared: bool = False, patience_s: float = 0.0) -> bool:
    """Lock an open file, and say whether that came in time. Raises OSError where the file system has no locks."""
    give_up = time.monotonic() + patience_s
    # Before it is locked: a child that is forked between the two would keep it.
    _taken.add(fd)
    locked = False
    try:
        while not locked:
            try:
                fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                locked = True
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    break
                time.sleep(_TRY_AGAIN_S)
    finally:
        if not locked:
            _taken.discard(fd)
    return locked


def close(fd: int) -> None:
    """Give a lock back and close its file; nothing in a child that was forked meanwhile. Raises OSError."""
    if fd in _taken:
        _taken.remove(fd)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


@contextmanager
def opened(path: Path, flags: int, *, shared: bool = False, patience_s: float = 0.0) -> Iterator[int | None]:
    """Yield a file, open and locked; None where somebody else has its lock for so long. Raises OSError."""
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    locked = False
    try:
        locked = take(fd, shared=shared, patience_s=patience_s)
    finally:
        if not locked:
            os.close(fd)
    try:
        yield fd if locked else None
    finally:
        if locked:
            close(fd)


def _close_in_child() -> None:
    # Without giving the locks back: they are the parent's.
    for fd in _taken:
        with suppress(OSError):
            os.close(fd)
    _taken.clear()


os.register_at_fork(after_in_child=_close_in_child)
