"""Daily history of one dimension for its page.

Belongs here: reading closed days, their changes, and the two periods whose distributions the page compares. Does not:
the page (dimension), drawing (daily_chart).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date

import numpy as np

from leo_telemetry_pipeline.analysis import compare, trends
from leo_telemetry_pipeline.analysis.changes import ChangePoint
from leo_telemetry_pipeline.analysis.compare import Side
from leo_telemetry_pipeline.analysis.trends import Daily
from leo_telemetry_pipeline.dimension import Dimension, DimensionResult
from leo_telemetry_pipeline.store.days import DAY, Window, midnight
from leo_telemetry_pipeline.store.history import daily
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.server.database import Database

MOST_DAYS = 90
_FEWEST_DAYS = 14


@dataclass(frozen=True)
class Day:
    """One day of a dimension; times in ms, None without spans."""

    day: date
    spans: int
    p50_ms: float | None
    p90_ms: float | None


@dataclass(frozen=True)
class DaysOfDimension:
    """Closed days of a dimension, oldest first, without those before its first spans; ``side``: their histograms."""

    days: tuple[Day, ...]
    changes: tuple[ChangePoint, ...]
    side: Side | None

    @property
    def first(self) -> date:
        """The first day."""
        return self.days[0].day

    def part(self, first: date, end: date) -> Side | None:
        """Return the days from ``first`` to before ``end``, None without spans."""
        return compare.part(self.side, first.toordinal(), end.toordinal())


def read(database: Database, dimension: Dimension, end: date, project: str | None) -> DaysOfDimension:
    """Read up to 90 days before ``end``, which counted days answer: no span is read."""
    window = Window(midnight(end - MOST_DAYS * DAY), midnight(end), project)
    rows = list(daily.read(database, window, [dimension], []))
    found, first = trends.daily(rows, 1, MOST_DAYS, GAMMA), window.start.date()
    [changes] = trends.p50_changes(found, first, MOST_DAYS)
    there = np.flatnonzero(found.count[0])
    began = min(int(there[0]), MOST_DAYS - _FEWEST_DAYS) if len(there) else MOST_DAYS - _FEWEST_DAYS
    days = tuple(_day(found, place, first + place * DAY) for place in range(began, MOST_DAYS))
    return DaysOfDimension(days, changes, compare.side(rows, 0, first.toordinal()))


def periods(history: DaysOfDimension, result: DimensionResult | None, start: date) -> tuple[date, date]:
    """Return the first day of the baseline and that of the present level, ``start`` at the latest.

    The present level begins with the onset, or with the window that the analysis judged.
    """
    learned = result.learned if result else None
    now = (result and result.onset_day) or (learned and learned.onset_day) or start
    base = learned.baseline if learned else None
    return (base and base.regime_start) or history.first, now


def _day(found: Daily, place: int, day: date) -> Day:
    spans = int(found.count[0, place])
    if not spans:
        return Day(day, 0, None, None)
    return Day(day, spans, float(found.p50_ms[0, place]), float(found.p90_ms[0, place]))


def shifted(days: Sequence[Day], by: int) -> list[Day]:
    """Return days with their dates moved, so that an earlier period lies over a later one."""
    return [Day(day.day + by * DAY, *(getattr(day, field.name) for field in fields(Day)[1:])) for day in days]
