"""Effect of an episode of slowness: P50s before, while slow and after, and the time given back per week.

Belongs here: the effect as a pure function of daily history. Does not: which days are slow (actions.item_steps).
"""

from dataclasses import dataclass

from leo_telemetry_pipeline.analysis.compare import Side, difference, median

DAYS_PER_WEEK = 7


@dataclass(frozen=True)
class Effect:
    """P50s in ms before, at worst, while slow and after; ``ratio`` is after over slow. None if unknown.

    Intervals (``low``, ``high``) are of 95 %. Time given back: the difference of the P50s times the spans per week.
    """

    before_ms: float | None
    worst_ms: float | None
    slow_ms: float
    after_ms: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    spans_per_week: float
    given_back_ms_per_week: float
    given_back_low: float | None
    given_back_high: float | None
    slow_days: int
    after_days: int


def effect(before: Side | None, slow: Side, after: Side, worst_ms: float | None, gamma: float) -> Effect:
    """Compare the days after an episode with its slow days."""
    p50 = difference(slow, after, 0.5, gamma)
    weekly = after.count / len(after.days) * DAYS_PER_WEEK
    low, high = (None if end is None else -end * weekly for end in (p50.difference_ms.high, p50.difference_ms.low))
    return Effect(
        before_ms=None if before is None else median(before, gamma),
        worst_ms=worst_ms,
        slow_ms=p50.a_ms,
        after_ms=p50.b_ms,
        ratio=p50.ratio.value,
        ratio_low=p50.ratio.low,
        ratio_high=p50.ratio.high,
        spans_per_week=weekly,
        given_back_ms_per_week=(p50.a_ms - p50.b_ms) * weekly,
        given_back_low=low,
        given_back_high=high,
        slow_days=len(slow.days),
        after_days=len(after.days),
    )
