"""Spool: a folder that buffers spans on disk until the database accepts them, even if their process dies.

Belongs here: the folder's owner, its size limit, counters that ended processes leave for the next drain.
Does not: the format of a segment (segments), a writer's own segments (journal), emptying the folder (drain).
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
# The measured usage is cached for this long, since measuring it for every span would be slow.
_MEASURED_FOR_S = 1.0
# Keeps listing and draining fast even if every segment has only one span.
_MOST_SEGMENTS = 20_000
# Disk space of the smallest file.
_BLOCK = 4_096


class SpoolError(Exception):
    """A failed write; ``reason`` is spool_full, spool_disk_full, spool_unavailable or out_of_time."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def folder_of(home: str) -> str:
    """Return the spool folder of a home."""
    return str(Path(home) / "spool")


def usage(folder: str) -> tuple[int, int]:
    """Return the number of segments and their disk usage in bytes. Raises OSError."""
    sizes = []
    for entry in segments.entries_in(Path(folder)):
        with suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            sizes.append(max(status.st_size, 512 * status.st_blocks))
    return len(sizes), sum(sizes)


def waiting(folder: str) -> tuple[int, int]:
    """Return the number of segments that a drain would store, and their size in bytes. Raises OSError."""
    sizes = []
    for entry in segments.entries_in(Path(folder)):
        with suppress(FileNotFoundError):
            size = entry.stat(follow_symlinks=False).st_size
            if size and not _is_held(entry.path):
                sizes.append(size)
    return len(sizes), sum(sizes)


class Spool:
    """A folder for segments of at most ``max_bytes`` in total, accessible only to its owner."""

    def __init__(self, folder: str, max_bytes: int) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._segments = self._used = 0
        self._measure_at_s = 0.0

    def write(self, spans: Iterable[Span], removed: dict[str, int] | None = None, *, sync: bool = False) -> None:
        """Write redacted spans as one segment, atomically; with ``sync``, force it to disk.

        ``removed`` counts removed attributes by name. Raises SpoolError.
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
        """Create an empty segment and reserve ``size`` bytes for it. Raises SpoolError."""
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
        """Reserve bytes that will be written. Raises SpoolError if the spool is full."""
        now = time.monotonic()
        if now >= self._measure_at_s:
            self._measure_at_s = now + _MEASURED_FOR_S
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
        """Create the folder if missing. Raises SpoolError if others may write to it."""
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
    """Return the SpoolError for an OSError of the spool's files."""
    return SpoolError("spool_disk_full" if error.errno in _NO_ROOM else "spool_unavailable")
