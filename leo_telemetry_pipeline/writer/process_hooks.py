"""Exits, forks, children of multiprocessing: calling back who has to act when a process begins or ends.

Belongs here: knowing those moments. Does not: what is done then, nor by whom: this module knows no writer.
"""

from __future__ import annotations

import atexit
import os
import sys
from _thread import RLock
from weakref import WeakMethod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_in_children: set[WeakMethod[Callable[[bool], object]]] = set()
# A child that is forked while a thread imports a module could never import it: forks wait for that moment.
importing = RLock()
# A driver sets up OpenSSL with its first connection. A child that is forked meanwhile inherits its locks as a thread
# holds them that the child does not have, and hangs, at its exit at the latest. So forks wait for that moment too,
# though not as long as a network may take: whoever waits for an answer holds none of them.
connecting = RLock()
_LONGEST_IMPORT_S = 5.0
_LONGEST_CONNECT_S = 1.0
_in_vain = False


def in_forked_child(begin_anew: Callable[[bool], object]) -> None:
    """Call a method in each child that is forked, as long as its object lives, with whether the child can import."""
    _in_children.add(WeakMethod(begin_anew, _in_children.discard))


def at_exit(close: Callable[[], object]) -> None:
    """Call a method, once, when the process ends."""
    atexit.unregister(close)
    atexit.register(close)
    # Such a child ends by os._exit, without a call to what atexit knows.
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, close, exitpriority=-100)


def not_at_exit(close: Callable[[], object]) -> None:
    """Forget what ``at_exit`` was told."""
    atexit.unregister(close)


def _before_fork() -> None:
    global _in_vain
    # Whoever hangs in an import for so long is not waited for again by each further fork.
    _in_vain = not importing.acquire(timeout=0.0 if _in_vain else _LONGEST_IMPORT_S)
    connecting.acquire(timeout=_LONGEST_CONNECT_S)


def _after_fork_in_parent() -> None:
    given_back(connecting)
    given_back(importing)


def _after_fork_in_child() -> None:
    global importing, connecting, _in_vain
    can_import = given_back(importing)
    importing, connecting, _in_vain = RLock(), RLock(), False
    for method in list(_in_children):
        if (begin_anew := method()) is not None:
            begin_anew(can_import)


def given_back(lock: RLock) -> bool:
    """Release a lock; False where this thread does not hold it, since it did not get it in time."""
    try:
        lock.release()
    except RuntimeError:
        return False
    return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
