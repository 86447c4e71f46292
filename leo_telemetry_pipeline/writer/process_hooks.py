"""The ways in which a process begins and ends that concern its writers: exits, forks, children of multiprocessing.

Belongs here: being called at those moments. Does not: what is done then (writer).
"""

import atexit
import os
import sys
from _thread import RLock
from weakref import WeakSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from leo_telemetry_pipeline.writer.writer import Writer

_writers: "WeakSet[Writer]" = WeakSet()
# A child that is forked while a thread imports a module could never import it: forks wait for that moment.
importing = RLock()
# A driver sets up OpenSSL with its first connection. A child that is forked meanwhile inherits its locks as a thread
# holds them that the child does not have, and hangs, at its exit at the latest. So forks wait for that moment too,
# though not as long as a network may take: whoever waits for an answer holds none of them.
connecting = RLock()
_LONGEST_IMPORT_S = 5.0
_LONGEST_CONNECT_S = 1.0
_in_vain = False


class Held:
    """Holds a lock while something is imported. Raises TimeoutError where what another thread imports seems to hang."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=_LONGEST_IMPORT_S):
            raise TimeoutError

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def at_forks(writer: "Writer") -> None:
    """See that a writer begins anew in a child."""
    _writers.add(writer)


def at_exit(writer: "Writer") -> None:
    """See that a writer closes with its process."""
    atexit.unregister(writer.close)
    atexit.register(writer.close)
    # Such a child ends by os._exit, without a call to what atexit knows.
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, writer.close, exitpriority=-100)


def not_at_exit(writer: "Writer") -> None:
    """Forget that a writer shall be closed."""
    atexit.unregister(writer.close)


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
    for writer in list(_writers):
        writer.begin_anew(can_import=can_import)


def given_back(lock: RLock) -> bool:
    """Release a lock; False where this thread does not hold it, since it did not get it in time."""
    try:
        lock.release()
    except RuntimeError:
        return False
    return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
