"""What processes that ended had counted, as they leave it in the spool's folder.

Belongs here: adding counters, and handing them to a drain that notes them. Does not: what is counted
(writer.counters, drain).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from leo_telemetry_pipeline.spool import file_locks, segments

NAME = "counters"
# A program that ends waits no longer than this for another one; a drain may.
_PATIENCE_S = 0.1
_DRAINER_PATIENCE_S = 1.0
_MOST_BYTES = 1 << 20


def leave(folder: Path, counters: dict) -> None:
    """Add counters to those that the next drain notes. Raises OSError."""
    with _locked(folder, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PATIENCE_S) as fd:
        if os.fstat(fd).st_size < _MOST_BYTES:
            # A line that a full disk cut off must not take this one with it.
            os.write(fd, b"\n" + segments.line_of({"counters": counters}))


@contextmanager
def left(folder: Path) -> Iterator[list[dict]]:
    """Yield what processes left, and forget it when the block ends well. Raises OSError."""
    content = b""
    with suppress(FileNotFoundError, TimeoutError), _locked(folder, os.O_RDWR, _DRAINER_PATIENCE_S) as fd:
        content = _content(fd)
    counters = []
    for line in content.splitlines(keepends=True):
        with suppress(segments.DamagedLine):
            counters.append(segments.record_of(line).get("counters"))
    yield [one for one in counters if isinstance(one, dict)]
    if content:
        # Not locked meanwhile: nobody who ends waits for a database.
        with _locked(folder, os.O_RDWR, _DRAINER_PATIENCE_S) as fd:
            fresh = _content(fd)[len(content) :]
            os.ftruncate(fd, 0)
            os.pwrite(fd, fresh, 0)


@contextmanager
def _locked(folder: Path, flags: int, patience_s: float) -> Iterator[int]:
    with file_locks.opened(folder / NAME, flags, patience_s=patience_s) as fd:
        if fd is None:
            raise TimeoutError("the counters are locked for long")
        yield fd


def _content(fd: int) -> bytes:
    with os.fdopen(fd, "rb", closefd=False) as file:
        return file.read()
