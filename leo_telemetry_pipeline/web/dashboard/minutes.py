"""Numbers of spans per minute, kept so that each look counts only the newest minutes.

Belongs here: which minutes are counted again. Does not: the query (store.arrivals).
"""

from datetime import datetime, timedelta

from leo_telemetry_pipeline.store import arrivals
from leo_telemetry_pipeline.store.server.database import Database

_HOUR = timedelta(hours=1)


class Minutes:
    """The last hour, minute by minute."""

    def __init__(self) -> None:
        self.counts: dict[datetime, int] = {}
        self._counted_at: datetime | None = None

    def refreshed(self, database: Database, now: datetime) -> tuple[int, ...]:
        """Return the numbers of the last 60 minutes, oldest first; a commit may arrive a minute late."""
        begin = now.replace(second=0, microsecond=0) - _HOUR + timedelta(minutes=1)
        since = begin if self._counted_at is None else max(begin, self._counted_at - timedelta(minutes=2))
        since = since.replace(second=0, microsecond=0)
        fresh = arrivals.per_minute(database, since)
        kept = {minute: count for minute, count in self.counts.items() if begin <= minute < since}
        self.counts, self._counted_at = kept | fresh, now
        return tuple(self.counts.get(begin + timedelta(minutes=number), 0) for number in range(60))
