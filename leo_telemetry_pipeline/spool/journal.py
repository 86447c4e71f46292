"""A writer's own segment: what is on disk, and in nobody else's hands, until the database has taken it.

Belongs here: which segment a writer appends to, and when one may be removed or left to the drainers.
Does not: the folder's limits (spool), what is written when (writer).

In durable mode every span passes here first, otherwise only what the database did not take in time. Both kinds are
``settled`` when their end is known: a segment whose spans are all stored goes, one with another end is left.
What cannot be tidied stays as well, and nobody hears of it: storing it again adds nothing.
"""

import math
import time
from _thread import RLock
from contextlib import suppress

from leo_telemetry_pipeline.spool.segments import Segment
from leo_telemetry_pipeline.spool.spool import Spool, SpoolError, failure

SEGMENT_BYTES = 1 << 20
# A living writer leaves what it could not store for others after so long.
LEFT_AFTER_S = 30.0
# A disk that refused is not asked again for so long: a program must not feel it with every span.
_REST_S = 0.5


class Journal:
    """The segments that one process writes; any thread may call anything, also from a signal handler."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._lock = RLock()
        self._current: Segment | None = None
        self._older: set[Segment] = set()
        self._refused: SpoolError | None = None
        self._ask_again_s = 0.0
        self._at_work = False
        # Of time.monotonic(): what a program's end must not wait for any more is refused after it.
        self.until_s = math.inf

    def append(self, lines: bytes, count: int) -> Segment:
        """Write the lines of ``count`` spans and return the segment that has them. Raises SpoolError."""
        self._check_time()
        with self._lock:
            # Whoever had the lock may have waited for a slow disk.
            self._check_time()
            if self._refused is not None and time.monotonic() < self._ask_again_s:
                raise SpoolError(self._refused.reason)
            if self._at_work:  # a signal handler has come between
                raise SpoolError("spool_unavailable")
            self._at_work = True
            try:
                segment = self._write(lines)
            except SpoolError as error:
                self._refused, self._ask_again_s = error, time.monotonic() + _REST_S
                raise
            finally:
                self._at_work = False
            self._refused = None
            segment.pending += count
            return segment

    def settle(self, segment: Segment, count: int, *, stored: bool) -> None:
        """Say what became of ``count`` spans of a segment; those that were not stored are left to the drainers."""
        with self._lock:
            if segment is not self._current and segment not in self._older:
                return  # closed meanwhile: the drainers have it
            segment.pending -= count
            segment.failed = segment.failed or not stored
            if segment.pending:
                return
            if segment is not self._current:
                self._end(segment)
            elif not segment.failed:
                self._empty(segment)

    def release(self, *, after_s: float = 0.0) -> None:
        """Leave to the drainers what cannot be stored from here, if it has waited for so long."""
        with self._lock:
            current = self._current
            if current is not None and current.failed and time.monotonic() - current.born_s >= after_s:
                self._rotate()

    def close(self) -> None:
        """Leave everything whose end is open to the drainers, and keep nothing."""
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
            # Whatever may be torn now stands at the end of a file that nobody appends to.
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
