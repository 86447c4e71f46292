"""Log files that others write to, kept small in place.

Belongs here: cutting a file. Does not: what is written to it.
"""

import fcntl
import os
from pathlib import Path

LONGEST = 1 << 20
_KEPT = 1 << 18


def cut(log: Path, longest: int = LONGEST) -> None:
    """Keep only the last quarter MiB of a log that has grown over ``longest`` bytes, in place: others append to it."""
    if not log.exists() or log.stat().st_size <= longest:
        return
    # Not through a link: what it leads to is somebody else's.
    with os.fdopen(os.open(log, os.O_RDWR | os.O_NOFOLLOW), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        if size <= longest:
            return
        file.seek(size - _KEPT)
        kept = file.read().partition(b"\n")[2]
        file.seek(0)
        file.truncate()
        file.write(kept)
