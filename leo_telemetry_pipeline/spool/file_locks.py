"""File locks that are released whenever a process ends and are not inherited by forked children.

Belongs here: taking and releasing locks. Does not: what a lock means (segments, drain). A forked child shares the open
file and would keep its lock, so it closes inherited descriptors; the parent unlocks before it closes.
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
    """Lock an open file; return whether it succeeded within ``patience_s``. Raises OSError without lock support."""
    give_up = time.monotonic() + patience_s
    # Register it first: a child forked in between would keep the lock.
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
    """Unlock and close a file; do nothing in a child forked meanwhile. Raises OSError."""
    if fd in _taken:
        _taken.remove(fd)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


@contextmanager
def opened(path: Path, flags: int, *, shared: bool = False, patience_s: float = 0.0) -> Iterator[int | None]:
    """Yield an open, locked file, or None if it stays locked for ``patience_s``. Raises OSError."""
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
    # Close without unlocking: the locks are the parent's.
    for fd in _taken:
        with suppress(OSError):
            os.close(fd)
    _taken.clear()


os.register_at_fork(after_in_child=_close_in_child)
