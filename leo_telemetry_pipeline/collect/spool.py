"""The spool: a folder in which spans wait on disk until a database takes them, whatever happens to their process.

Belongs here: whose folder it may be, how much it may hold, and what ended processes leave for the next drain.
Does not: the format of a segment (segments), a writer's own segment (journal), emptying the folder (drain).
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from leo_telemetry_pipeline.collect import segments
from leo_telemetry_pipeline.collect.drain import COUNTERS, Drained, drain
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import make_home
from leo_telemetry_pipeline.span import Span

__all__ = ["Drained", "Spool", "SpoolError", "drain", "folder_of", "usage"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How long an answer holds, good or bad: asking a disk anew for every span would be felt.
_LOOK_AGAIN_S = 1.0
_MOST_COUNTERS = 1 << 20


class SpoolError(Exception):
    """The spool did not take it; ``reason`` is spool_full, spool_disk_full or spool_unavailable."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def folder_of(home: str) -> str:
    """Return where the spool of a home lies."""
    return str(Path(home) / "spool")


def usage(folder: str) -> tuple[int, int]:
    """Return how many segments wait, and their size in bytes. Raises OSError."""
    sizes = []
    for entry in segments.names_in(Path(folder)):
        with suppress(FileNotFoundError):
            sizes.append(entry.stat(follow_symlinks=False).st_size)
    return len(sizes), sum(sizes)


class Spool:
    """A folder for segments of at most ``max_bytes`` together, closed to everyone but its owner."""

    def __init__(self, folder: str, max_bytes: int) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._used = 0
        self._look_at_s = 0.0

    def write(self, spans: Iterable[Span], removed: dict[str, int] | None = None, *, sync: bool = False) -> None:
        """Write a segment with redacted spans, whole or not at all; with ``sync`` it has reached the disk on return.

        ``removed`` counts attributes that were not kept, by name. Raises SpoolError.
        """
        lines = b"".join(map(segments.span_line, spans)) + segments.removed_line(removed or {})
        segment = self.make_segment(len(lines))
        try:
            segment.append(lines)
            if sync:
                segment.sync()
        except BaseException as error:
            with suppress(OSError):
                segment.remove()
            if isinstance(error, OSError):
                raise failure(error) from None
            raise
        segment.close()

    def make_segment(self, size: int = 0) -> segments.Segment:
        """Make an empty segment that shall hold ``size`` bytes at first. Raises SpoolError."""
        self._check_folder()
        self.take_room(size)
        try:
            return segments.Segment(self.folder)
        except OSError as error:
            raise failure(error) from None

    def take_room(self, size: int) -> None:
        """Count bytes that will be written. Raises SpoolError where the spool has no room for them."""
        now = time.monotonic()
        if now >= self._look_at_s:
            self._look_at_s = now + _LOOK_AGAIN_S
            try:
                self._used = usage(str(self.folder))[1]
            except OSError as error:
                raise failure(error) from None
        if self._used + size > self.max_bytes:
            raise SpoolError("spool_full")
        self._used += size

    def keep_counters(self, counters: dict) -> None:
        """Leave the final counters of a process for the next drain. Raises SpoolError."""
        self._check_folder()
        try:
            fd = os.open(self.folder / COUNTERS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _CAREFUL, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if os.fstat(fd).st_size < _MOST_COUNTERS:
                    os.write(fd, segments.line_of({"counters": counters}))
            finally:
                os.close(fd)
        except OSError as error:
            raise failure(error) from None

    def _check_folder(self) -> None:
        try:
            if not self.folder.is_dir():
                make_home(self.folder.parent, inside=self.folder.name)
            found = self.folder.lstat()
        except (OSError, UserError):
            raise SpoolError("spool_unavailable") from None
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise SpoolError("spool_unavailable")


_CAREFUL = os.O_CLOEXEC | os.O_NOFOLLOW


def failure(error: OSError) -> SpoolError:
    """Return the SpoolError that an OSError of the spool's files is."""
    return SpoolError("spool_disk_full" if error.errno in _NO_ROOM else "spool_unavailable")
