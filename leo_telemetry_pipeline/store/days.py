"""UTC days and the windows made of them.

Belongs here: a window's days, midnights, epoch milliseconds. Does not: any statement.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

DAY = timedelta(days=1)
DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """The time that an analysis, or a part of it, looks at: UTC midnight ``start`` up to, not including, ``end``."""

    start: datetime
    end: datetime
    project: str | None = None

    def parameters(self) -> dict[str, object]:
        """Return the parameters that every query over a window takes; times in UTC epoch ms."""
        return {"from_ms": milliseconds(self.start), "to_ms": milliseconds(self.end), "project": self.project}

    def up_to(self, end: datetime) -> "Window":
        """Return the part of the window before a moment."""
        return replace(self, end=min(self.end, end))

    @property
    def days(self) -> list[date]:
        """The days that the window touches, a part day at its end included."""
        first = self.start.date()
        return [first + n * DAY for n in range(((self.end - midnight(first)) + DAY - timedelta.resolution) // DAY)]

    @property
    def closed_days(self) -> list[date]:
        """The days that the window holds to their end."""
        return [day for day in self.days if after(day) <= self.end]


def milliseconds(moment: datetime) -> int:
    """Return UTC epoch milliseconds, exactly."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def midnight(day: date) -> datetime:
    """Return the moment at which a day begins."""
    return datetime.combine(day, time(), UTC)


def after(day: date) -> datetime:
    """Return the moment at which a day has ended."""
    return midnight(day) + DAY


def whole(day: date) -> Window:
    """Return the window that is one day."""
    return Window(midnight(day), after(day))
