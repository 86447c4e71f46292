"""From the segments of a spool to whoever stores spans, one drainer at a time, oldest first.

Belongs here: which segments may be read, and when one may be removed: after all of its spans are stored, only then.
Does not: when to drain, and into what (writer, store.spool_drain).
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import file_locks, leftover_counters, segments

# Each of them has the patience of whoever waits for the database (sender), so it is not larger than a writer's.
BATCH = 1_000
# Of large spans fewer are taken, so that a drain takes no more memory than a writer.
BATCH_BYTES = 8 << 20
_LOCK = "drain.lock"


class Drained:
    """What a drain brought.

    ``busy``: another drainer is at work, nothing was done. ``segments`` were stored and removed, ``spans`` read from
    them, ``new`` of those stored for the first time, ``quarantined`` refused, and ``completed`` gave a stored span its
    end; ``torn`` lines were damaged and are lost.
    ``left`` segments are still there. ``counters`` is what ended processes left, a dict each.
    """

    __slots__ = ("busy", "completed", "counters", "left", "new", "quarantined", "segments", "spans", "torn")

    def __init__(self, *, busy: bool = False) -> None:
        self.busy = busy
        self.segments = self.spans = self.new = self.completed = self.quarantined = self.torn = self.left = 0
        self.counters: list[dict] = []


def drain(
    folder: str,
    store: Callable[[list[Span], dict[str, int]], Any],
    *,
    at_most_s: float | None = None,
    note: Callable[[Drained], object] | None = None,
) -> Drained:
    """Hand the spans of all segments whose writers ended to ``store(spans, removed)``, and remove what it took.

    ``store`` returns something with ``new``, ``completed`` and ``quarantined``; what it raises ends the drain, and the
    segment stays whole: storing is idempotent. No segment is begun after ``at_most_s``. The counters of ended processes
    are removed when ``note``, which gets what was drained, has returned, also before ``store`` raised; without it they
    stay for a later drain, and so does the number of lines that are lost. Raises PermissionError where the spool is
    somebody else's, and OSError.
    """
    give_up = None if at_most_s is None else time.monotonic() + at_most_s
    path = Path(folder)
    with _alone(path) as alone:
        drained = Drained(busy=not alone)
        if not alone:
            return drained
        try:
            # Others close segments meanwhile, so it is looked again until there is nothing to take.
            while _take_all(path, store, drained, give_up):
                pass
        except BaseException:
            with suppress(Exception):
                _tell(path, drained, note)
            raise
        _tell(path, drained, note)
    return drained


def _take_all(
    folder: Path, store: Callable[[list[Span], dict[str, int]], Any], drained: Drained, give_up: float | None
) -> bool:
    """Store every segment that nobody holds; say whether there was one, and time for more."""
    names = sorted(entry.name for entry in segments.entries_in(folder))
    drained.left, before = len(names), drained.segments
    for name in names:
        if give_up is not None and drained.segments and time.monotonic() >= give_up:
            return False
        with segments.taken(folder / name) as file:
            if file is None:
                continue
            torn = _store_all(file, store, drained)
            # Under its lock still, so that nobody can have it in hand.
            (folder / name).unlink(missing_ok=True)
        drained.segments += 1
        drained.torn += torn
        drained.left -= 1
    return drained.segments > before


def _store_all(file: BinaryIO, store: Callable[[list[Span], dict[str, int]], Any], drained: Drained) -> int:
    """Store what is whole in a segment, and return how many lines are not."""
    spans: list[Span] = []
    removed: dict[str, int] = {}
    torn = size = 0

    def hand_over() -> None:
        if spans or removed:
            stored = store(spans.copy(), removed.copy())
            drained.spans += len(spans)
            drained.new += stored.new
            drained.completed += stored.completed
            drained.quarantined += stored.quarantined
            spans.clear()
            removed.clear()

    for line in file:
        try:
            span, counts = segments.content_of(segments.record_of(line))
        except segments.DamagedLine:
            torn += 1
            continue
        if span is not None:
            spans.append(span)
        for name, count in counts.items():
            removed[name] = removed.get(name, 0) + count
        size += len(line)
        if len(spans) >= BATCH or size >= BATCH_BYTES:
            hand_over()
            size = 0
    hand_over()
    return torn


def _tell(folder: Path, drained: Drained, note: Callable[[Drained], object] | None) -> None:
    """Have noted what was drained; what is lost otherwise waits for a drain that is noted."""
    noted = False
    try:
        if note is not None:
            with leftover_counters.left(folder) as drained.counters:
                note(drained)
                noted = True
    finally:
        if not noted and drained.segments and (drained.torn or drained.quarantined):
            with suppress(OSError):
                leftover_counters.leave(folder, {"quarantined": drained.quarantined, "dropped": {"torn": drained.torn}})


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Yield whether this is the one drainer of the folder; a folder that is not there holds nothing."""
    try:
        segments.check_folder(folder)
    except FileNotFoundError:
        yield True
        return
    with file_locks.opened(folder / _LOCK, os.O_RDWR | os.O_CREAT) as lock:
        yield lock is not None
