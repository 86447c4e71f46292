"""The spool: a folder in which spans wait on disk until a database takes them, whatever happens to their process.

Belongs here: whose folder it may be, how much it may hold, and what ended processes leave for the next drain.
Does not: the format of a segment (segments), a writer's own segment (journal), emptying the folder (drain).
"""

import errno
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import make_home
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import file_locks, leftover_counters, segments

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How long an answer holds, good or bad: asking a disk anew for every span would be felt.
_LOOK_AGAIN_S = 1.0
# Also of many segments with a span each, no folder is slow to look at, and no drain endless.
_MOST_SEGMENTS = 20_000
# What the smallest file takes.
_BLOCK = 4_096


class SpoolError(Exception):
    """The spool did not take it; ``reason`` is spool_full, spool_disk_full, spool_unavailable or out_of_time."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def folder_of(home: str) -> str:
    """Return where the spool of a home lies."""
    return str(Path(home) / "spool")


def usage(folder: str) -> tuple[int, int]:
    """Return how many segments wait, and what they take of the disk in bytes. Raises OSError."""
    sizes = []
    for entry in segments.entries_in(Path(folder)):
        with suppress(FileNotFoundError):
            found = entry.stat(follow_symlinks=False)
            sizes.append(max(found.st_size, 512 * found.st_blocks))
    return len(sizes), sum(sizes)


def waiting(folder: str) -> tuple[int, int]:
    """Return how many segments a drain would bring, and their size in bytes. Raises OSError."""
    sizes = []
    for entry in segments.entries_in(Path(folder)):
        with suppress(FileNotFoundError):
            size = entry.stat(follow_symlinks=False).st_size
            if size and not _is_held(entry.path):
                sizes.append(size)
    return len(sizes), sum(sizes)


class Spool:
    """A folder for segments of at most ``max_bytes`` together, closed to everyone but its owner."""

    def __init__(self, folder: str, max_bytes: int) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._segments = self._used = 0
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
        self.check_folder()
        self.take_room(max(size, _BLOCK))
        if self._segments >= _MOST_SEGMENTS:
            raise SpoolError("spool_full")
        self._segments += 1
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
                self._segments, self._used = usage(str(self.folder))
            except OSError as error:
                raise failure(error) from None
        if self._used + size > self.max_bytes:
            raise SpoolError("spool_full")
        self._used += size

    def keep_counters(self, counters: dict) -> None:
        """Leave the final counters of a process for the next drain. Raises SpoolError."""
        self.check_folder()
        try:
            leftover_counters.leave(self.folder, counters)
        except OSError as error:
            raise failure(error) from None

    def check_folder(self) -> None:
        """Make the folder where it is missing. Raises SpoolError where it is not ours alone to write to."""
        try:
            if not self.folder.is_dir():
                make_home(self.folder.parent, inside=self.folder.name)
            segments.check_folder(self.folder)
        except (OSError, UserError):
            raise SpoolError("spool_unavailable") from None


def _is_held(path: str) -> bool:
    with file_locks.opened(Path(path), os.O_RDONLY | os.O_NONBLOCK, shared=True) as fd:
        return fd is None


def failure(error: OSError) -> SpoolError:
    """Return the SpoolError that an OSError of the spool's files is."""
    return SpoolError("spool_disk_full" if error.errno in _NO_ROOM else "spool_unavailable")
