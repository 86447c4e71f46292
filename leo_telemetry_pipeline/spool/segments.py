"""Segment: a file of spans that wait for the database, one record per line.

Belongs here: the line format, creating, appending, reading and closing a segment, permissions of its folder.
Does not: total limits (spool), writing spans (journal), reading segments (drain).

A line is the CRC-32 of its JSON in 8 hex digits, a space, the JSON, a newline. A writer holds the file's lock, which
the kernel releases however the process ends: a locked segment has a live writer.
"""

import json
import operator
import os
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from leo_telemetry_pipeline.sources.rows import span_from_row
from leo_telemetry_pipeline.span import COLUMNS, InvalidSpan, Span
from leo_telemetry_pipeline.spool import file_locks

SUFFIX = ".spans"
# Limit of a removed attribute's count in one line.
_MOST = 1 << 32
_values = operator.attrgetter(*COLUMNS)
# JSON escapes newlines and all non-ASCII characters, so a record is one line.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class DamagedLine(ValueError):
    """Line that is truncated, altered, or not a record."""


def line_of(record: dict) -> bytes:
    """Return the line of a record."""
    payload = _encode(record).encode()
    return b"%08x %s\n" % (zlib.crc32(payload), payload)


def span_line(span: Span) -> bytes:
    """Return the line of a span."""
    values = zip(COLUMNS, _values(span), strict=True)
    return line_of({"span": {name: value for name, value in values if value is not None}})


def removed_line(removed: dict[str, int]) -> bytes:
    """Return the line with counts of removed attributes by name, empty for none."""
    return line_of({"removed_keys": removed}) if removed else b""


def record_of(line: bytes) -> dict:
    """Return the record of a line. Raises DamagedLine."""
    payload = line[9:-1]
    if line[-1:] != b"\n" or line[:9] != b"%08x " % zlib.crc32(payload):
        raise DamagedLine
    try:
        record = json.loads(payload)
    except (ValueError, RecursionError):
        raise DamagedLine from None
    if not isinstance(record, dict):
        raise DamagedLine
    return record


def content_of(record: dict) -> tuple[Span | None, dict[str, int]]:
    """Return the span of a record, and its counts of removed attributes. Raises DamagedLine."""
    removed = record.get("removed_keys", {})
    if not isinstance(removed, dict) or not all(
        type(count) is int and 0 <= count < _MOST for count in removed.values()
    ):
        raise DamagedLine
    try:
        return span_from_row(record["span"]) if "span" in record else None, removed
    except (InvalidSpan, ValueError, AttributeError, TypeError):
        raise DamagedLine from None


class Segment:
    """A segment that this process writes; ``size`` in bytes. Raises OSError."""

    __slots__ = ("_fd", "born_s", "failed", "path", "pending", "size")

    def __init__(self, folder: Path) -> None:
        self.size = 0
        self.born_s = time.monotonic()
        # State kept by the journal: number of unsettled spans, and whether any must be drained from this file.
        self.pending = 0
        self.failed = False
        while True:
            # Names sort by time.
            self.path = folder / f"{time.time_ns():020}-{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self.path, flags, 0o600)
            try:
                locked = file_locks.take(self._fd)
            except OSError:  # a file system without locks
                self.path.unlink(missing_ok=True)
                os.close(self._fd)
                raise
            if not locked:
                os.close(self._fd)
            elif os.fstat(self._fd).st_nlink:
                return
            else:  # a drainer removed the file in between because it was empty
                file_locks.close(self._fd)

    def append(self, lines: bytes) -> None:
        """Write whole lines, all or none."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except BaseException:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(lines)

    def sync(self) -> None:
        """Force the file and its directory entry to disk."""
        os.fsync(self._fd)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def empty(self) -> None:
        """Truncate the file."""
        os.ftruncate(self._fd, 0)
        self.size = 0

    def close(self) -> None:
        """Close the file, so that a drainer may take it."""
        file_locks.close(self._fd)

    def remove(self) -> None:
        """Remove the file while its lock still keeps drainers away."""
        try:
            self.path.unlink(missing_ok=True)
        finally:
            self.close()


@contextmanager
def taken(path: Path) -> Iterator[BinaryIO | None]:
    """Open and lock a segment for reading; yield None if its writer is alive, or if it is missing or not a file."""
    with ExitStack() as stack:
        file = None
        with suppress(OSError):
            if stat.S_ISREG(path.lstat().st_mode):
                fd = stack.enter_context(file_locks.opened(path, os.O_RDWR))
                file = None if fd is None else stack.enter_context(os.fdopen(fd, "rb", closefd=False))
        yield file


def entries_in(folder: Path) -> Iterator[os.DirEntry]:
    """Yield the segments of a folder in any order; none if the folder is missing."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if entry.name.endswith(SUFFIX))
    except FileNotFoundError:
        return


def check_folder(folder: Path) -> None:
    """Raise PermissionError if others may write to the folder, FileNotFoundError if it is missing."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(f"{folder} belongs to somebody else or is writable by others")
