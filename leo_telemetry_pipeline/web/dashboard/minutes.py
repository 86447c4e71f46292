"""Numbers of spans per minute, kept so that each look counts only the newest minutes.

Belongs here: which minutes are counted again. Does not: the query (store.arrivals).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from leo_telemetry_pipeline.store import arrivals
from leo_telemetry_pipeline.store.days import DAY, midnight, milliseconds
from leo_telemetry_pipeline.store.server.database import Database

_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)
# A span is stored under the time at which its transaction began, and is seen when that ends.
_LATE = timedelta(seconds=15)
_NEVER_MS = 1 << 62


class Minutes:
    """The last hour, minute by minute.

    Spans that began before yesterday, such as imported ones, may lie in hundreds of partitions: these are counted once
    per minute.
    """

    def __init__(self) -> None:
        self.counts: Mapping[datetime, int] = {}
        self._newer, self._older = _Counted(), _Counted()

    def refreshed(self, database: Database, now: datetime) -> tuple[int, ...]:
        """Return the numbers of the last 60 minutes, oldest first."""
        begin = now.replace(second=0, microsecond=0) - _HOUR + _MINUTE
        yesterday_ms = milliseconds(midnight(now.date()) - DAY)
        self._newer.refresh(begin, now, lambda since: arrivals.per_minute(database, since, yesterday_ms, _NEVER_MS))
        if self._older.at is None or now - self._older.at >= _MINUTE:
            self._older.refresh(begin, now, lambda since: arrivals.per_minute(database, since, 0, yesterday_ms))
        self.counts = Counter(self._newer.counts) + Counter(self._older.counts)
        return tuple(self.counts.get(begin + number * _MINUTE, 0) for number in range(60))

    def reach(self, most: int) -> datetime | None:
        """Return a time since which ``most`` spans were stored, or all of the hour; None if it has none."""
        spans, minute = 0, None
        for minute in sorted(self.counts, reverse=True):
            spans += self.counts[minute]
            if spans >= most:
                break
        return minute


class _Counted:
    """Numbers by minute, and when they were counted."""

    def __init__(self) -> None:
        self.counts: dict[datetime, int] = {}
        self.at: datetime | None = None

    def refresh(self, begin: datetime, now: datetime, count: Callable[[datetime], dict[datetime, int]]) -> None:
        since = begin if self.at is None else max(begin, self.at - _LATE)
        since = since.replace(second=0, microsecond=0)
        kept = {minute: spans for minute, spans in self.counts.items() if begin <= minute < since}
        self.counts, self.at = kept | count(since), now
