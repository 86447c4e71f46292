"""Waits whose time limit excludes time in which the machine did not run this process.

Belongs here: measuring how long something was really waited for. Does not: what is waited for, and how long (writer,
process_hooks).
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType, RLock
    from collections.abc import Callable

_SLICE_S = 0.05


def passed(wait: Callable[[float], object], slice_s: float) -> float:
    """Call ``wait`` with a timeout of ``slice_s``; return the seconds to count.

    If ``wait`` returns much later, only the CPU time of this process counts beyond that: the machine was busy or
    suspended.
    """
    began, used = time.monotonic(), time.process_time()
    wait(slice_s)
    return min(time.monotonic() - began, 2 * slice_s + time.process_time() - used)


def succeeds(wait: Callable[[float], bool], timeout_s: float) -> bool:
    """Return whether ``wait``, called with timeouts, returns true within ``timeout_s``."""
    done = wait(0)

    def attempt(slice_s: float) -> None:
        nonlocal done
        done = wait(slice_s)

    while not done and timeout_s > 0:
        timeout_s -= passed(attempt, min(timeout_s, _SLICE_S))
    return done


def acquired(lock: RLock | LockType, timeout_s: float) -> bool:
    """Return whether a lock is acquired within ``timeout_s``."""
    return succeeds(lambda slice_s: lock.acquire(timeout=slice_s), timeout_s)
