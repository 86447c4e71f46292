"""What the receiver tells its operator: counted for the doctor, and logged at most once per minute and reason.

Belongs here: counting and the pace of the log. Does not: what is worth a notice (app, batching, server), the table of
notices (store.intake).
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping

from leo_telemetry_pipeline.store.intake import Noticed

SOURCE = "otlp"
# Under this detail everything is counted once there are _MOST others.
OTHERS = "other reasons"
_MOST = 200
_LINE_EVERY_S = 60.0

_log = logging.getLogger(__name__)


class Notices:
    """Counts of what was noticed since ``take``; used by the event loop's thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: Counter[Noticed] = Counter()
        self._unsaid: Counter[Noticed] = Counter()
        self._said_at: dict[Noticed, float] = {}

    def add(self, kind: str, detail: str, said: str, count: int = 1) -> None:
        """Count, and log ``said`` after the number since the last such line; neither holds a word of a span."""
        if count <= 0:
            return
        noticed = Noticed(SOURCE, kind, detail)
        if noticed not in self._said_at and len(self._said_at) >= _MOST:
            noticed, said = Noticed(SOURCE, kind, OTHERS), OTHERS
        self._waiting[noticed] += count
        self._unsaid[noticed] += count
        now = self._clock()
        if now - self._said_at.get(noticed, -_LINE_EVERY_S) >= _LINE_EVERY_S:
            self._said_at[noticed] = now
            _log.warning("%d %s", self._unsaid.pop(noticed), said)

    def take(self) -> Mapping[Noticed, int]:
        """Return what was counted since the last take."""
        taken, self._waiting = self._waiting, Counter()
        return taken

    def give_back(self, taken: Mapping[Noticed, int]) -> None:
        """Count again what could not be written."""
        self._waiting.update(taken)
