"""What a writer counts.

Belongs here: the counters, and that they add up. Does not: what is counted where (writer, batches).
"""

from _thread import RLock


class Tally:
    """Counts spans that left the queue: in hand first, then once at their end.

    The lock can be taken again by the thread that holds it, since a signal handler may end a span at any moment.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.in_hand = 0
        # Of those that were in hand: what never was says nothing about what came before it.
        self._left_hand = 0
        self._stored = 0
        self.spooled = 0
        self._dropped: dict[str, int] = {}
        self._given_up = False

    def take(self, count: int) -> None:
        """Take spans in hand."""
        with self.lock:
            self.in_hand += count

    def settle(self, count: int, *, stored: bool) -> None:
        """Let go of spans that are in the database, or in the spool and nobody's here any more."""
        with self.lock:
            if self._let_go(count):
                self._stored += count if stored else 0
                self.spooled += 0 if stored else count

    def drop(self, reason: str, count: int) -> None:
        """Let go of spans that are lost."""
        with self.lock:
            if self._let_go(count):
                self._dropped[reason] = self._dropped.get(reason, 0) + count

    def disown(self, count: int) -> None:
        """Let go of spans that another process counts."""
        with self.lock:
            self._let_go(count)

    def give_up(self) -> None:
        """Count as lost what is in hand; whoever had it in hand may say no more about it."""
        with self.lock:
            self._given_up = False
            if self.in_hand:
                self.drop("out_of_time", self.in_hand)
            self._given_up = True

    def pass_by(self, dropped: str = "") -> None:
        """Count a span that never was in hand: it is in the spool, or dropped for a reason."""
        with self.lock:
            if dropped:
                self._dropped[dropped] = self._dropped.get(dropped, 0) + 1
            else:
                self.spooled += 1

    def left_hand(self) -> int:
        """Return how many spans were in hand and are no more."""
        with self.lock:
            return self._left_hand

    def to_come(self, waiting: int) -> int:
        """Return what ``left_hand`` will be when all that waits has left; call with the lock held."""
        return self._left_hand + self.in_hand + waiting

    def _let_go(self, count: int) -> bool:
        if self._given_up:
            return False
        self.in_hand -= count
        self._left_hand += count
        return True

    def counters(self, waiting: int) -> dict:
        """Return all of it, with the spans that wait in the queue; call with the lock held."""
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
        """Return the counters of what has its end; call with the lock held."""
        return self.counters(-self.in_hand)


def difference(counters: dict, before: dict) -> dict:
    """Return what was counted since ``before``."""
    dropped = {name: count - before["dropped"].get(name, 0) for name, count in counters["dropped"].items()}
    less = {name: counters[name] - before[name] for name in before if name != "dropped"}
    return {**less, "dropped": {name: count for name, count in dropped.items() if count}}
