"""From the segments of a spool to whoever stores spans, one drainer at a time, oldest first.

Belongs here: which segments may be read, and when one may be removed: after all of its spans are stored, only then.
Does not: when to drain, and into what (writer, store.drains).
"""

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from leo_telemetry_pipeline.collect import segments
from leo_telemetry_pipeline.span import Span

BATCH = 2_000
COUNTERS = "counters"
_LOCK = "drain.lock"


class Drained:
    """What a drain brought.

    ``busy``: another drainer is at work, nothing was done. ``segments`` were stored and removed, ``spans`` read from
    them, ``new`` of those stored for the first time, ``quarantined`` refused; ``torn`` lines were damaged and are lost.
    ``left`` segments are still there. ``counters`` is what ended processes left, a dict each.
    """

    __slots__ = ("busy", "counters", "left", "new", "quarantined", "segments", "spans", "torn")

    def __init__(self, *, busy: bool = False) -> None:
        self.busy = busy
        self.segments = self.spans = self.new = self.quarantined = self.torn = self.left = 0
        self.counters: list[dict] = []


def drain(
    folder: str,
    store: Callable[[list[Span], dict[str, int]], Any],
    *,
    at_most_s: float | None = None,
    with_counters: bool = True,
) -> Drained:
    """Hand the spans of all segments whose writers ended to ``store(spans, removed)``, and remove what it took.

    ``store`` returns something with ``new`` and ``quarantined``; what it raises ends the drain, and the segment stays
    whole: storing is idempotent. No segment is begun after ``at_most_s``. Without ``with_counters`` the counters
    of ended processes stay for a later drain. Raises PermissionError where the spool is somebody else's, and OSError.
    """
    give_up = None if at_most_s is None else time.monotonic() + at_most_s
    path = Path(folder)
    with _alone(path) as alone:
        drained = Drained(busy=not alone)
        if not alone:
            return drained
        for name in sorted(entry.name for entry in segments.names_in(path)):
            if give_up is not None and drained.segments and time.monotonic() >= give_up:
                break
            file = segments.take(path / name)
            if file is not None:
                with file:
                    _store_all(file, store, drained)
                    # Under its lock still, so that nobody can have it in hand.
                    (path / name).unlink(missing_ok=True)
                drained.segments += 1
        drained.left = sum(1 for _ in segments.names_in(path))
        if with_counters:
            drained.counters = _take_counters(path)
    return drained


def _store_all(file: BinaryIO, store: Callable[[list[Span], dict[str, int]], Any], drained: Drained) -> None:
    spans: list[Span] = []
    removed: dict[str, int] = {}
    torn = 0

    def hand_over() -> None:
        if spans or removed:
            stored = store(spans.copy(), removed.copy())
            drained.spans += len(spans)
            drained.new += stored.new
            drained.quarantined += stored.quarantined
            spans.clear()
            removed.clear()

    for line in file:
        try:
            record = segments.record_of(line)
            if "span" in record:
                spans.append(segments.span_of(record))
            for name, count in record.get("removed_keys", {}).items():
                removed[name] = removed.get(name, 0) + count
        except segments.DamagedLine:
            torn += 1
        if len(spans) >= BATCH:
            hand_over()
    hand_over()
    drained.torn += torn


def _take_counters(folder: Path) -> list[dict]:
    try:
        file = os.fdopen(os.open(folder / COUNTERS, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW), "rb")
    except FileNotFoundError:
        return []
    counters = []
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for line in file:
            with suppress(segments.DamagedLine):
                counters.append(segments.record_of(line).get("counters", {}))
        os.ftruncate(file.fileno(), 0)
    return counters


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Yield whether this is the one drainer of the folder; a folder that is not there holds nothing."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        yield True
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} belongs to somebody else, or others may write there")
    fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        yield False
        return
    try:
        yield True
    finally:
        os.close(fd)
