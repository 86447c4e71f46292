"""Batches of spans on their way to the database or the spool.

Belongs here: settling each span once, as stored, spooled or dropped. Does not: when (worker_thread), segments (spool).
"""

import time
from _thread import RLock
from collections import Counter
from typing import TYPE_CHECKING

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import segments
from leo_telemetry_pipeline.spool.journal import Journal
from leo_telemetry_pipeline.spool.spool import SpoolError
from leo_telemetry_pipeline.writer.counters import Taken, Tally
from leo_telemetry_pipeline.writer.preparing import Kept

if TYPE_CHECKING:
    from leo_telemetry_pipeline.writer.sink import Sink

# Spans per disk write: when the disk is full, at most this many are lost that would have fitted.
_PIECE = 50
# Drop reason of spans that are kept in telemetry_quarantine.
REFUSED = "refused"


class Batch:
    """Spans that are stored together; settled once, by the first outcome."""

    def __init__(
        self, tally: Tally, taken: Taken, journal: Journal, loose: list[Span], removed: dict[str, int], kept: list[Kept]
    ) -> None:
        self.spans = loose + [item.span for item in kept]
        loose = loose + [item.span for item in kept if item.segment is None]
        self.removed = removed
        self._tally = tally
        self._taken = taken
        self._journal = journal
        self._lock = RLock()
        self._loose = loose
        self._on_disk = list(Counter(item.segment for item in kept if item.segment is not None).items())
        taken.is_on_disk = not loose
        self._refused = 0
        self._born_s = time.monotonic()
        self._ended = False

    def age_s(self) -> float:
        """Return the batch's age in seconds."""
        return time.monotonic() - self._born_s

    def run(self, sink: "Sink") -> None:
        """Store the spans."""
        self._refused = sink.store(self.spans, self.removed).quarantined

    def finish(self, done: bool) -> None:
        """Count the spans as stored; otherwise write them to disk and count them as spooled."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            if done:
                reason, lost = REFUSED, self._refused
            else:
                reason = self._secure()
                lost = len(self._loose)
            try:
                for segment, count in self._on_disk:
                    self._journal.settle(segment, count, stored=done)
            finally:
                self._tally.settle(self._taken, len(self.spans) - lost, stored=done)
                self._tally.drop(self._taken, reason, lost)

    def secure(self) -> None:
        """Write spans that are not on disk yet, while the batch waits; the disk may refuse them."""
        with self._lock:
            if not self._ended:
                self._secure()

    def _secure(self) -> str:
        """Write as many spans as fit; return the reason why the rest were refused, empty if none were."""
        removed = segments.removed_line(self.removed)
        while self._loose:
            piece = self._loose[:_PIECE]
            try:
                segment = self._journal.append(b"".join(map(segments.span_line, piece)) + removed, len(piece))
            except SpoolError as error:
                return error.reason
            self._on_disk.append((segment, len(piece)))
            self._loose = self._loose[_PIECE:]
            removed = b""
        self._taken.is_on_disk = True
        return ""
