"""Counters of a writer.

Belongs here: the counters, and that they add up. Does not: which event counts as what (writer, batches).
"""

import math
from _thread import RLock
from collections import deque
from collections.abc import Mapping, Sequence


class Hand:
    """Spans that left the queue together, and their position: ``first`` spans had left before them."""

    __slots__ = ("count", "first", "is_on_disk")

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.count = count
        self.is_on_disk = False


class Tally:
    """Counts spans that left the queue: first as in hand, then once by their outcome."""

    def __init__(self) -> None:
        self.lock = RLock()  # reentrant, since a signal handler may end a span at any moment
        self.spooled = 0
        self._stored = 0
        self._dropped: dict[str, int] = {}
        self._removed: dict[str, int] = {}
        # Number of spans that ever left the queue; hands not settled yet, by position.
        self._taken = 0
        self._hands: dict[int, Hand] = {}
        self._first_lost = math.inf
        self._reported = self.ended()

    @property
    def in_hand(self) -> int:
        """Number of spans that left the queue and are not settled yet."""
        with self.lock:
            return sum(hand.count for hand in self._hands.values())

    def take(self, count: int) -> Hand:
        """Take spans in hand."""
        with self.lock:
            hand = Hand(self._taken, count)
            self._taken += count
            if count:
                self._hands[hand.first] = hand
            return hand

    def settle(self, hand: Hand, count: int, *, stored: bool) -> None:
        """Count spans as stored in the database, or as left in the spool."""
        with self.lock:
            if self._let_go(hand, count):
                self._stored += count if stored else 0
                self.spooled += 0 if stored else count

    def drop(self, hand: Hand, reason: str, count: int) -> None:
        """Count spans as lost."""
        with self.lock:
            if count and self._let_go(hand, count):
                self._dropped[reason] = self._dropped.get(reason, 0) + count
                self._first_lost = min(self._first_lost, hand.first)

    def disown(self, hand: Hand, count: int) -> None:
        """Release spans that are counted elsewhere."""
        with self.lock:
            self._let_go(hand, count)

    def give_up(self, queue: deque) -> None:
        """Count queued spans and those in hand as lost, unless on disk; ignore later reports on them."""
        with self.lock:
            while queue:
                self.take(1).is_on_disk = _is_on_disk(queue.popleft())
            for hand in list(self._hands.values()):
                if hand.is_on_disk:
                    self.settle(hand, hand.count, stored=False)
                else:
                    self.drop(hand, "out_of_time", hand.count)

    def pass_by(self, dropped: str = "") -> None:
        """Count a span that was never in hand: as dropped for a reason, or else as spooled."""
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
            return self._taken >= position and all(first >= position for first in self._hands)

    def are_kept(self, position: int, waiting: Sequence[object]) -> bool:
        """Return whether all spans before a position are stored or on disk, given the queue; call with lock held."""
        return (
            self._first_lost >= position
            and all(hand.is_on_disk for hand in self._hands.values() if hand.first < position)
            and all(map(_is_on_disk, waiting[: max(0, position - self._taken)]))
        )

    def _let_go(self, hand: Hand, count: int) -> bool:
        if self._hands.get(hand.first) is not hand:
            return False  # given up meanwhile
        hand.count -= count
        if not hand.count:
            del self._hands[hand.first]
        return True

    def counters(self, waiting: int) -> dict:
        """Return all counters, given the number of queued spans; call with the lock held."""
        ended = self._stored + self.spooled + sum(self._dropped.values())
        queued = waiting + self.in_hand
        return {
            "created": queued + ended,
            "stored": self._stored,
            "spooled": self.spooled,
            "dropped": dict(self._dropped),
            "queued": queued,
        }

    def ended(self) -> dict:
        """Return the counters of settled spans; call with the lock held."""
        return self.counters(-self.in_hand)

    def take_news(self) -> dict:
        """Return the counters of spans settled since the last call."""
        with self.lock:
            before, self._reported = self._reported, self.ended()
            return _difference(self._reported, before)


def _is_on_disk(item: object) -> bool:
    # Of the items in a queue, only preparing.Kept has a segment.
    return getattr(item, "segment", None) is not None


def _difference(counters: dict, before: dict) -> dict:
    """Return the counts added since ``before``."""
    dropped = {name: count - before["dropped"].get(name, 0) for name, count in counters["dropped"].items()}
    less = {name: counters[name] - before[name] for name in before if name != "dropped"}
    return {**less, "dropped": {name: count for name, count in dropped.items() if count}}
