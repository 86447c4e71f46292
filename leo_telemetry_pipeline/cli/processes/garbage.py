"""Garbage collection settings of our processes. Does not belong here: what the process does."""

import atexit
import gc


def collect_rarely() -> None:
    """Raise the collection threshold from 700 objects, and skip the collection at exit.

    Collections take a third of the start and exit time of Dagster's processes, and a seventh of a command's.
    """
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
