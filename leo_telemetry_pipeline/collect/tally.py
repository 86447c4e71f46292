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
        self._in_hand = 0
        self._stored = 0
        self._let_go = 0
        self.spooled = 0
        self._dropped: dict[str, int] = {}

    def take(self, count: int) -> None:
        """Take spans in hand."""
        with self.lock:
            self._in_hand += count

    def settle(self, count: int, *, stored: bool) -> None:
        """Let go of spans that are in the database, or in the spool and nobody's here any more."""
        with self.lock:
            self._in_hand -= count
            if stored:
                self._stored += count
            else:
                self.spooled += count

    def drop(self, reason: str, count: int) -> None:
        """Let go of spans that are lost."""
        with self.lock:
            self._in_hand -= count
            self._dropped[reason] = self._dropped.get(reason, 0) + count

    def let_go(self, count: int) -> None:
        """Let go of spans that another process counts."""
        with self.lock:
            self._in_hand -= count
            self._let_go += count

    def left_hand(self) -> int:
        """Return how many spans are in hand no more."""
        with self.lock:
            return self._let_go + self._settled()

    def to_come(self, waiting: int) -> int:
        """Return what ``left_hand`` will be when all that waits has left; call with the lock held."""
        return self.left_hand() + self._in_hand + waiting

    def _settled(self) -> int:
        return self._stored + self.spooled + sum(self._dropped.values())

    def counters(self, waiting: int) -> dict:
        """Return all of it, with the spans that wait in the queue; call with the lock held."""
        queued = waiting + self._in_hand
        return {
            "created": queued + self._settled(),
            "stored": self._stored,
            "spooled": self.spooled,
            "dropped": dict(self._dropped),
            "queued": queued,
        }


def difference(counters: dict, before: dict) -> dict:
    """Return what was counted since ``before``."""
    dropped = {name: count - before["dropped"].get(name, 0) for name, count in counters["dropped"].items()}
    less = {name: counters[name] - before[name] for name in before if name != "dropped"}
    return {**less, "dropped": {name: count for name, count in dropped.items() if count}}
