"""Drain of a spool: passes the spans of its segments to a store, oldest first, one drainer at a time.

Belongs here: which segments may be read and removed. Does not: when to drain (writer, store.spool_drain).
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import file_locks, leftover_counters, segments

# At most a writer's batch, since it has the same time limit in the database (sender).
BATCH = 1_000
# Bounds the memory of a drain to that of a writer.
BATCH_BYTES = 8 << 20
_LOCK = "drain.lock"


class Drained:
    """Result of a drain; ``busy``: another drainer was active, so nothing was done.

    ``segments`` stored and removed; ``spans`` read, of which ``new`` were inserted, ``completed`` gave a stored span
    its end, and ``quarantined`` were refused; ``torn`` lines lost; ``left`` segments; ``counters`` of ended processes.
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
    """Pass the spans of all segments without a living writer to ``store(spans, removed)``, and remove stored segments.

    ``store`` returns an object with ``new``, ``completed`` and ``quarantined``. If it raises, the drain ends and the
    segment stays, since storing is idempotent. No segment is started after ``at_most_s``. ``note`` records the result,
    also after an error; then the counters of ended processes are removed. Without it, they and the number of lost
    lines stay for a later drain. Raises OSError; PermissionError if the spool belongs to another user.
    """
    give_up = None if at_most_s is None else time.monotonic() + at_most_s
    path = Path(folder)
    with _alone(path) as alone:
        drained = Drained(busy=not alone)
        if not alone:
            return drained
        try:
            # Writers close segments meanwhile, so repeat until there is nothing left to take.
            while _take_all(path, store, drained, give_up):
                pass
        except BaseException:
            with suppress(Exception):
                _record(path, drained, note)
            raise
        _record(path, drained, note)
    return drained


def _take_all(
    folder: Path, store: Callable[[list[Span], dict[str, int]], Any], drained: Drained, give_up: float | None
) -> bool:
    """Store every segment without a living writer; return whether there was one, and time for more."""
    names = sorted(entry.name for entry in segments.entries_in(folder))
    drained.left, before = len(names), drained.segments
    for name in names:
        if give_up is not None and drained.segments and time.monotonic() >= give_up:
            return False
        with segments.taken(folder / name) as file:
            if file is None:
                continue
            torn = _store_all(file, store, drained)
            # While still locked, so that no one else can be using it.
            (folder / name).unlink(missing_ok=True)
        drained.segments += 1
        drained.torn += torn
        drained.left -= 1
    return drained.segments > before


def _store_all(file: BinaryIO, store: Callable[[list[Span], dict[str, int]], Any], drained: Drained) -> int:
    """Store the intact lines of a segment, and return the number of damaged ones."""
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


def _record(folder: Path, drained: Drained, note: Callable[[Drained], object] | None) -> None:
    """Record the result by ``note``; without it, leave the numbers of lost and refused spans for a later drain."""
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
    """Yield whether this is the only drainer of the folder; true for a missing folder."""
    try:
        segments.check_folder(folder)
    except FileNotFoundError:
        yield True
        return
    with file_locks.opened(folder / _LOCK, os.O_RDWR | os.O_CREAT) as lock:
        yield lock is not None
