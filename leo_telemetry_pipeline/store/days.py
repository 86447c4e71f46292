"""UTC days and windows.

Belongs here: a window's days, midnights, epoch milliseconds, the condition for the spans of days. Does not: queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby

DAY = timedelta(days=1)
DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """Time range of an analysis or part of it: from UTC midnight ``start`` up to ``end``, which is excluded."""

    start: datetime
    end: datetime
    project: str | None = None

    def parameters(self) -> dict[str, object]:
        """Return the query parameters of a window; times in UTC epoch ms."""
        return {"from_ms": milliseconds(self.start), "to_ms": milliseconds(self.end), "project": self.project}

    def up_to(self, end: datetime) -> "Window":
        """Return the part of the window before a moment."""
        return replace(self, end=min(self.end, end))

    @property
    def days(self) -> list[date]:
        """All days in the window, including a partial one at its end."""
        first = self.start.date()
        return [first + n * DAY for n in range(((self.end - midnight(first)) + DAY - timedelta.resolution) // DAY)]

    @property
    def closed_days(self) -> list[date]:
        """Days that end within the window."""
        return [day for day in self.days if after(day) <= self.end]


def milliseconds(moment: datetime) -> int:
    """Return UTC epoch milliseconds, exactly."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def midnight(day: date) -> datetime:
    """Return the start of a day."""
    return datetime.combine(day, time(), UTC)


def after(day: date) -> datetime:
    """Return the end of a day."""
    return midnight(day) + DAY


def whole(day: date) -> Window:
    """Return the window of one day."""
    return Window(midnight(day), after(day))


def started_on(days: Sequence[date]) -> str:
    """Return the SQL condition for spans ``s`` that started on some days, which prunes partitions."""
    runs = groupby(enumerate(sorted(days)), key=lambda item: item[1].toordinal() - item[0])
    bounds = [[day for _, day in run] for _, run in runs]
    return " OR ".join(
        f"s.start_time_ms >= {milliseconds(midnight(run[0]))} AND s.start_time_ms < {milliseconds(after(run[-1]))}"
        for run in bounds
    )
