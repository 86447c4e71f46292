"""Notices to the operator: counted for ``doctor``, and logged at most once per minute and reason.

Belongs here: counting, and the rate limit of the log. Does not: when to notify (app, batching), the table (store).
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping

from leo_telemetry_pipeline.store.intake import Noticed

SOURCE = "otlp"
# Collects all details beyond the first _MOST.
OTHERS = "other reasons"
_MOST = 200
_LINE_EVERY_S = 60.0

_log = logging.getLogger(__name__)


class Notices:
    """Counts of notices since ``take``; used only by the event loop's thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: Counter[Noticed] = Counter()
        self._unlogged: Counter[Noticed] = Counter()
        self._logged_at: dict[Noticed, float] = {}

    def add(self, kind: str, detail: str, line: str, count: int = 1) -> None:
        """Count a notice, and log ``line`` with the number since its last log entry; neither text may quote a span."""
        if count <= 0:
            return
        noticed = Noticed(SOURCE, kind, detail)
        if noticed not in self._logged_at and len(self._logged_at) >= _MOST:
            noticed, line = Noticed(SOURCE, kind, OTHERS), OTHERS
        self._waiting[noticed] += count
        self._unlogged[noticed] += count
        now = self._clock()
        if now - self._logged_at.get(noticed, -_LINE_EVERY_S) >= _LINE_EVERY_S:
            self._logged_at[noticed] = now
            _log.warning("%d %s", self._unlogged.pop(noticed), line)

    def take(self) -> Mapping[Noticed, int]:
        """Return and reset the counts."""
        taken, self._waiting = self._waiting, Counter()
        return taken

    def give_back(self, taken: Mapping[Noticed, int]) -> None:
        """Add back counts that could not be written."""
        self._waiting.update(taken)
