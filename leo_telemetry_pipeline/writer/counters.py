"""Counters of a writer.

Belongs here: the counters, and the invariant that they add up. Does not: which event counts as what (writer, batches).
"""

import math
from _thread import RLock
from collections import deque
from collections.abc import Mapping, Sequence


class Taken:
    """Spans taken from the queue together, and their position: ``first`` spans were taken before them."""

    __slots__ = ("count", "first", "is_on_disk")

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.count = count
        self.is_on_disk = False


class Tally:
    """Counts spans taken from the queue: first as unsettled, then once by their outcome."""

    def __init__(self) -> None:
        self.lock = RLock()  # reentrant, since a signal handler may end a span at any moment
        self.spooled = 0
        self._stored = 0
        self._dropped: dict[str, int] = {}
        self._removed: dict[str, int] = {}
        # Number of spans ever taken from the queue, and the unsettled ones by position.
        self._taken = 0
        self._unsettled: dict[int, Taken] = {}
        self._first_lost = math.inf
        self._reported = self.ended()

    @property
    def unsettled(self) -> int:
        """Number of spans that were taken from the queue and are not settled yet."""
        with self.lock:
            return sum(taken.count for taken in self._unsettled.values())

    def take(self, count: int) -> Taken:
        """Count spans as taken from the queue."""
        with self.lock:
            taken = Taken(self._taken, count)
            self._taken += count
            if count:
                self._unsettled[taken.first] = taken
            return taken

    def settle(self, taken: Taken, count: int, *, stored: bool) -> None:
        """Count spans as stored in the database, or as left in the spool."""
        with self.lock:
            if self._let_go(taken, count):
                self._stored += count if stored else 0
                self.spooled += 0 if stored else count

    def drop(self, taken: Taken, reason: str, count: int) -> None:
        """Count spans as lost."""
        with self.lock:
            if count and self._let_go(taken, count):
                self._dropped[reason] = self._dropped.get(reason, 0) + count
                self._first_lost = min(self._first_lost, taken.first)

    def disown(self, taken: Taken, count: int) -> None:
        """Release spans that are counted elsewhere."""
        with self.lock:
            self._let_go(taken, count)

    def give_up(self, queue: deque) -> None:
        """Count queued and unsettled spans as lost, unless on disk; ignore later reports on them."""
        with self.lock:
            while queue:
                self.take(1).is_on_disk = _is_on_disk(queue.popleft())
            for taken in list(self._unsettled.values()):
                if taken.is_on_disk:
                    self.settle(taken, taken.count, stored=False)
                else:
                    self.drop(taken, "out_of_time", taken.count)

    def pass_by(self, dropped: str = "") -> None:
        """Count a span that bypassed the queue: as dropped for a reason, or else as spooled."""
        with self.lock:
            if dropped:
                self._dropped[dropped] = self._dropped.get(dropped, 0) + 1
            else:
                self.spooled += 1

    def remember(self, removed: Mapping[str, int]) -> None:
        """Add counts of removed attributes, by name."""
        with self.lock:
            for name, count in removed.items():
                self._removed[name] = self._removed.get(name, 0) + count

    def take_removed(self) -> dict[str, int]:
        """Return and reset the counts of removed attributes; call with the lock held."""
        removed, self._removed = self._removed, {}
        return removed

    @property
    def has_losses(self) -> bool:
        """Whether any span has been dropped."""
        return bool(self._dropped)

    def position(self, waiting: int) -> int:
        """Return the position after the ``waiting`` spans of the queue; call with the lock held."""
        return self._taken + waiting

    def have_ended(self, position: int) -> bool:
        """Return whether all spans before a position are settled."""
        with self.lock:
            return self._taken >= position and all(first >= position for first in self._unsettled)

    def are_kept(self, position: int, waiting: Sequence[object]) -> bool:
        """Return whether all spans before a position are stored or on disk, given the queue; call with lock held."""
        return (
            self._first_lost >= position
            and all(taken.is_on_disk for taken in self._unsettled.values() if taken.first < position)
            and all(map(_is_on_disk, waiting[: max(0, position - self._taken)]))
        )

    def _let_go(self, taken: Taken, count: int) -> bool:
        if self._unsettled.get(taken.first) is not taken:
            return False  # given up meanwhile
        taken.count -= count
        if not taken.count:
            del self._unsettled[taken.first]
        return True

    def counters(self, waiting: int) -> dict:
        """Return all counters, given the number of queued spans; call with the lock held."""
        ended = self._stored + self.spooled + sum(self._dropped.values())
        queued = waiting + self.unsettled
        return {
            "created": queued + ended,
            "stored": self._stored,
            "spooled": self.spooled,
            "dropped": dict(self._dropped),
            "queued": queued,
        }

    def ended(self) -> dict:
        """Return the counters of settled spans; call with the lock held."""
        return self.counters(-self.unsettled)

    def take_news(self) -> dict:
        """Return the counters of spans settled since the last call."""
        with self.lock:
            before, self._reported = self._reported, self.ended()
            return _difference(self._reported, before)


def _is_on_disk(item: object) -> bool:
    # Among the items in a queue, only a preparing.Kept has a segment.
    return getattr(item, "segment", None) is not None


def _difference(counters: dict, before: dict) -> dict:
    """Return the counts added since ``before``."""
    dropped = {name: count - before["dropped"].get(name, 0) for name, count in counters["dropped"].items()}
    less = {name: counters[name] - before[name] for name in before if name != "dropped"}
    return {**less, "dropped": {name: count for name, count in dropped.items() if count}}
