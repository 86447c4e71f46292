"""Truncation of log files that other processes append to.

Belongs here: truncating a file in place. Does not: what is written to it.
"""

import fcntl
import os
from pathlib import Path

LONGEST = 1 << 20
_KEPT = 1 << 18


def cut(log: Path, longest: int = LONGEST) -> None:
    """Truncate a log of more than ``longest`` bytes to its last 256 KiB, in place: other processes append to it."""
    if not log.exists() or log.stat().st_size <= longest:
        return
    # Do not follow a link, which may lead to somebody else's file.
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
