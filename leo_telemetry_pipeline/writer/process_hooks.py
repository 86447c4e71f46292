"""Callbacks at exit and in forked children, those of multiprocessing included.

Belongs here: detecting exits and forks. Does not: the callbacks themselves; this module does not know the writer.
"""

from __future__ import annotations

import atexit
import os
import sys
from _thread import RLock
from weakref import WeakMethod

from leo_telemetry_pipeline.writer import patience

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_in_children: set[WeakMethod[Callable[[bool], object]]] = set()
# A child forked while a thread imports a module could never import it, so forks wait for this lock.
importing = RLock()
# The driver initializes OpenSSL on its first connection. A child forked meanwhile inherits held locks and hangs, at
# its exit at the latest. Forks wait for this, but briefly: a thread that waits for the network holds none of these
# locks.
connecting = RLock()
_LONGEST_IMPORT_S = 5.0
_LONGEST_CONNECT_S = 1.0
_timed_out = False


def in_forked_child(reset: Callable[[bool], object]) -> None:
    """Call a method in each forked child while its object lives; its argument says whether the child can import."""
    _in_children.add(WeakMethod(reset, _in_children.discard))


def at_exit(close: Callable[[], object]) -> None:
    """Call a method, once, when the process ends."""
    atexit.unregister(close)
    atexit.register(close)
    # Children of multiprocessing end by os._exit, which skips atexit.
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, close, exitpriority=-100)


def not_at_exit(close: Callable[[], object]) -> None:
    """Undo ``at_exit``."""
    atexit.unregister(close)


def _before_fork() -> None:
    global _timed_out
    # After one timeout, later forks do not wait again.
    _timed_out = not patience.acquired(importing, 0.0 if _timed_out else _LONGEST_IMPORT_S)
    patience.acquired(connecting, _LONGEST_CONNECT_S)


def _after_fork_in_parent() -> None:
    release_if_held(connecting)
    release_if_held(importing)


def _after_fork_in_child() -> None:
    global importing, connecting, _timed_out
    can_import = release_if_held(importing)
    importing, connecting, _timed_out = RLock(), RLock(), False
    for method in list(_in_children):
        if (reset := method()) is not None:
            reset(can_import)


def release_if_held(lock: RLock) -> bool:
    """Release a lock; return False if this thread timed out and so does not hold it."""
    try:
        lock.release()
    except RuntimeError:
        return False
    return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
