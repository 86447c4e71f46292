"""Daily history of one dimension for its page.

Belongs here: reading closed days, their changes, and the two periods whose distributions the page compares. Does not:
the page (dimension), charts (dimension_charts).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

import numpy as np

from leo_telemetry_pipeline.actions.change_words import change_in_words, size
from leo_telemetry_pipeline.actions.items import milliseconds
from leo_telemetry_pipeline.analysis import compare, distributions, trends
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
class LevelChange:
    """Change of the P50 per day; ``size`` and ``words`` are for people."""

    onset: date
    before_ms: float
    after_ms: float
    size: str
    words: str


@dataclass(frozen=True)
class Bin:
    """Durations from one time to another, with their share of the spans, 0 to 1, before and now."""

    from_ms: float
    to_ms: float
    before: float
    now: float


@dataclass(frozen=True)
class Spread:
    """Distribution of durations since the present level began, beside that of the days of the baseline."""

    before_from: date
    before_to: date
    before_spans: int
    now_from: date
    now_to: date
    now_spans: int
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class History:
    """Closed days of a dimension, oldest first, without those before its first spans.

    ``found``: their series from ``start`` on; ``side``: their histograms, None without spans.
    """

    days: tuple[Day, ...]
    start: date
    found: Daily
    side: Side | None

    def changes(self) -> tuple[LevelChange, ...]:
        """Return the changes of the P50."""
        return _changes(
            self.start, *(of.tobytes() for of in (self.found.p50_ms, self.found.count, self.found.fine_count))
        )

    def part(self, first: date, end: date) -> Side | None:
        """Return the days from ``first`` to before ``end``, None without spans."""
        return compare.part(self.side, first.toordinal(), end.toordinal())

    def moved(self, days: int) -> tuple[Day, ...]:
        """Return the days with their dates moved, so that an earlier period lies over a later one."""
        return tuple(replace(day, day=day.day + days * DAY) for day in self.days)


def read(database: Database, dimension: Dimension, end: date, project: str | None) -> History:
    """Read up to 90 days before ``end`` from what was counted: no span is read."""
    window = Window(midnight(end - MOST_DAYS * DAY), midnight(end), project)
    rows = list(daily.read(database, window, [dimension], []))
    found, first = trends.daily(rows, 1, MOST_DAYS, GAMMA), window.start.date()
    there = np.flatnonzero(found.count[0])
    began = min([*there[:1].tolist(), MOST_DAYS - _FEWEST_DAYS])
    days = tuple(_day(found, place, first + place * DAY) for place in range(began, MOST_DAYS))
    return History(days, first, found, compare.side(rows, 0, first.toordinal()))


def spread(history: History, result: DimensionResult | None, start: date, end: date) -> Spread | None:
    """Return the distribution now beside that of the baseline; None if either has no closed days with spans.

    The present level begins with the onset, or with ``start``, that of the window.
    """
    learned = result.learned if result else None
    now = (result and result.onset_day) or (learned and learned.onset_day) or start
    baseline = learned.baseline if learned else None
    first = history.days[0].day
    base = max(first, (baseline and baseline.regime_start) or first)
    before, since = history.part(base, now), history.part(now, end)
    if before is None or since is None:
        return None
    found = distributions.distributions([before, since], GAMMA)
    bins = map(Bin, found.edges_ms, found.edges_ms[1:], *found.shares)
    return Spread(base, now - DAY, before.count, now, end - DAY, since.count, tuple(bins))


def values(days: Sequence[Day], first: date, count: int) -> list[float | None]:
    """Return the P50s of ``count`` days from ``first``."""
    p50s = {day.day: day.p50_ms for day in days}
    return [p50s.get(first + place * DAY) for place in range(count)]


def _day(found: Daily, place: int, day: date) -> Day:
    spans = int(found.count[0, place])
    if not spans:
        return Day(day, 0, None, None)
    return Day(day, spans, float(found.p50_ms[0, place]), float(found.p90_ms[0, place]))


# Finding changes takes as long as everything else on the page, and open pages ask again whenever anything changes.
@lru_cache(maxsize=1000)
def _changes(start: date, p50_ms: bytes, count: bytes, fine_count: bytes) -> tuple[LevelChange, ...]:
    p50s = np.frombuffer(p50_ms)[None]
    counts, fine = (np.frombuffer(of, np.int64)[None] for of in (count, fine_count))
    of_p50s = Daily(counts, p50s, p50s, p50s, p50s, p50s, fine)
    [changes] = trends.p50_changes(of_p50s, start, counts.shape[1])
    return tuple(map(_change, changes))


def _change(one: ChangePoint) -> LevelChange:
    return LevelChange(one.onset, one.before, one.after, size(one), change_in_words(one, milliseconds))
