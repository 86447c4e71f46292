"""Journal: the segments that one writer owns until their spans are stored in the database.

Belongs here: which segment a writer appends to, and when one is removed or left to the drainers.
Does not: the folder's limits (spool), what is written when (writer).

A segment is removed once all its spans are stored; if any is not, it is left to the drainers. A segment that cannot be
removed is left without an error, since storing it again changes nothing.
"""

import math
import time
from _thread import RLock
from contextlib import suppress

from leo_telemetry_pipeline.spool.segments import Segment
from leo_telemetry_pipeline.spool.spool import Spool, SpoolError, failure

SEGMENT_BYTES = 1 << 20
# After this time, a living writer hands spans that it could not store over to the drainers.
LEFT_AFTER_S = 30.0
# Pause after a failed write, so that a program does not retry for every span.
_PAUSE_S = 0.5


class Journal:
    """The segments that one process writes; safe to call from any thread and from signal handlers."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._lock = RLock()
        self._current: Segment | None = None
        self._older: set[Segment] = set()
        self._refused: SpoolError | None = None
        self._retry_at_s = 0.0
        self._is_writing = False
        # time.monotonic() after which writes are refused, so that they do not delay a program's exit.
        self.until_s = math.inf

    def append(self, lines: bytes, count: int) -> Segment:
        """Write the lines of ``count`` spans and return their segment. Raises SpoolError."""
        self._check_time()
        with self._lock:
            # The previous holder of the lock may have waited for a slow disk.
            self._check_time()
            if self._refused is not None and time.monotonic() < self._retry_at_s:
                raise SpoolError(self._refused.reason)
            if self._is_writing:  # called by a signal handler during a write
                raise SpoolError("spool_unavailable")
            self._is_writing = True
            try:
                segment = self._write(lines)
            except SpoolError as error:
                self._refused, self._retry_at_s = error, time.monotonic() + _PAUSE_S
                raise
            finally:
                self._is_writing = False
            self._refused = None
            segment.pending += count
            return segment

    def settle(self, segment: Segment, count: int, *, stored: bool) -> None:
        """Settle ``count`` spans of a segment as stored or not; those not stored are left to the drainers."""
        with self._lock:
            if segment is not self._current and segment not in self._older:
                return  # closed meanwhile and left to the drainers
            segment.pending -= count
            segment.failed = segment.failed or not stored
            if segment.pending:
                return
            if segment is not self._current:
                self._end(segment)
            elif not segment.failed:
                self._empty(segment)

    def release(self, *, after_s: float = 0.0) -> None:
        """Leave a failed segment to the drainers if it is older than ``after_s``."""
        with self._lock:
            current = self._current
            if current is not None and current.failed and time.monotonic() - current.born_s >= after_s:
                self._rotate()

    def close(self) -> None:
        """Leave all segments to the drainers."""
        with self._lock:
            self.until_s = math.inf
            self._rotate()
            for segment in list(self._older):
                segment.failed = True
                self._end(segment)

    def _check_time(self) -> None:
        if time.monotonic() >= self.until_s:
            raise SpoolError("out_of_time")

    def _write(self, lines: bytes) -> Segment:
        if self._current is not None and self._current.size >= SEGMENT_BYTES:
            self._rotate()
        if self._current is None:
            self._current = self._spool.make_segment(len(lines))
        else:
            self._spool.take_room(len(lines))
        segment = self._current
        try:
            segment.append(lines)
        except OSError as error:
            # A torn line may only be at the end of a file, so nothing is appended to this one.
            self._rotate()
            raise failure(error) from None
        return segment

    def _rotate(self) -> None:
        segment, self._current = self._current, None
        if segment is None:
            return
        self._older.add(segment)
        if not segment.pending:
            self._end(segment)

    def _empty(self, segment: Segment) -> None:
        try:
            segment.empty()
        except OSError:
            segment.failed = True
            self._rotate()

    def _end(self, segment: Segment) -> None:
        self._older.discard(segment)
        with suppress(OSError):
            if segment.failed:
                segment.close()
            else:
                segment.remove()
