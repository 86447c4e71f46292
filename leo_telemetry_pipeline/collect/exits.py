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
    from leo_telemetry_pipeline.collect.writer import Writer

_writers: "WeakSet[Writer]" = WeakSet()
# A child that is forked while a thread imports a module could never import it: forks wait for that moment.
importing = RLock()
_LONGEST_IMPORT_S = 5.0


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
    importing.acquire(timeout=_LONGEST_IMPORT_S)


def _after_fork_in_parent() -> None:
    try:  # noqa: SIM105  # contextlib takes longer to import than all of this
        importing.release()
    except RuntimeError:  # this thread did not get it in time
        pass


def _after_fork_in_child() -> None:
    global importing
    importing = RLock()
    for writer in list(_writers):
        writer.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
