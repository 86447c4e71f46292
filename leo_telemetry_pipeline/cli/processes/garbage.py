"""How a process of ours looks for garbage: seldom. Does not belong here: what the process does."""

import atexit
import gc


def look_seldom() -> None:
    """Keep Python from looking through all that is imported: every 700 objects, and again when it ends.

    That takes a third of the time in which Dagster's processes start and end, and a seventh of a command's.
    """
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
