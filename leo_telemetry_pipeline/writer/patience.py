"""Waits whose limit does not include time in which the machine did not run this process.

Belongs here: measuring how long something was really waited for. Does not: what is waited for, and how long (writer,
process_hooks).
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SLICE_S = 0.05


def passed(wait: Callable[[float], object], slice_s: float) -> float:
    """Call ``wait`` with a timeout of ``slice_s``; return the seconds to count, at most twice that.

    A wait that returns much later was not scheduled: the machine is busy, or was suspended.
    """
    began = time.monotonic()
    wait(slice_s)
    return min(time.monotonic() - began, 2 * slice_s)


def succeeds(wait: Callable[[float], bool], timeout_s: float) -> bool:
    """Return whether ``wait``, called with a timeout, returns true within ``timeout_s``."""
    done = wait(0)

    def attempt(slice_s: float) -> None:
        nonlocal done
        done = wait(slice_s)

    while not done and timeout_s > 0:
        timeout_s -= passed(attempt, min(timeout_s, _SLICE_S))
    return done
