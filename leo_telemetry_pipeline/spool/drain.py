"""Drain of a spool: the spans of its segments in batches, oldest first, for one drainer at a time.

Belongs here: which segments may be read and removed. Does not: when to drain (writer, store.spool_drain).
"""

import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import file_locks, leftover_counters, segments

# A batch is no larger than a writer's, since it has the same time limit in the database (sender).
BATCH = 1_000
# Bounds the memory of a drain to that of a writer.
BATCH_BYTES = 8 << 20
_LOCK = "drain.lock"


class Drained:
    """The result of a drain.

    ``busy``: another drainer was active, so nothing was done. ``segments`` stored and removed; ``spans`` read, of which
    ``new`` were inserted, ``completed`` gave a stored span its end, and ``quarantined`` were refused. ``torn`` lines
    were damaged and are lost. ``left``: remaining segments. ``counters`` of ended processes, one dict each.
    """

    __slots__ = ("busy", "completed", "counters", "left", "new", "quarantined", "segments", "spans", "torn")

    def __init__(self, *, busy: bool = False) -> None:
        self.busy = busy
        self.segments = self.spans = self.new = self.completed = self.quarantined = self.torn = self.left = 0
        self.counters: list[dict] = []


class SpooledBatch:
    """Spans to store, and counts of removed attributes by name.

    Before the next batch, the caller sets ``stored``, an object with ``new``, ``completed`` and ``quarantined``.
    """

    __slots__ = ("removed", "spans", "stored")

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.removed: dict[str, int] = {}
        self.stored: Any = None


class OpenDrain:
    """One drain: iterate over ``batches``, store each, then record the ``drained`` result within ``counted``."""

    def __init__(self, folder: Path, give_up_s: float | None, *, busy: bool) -> None:
        self.drained = Drained(busy=busy)
        self.batches = self._batches(give_up_s)
        self._folder = folder
        self._is_counted = busy

    @contextmanager
    def counted(self) -> Iterator[list[dict]]:
        """Yield the counters of ended processes, and remove them if the block succeeds. Raises OSError."""
        with leftover_counters.left(self._folder) as self.drained.counters:
            yield self.drained.counters
            self._is_counted = True

    def close(self) -> None:
        """Keep unstored segments; pass counts of lost and refused spans to the next drain unless they are recorded."""
        self.batches.close()
        drained = self.drained
        if not self._is_counted and drained.segments and (drained.torn or drained.quarantined):
            with suppress(OSError):
                counters = {"quarantined": drained.quarantined, "dropped": {"torn": drained.torn}}
                leftover_counters.leave(self._folder, counters)

    def _batches(self, give_up_s: float | None) -> Generator[SpooledBatch]:
        """Yield the spans of every segment without a living writer, and remove each segment once they are stored."""
        drained, before = self.drained, -1
        # Writers close segments meanwhile, so repeat until there is nothing left to take.
        while not drained.busy and drained.segments > before:
            names = sorted(entry.name for entry in segments.entries_in(self._folder))
            drained.left, before = len(names), drained.segments
            for name in names:
                if give_up_s is not None and drained.segments and time.monotonic() >= give_up_s:
                    return
                with segments.taken(self._folder / name) as file:
                    if file is None:
                        continue
                    torn = yield from self._batches_of(file)
                    # Still locked, so nobody else can be using it.
                    (self._folder / name).unlink(missing_ok=True)
                drained.segments += 1
                drained.torn += torn
                drained.left -= 1

    def _batches_of(self, file: BinaryIO) -> Generator[SpooledBatch, None, int]:
        """Yield the intact lines of a segment, and return the number of damaged ones."""
        batch, torn, size = SpooledBatch(), 0, 0
        for line in file:
            try:
                span, counts = segments.content_of(segments.record_of(line))
            except segments.DamagedLine:
                torn += 1
                continue
            if span is not None:
                batch.spans.append(span)
            for name, count in counts.items():
                batch.removed[name] = batch.removed.get(name, 0) + count
            size += len(line)
            if len(batch.spans) >= BATCH or size >= BATCH_BYTES:
                yield from self._stored(batch)
                batch, size = SpooledBatch(), 0
        yield from self._stored(batch)
        return torn

    def _stored(self, batch: SpooledBatch) -> Generator[SpooledBatch]:
        if batch.spans or batch.removed:
            yield batch
            self.drained.spans += len(batch.spans)
            self.drained.new += batch.stored.new
            self.drained.completed += batch.stored.completed
            self.drained.quarantined += batch.stored.quarantined


@contextmanager
def opened(folder: str, *, at_most_s: float | None = None) -> Iterator[OpenDrain]:
    """Yield a drain of all segments without a living writer.

    A segment stays until all its batches are stored; storing some of them again is harmless. No segment is begun after
    ``at_most_s``. Raises PermissionError if the spool belongs to somebody else, and OSError.
    """
    give_up_s = None if at_most_s is None else time.monotonic() + at_most_s
    path = Path(folder)
    with _alone(path) as alone, closing(OpenDrain(path, give_up_s, busy=not alone)) as drain:
        yield drain


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
