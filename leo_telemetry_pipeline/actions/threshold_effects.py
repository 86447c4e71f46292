"""Effect of a threshold on past days: on which of them the week up to then would have been slow.

Belongs here: reading the weeks of one dimension, and comparing two thresholds on them. Does not: suggesting a threshold
(threshold_tuning), setting it (threshold_decisions).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from leo_telemetry_pipeline.analysis.bottlenecks import is_above
from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store.days import DAY, Window, midnight
from leo_telemetry_pipeline.store.history import daily
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.server.database import Database

DAYS = 180


@dataclass(frozen=True)
class Limit:
    """Threshold of a dimension; without a baseline, it flags nothing."""

    baseline_p50_ms: float | None
    multiplier: float
    min_samples: int

    def flags(self, week: "Week") -> bool:
        """Return whether the P50 of a week is over the threshold."""
        if self.baseline_p50_ms is None or week.p50_ms is None or week.spans < self.min_samples:
            return False
        return is_above(week.p50_ms, self.baseline_p50_ms, self.multiplier)


@dataclass(frozen=True)
class Week:
    """Spans and P50 in ms of the seven days that end with ``last``; None without spans."""

    last: date
    spans: int
    p50_ms: float | None


@dataclass(frozen=True)
class Stretch:
    """Consecutive days on which the week up to then is flagged, both included; ``worst_ms``: its highest P50."""

    first: date
    last: date
    worst_ms: float


def weeks(database: Database, dimension: Dimension, end: datetime) -> list[Week]:
    """Return the weeks that end on each of the last closed days, as far as they are counted."""
    from leo_telemetry_pipeline.analysis import alarm_replay

    closed = midnight(end.date())
    window = Window(closed - timedelta(DAYS + alarm_replay.WEEK - 1), closed)
    portions = daily.read(database, window, [dimension], [dimension[0]])
    counts, p50_ms = alarm_replay.weeks(portions, 1, len(window.days), GAMMA)
    return [
        Week(day, int(spans), float(p50) if spans else None)
        for day, spans, p50 in zip(window.days, counts[0], p50_ms[0], strict=True)
    ][alarm_replay.WEEK - 1 :]


def flagged(found: Sequence[Week], limit: Limit) -> list[Stretch]:
    """Return the stretches of days that a threshold flags, oldest first."""
    stretches: list[Stretch] = []
    for week in found:
        if not limit.flags(week) or week.p50_ms is None:
            continue
        if stretches and stretches[-1].last + DAY == week.last:
            before = stretches[-1]
            stretches[-1] = Stretch(before.first, week.last, max(before.worst_ms, week.p50_ms))
        else:
            stretches.append(Stretch(week.last, week.last, week.p50_ms))
    return stretches
