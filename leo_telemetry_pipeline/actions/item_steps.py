"""Steps in the lives of a scope's items that follow from an analysis, with their reasons and effects.

Belongs here: reading the days that decide, and wording the reasons.
Does not: the decisions (actions.item_life), new items (actions.items), the transaction (actions.findings).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import cached_property

from leo_telemetry_pipeline.actions import item_life
from leo_telemetry_pipeline.actions.item_life import Level, first_day_since
from leo_telemetry_pipeline.actions.items import milliseconds
from leo_telemetry_pipeline.analysis import compare, effects
from leo_telemetry_pipeline.analysis.compare import Side
from leo_telemetry_pipeline.analysis.effects import Effect
from leo_telemetry_pipeline.dimension import Dimension, DimensionResult
from leo_telemetry_pipeline.store.days import Window, midnight
from leo_telemetry_pipeline.store.history import daily
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.items import SYSTEM, Item, Occurrence, Streak, Transition
from leo_telemetry_pipeline.store.server.database import Database

BEFORE = timedelta(days=28)
WEEK = timedelta(days=7)
# Days before the end of the window that an effect covers at most.
MOST_DAYS = timedelta(days=180)
_ITEMS_AT_ONCE = 50


@dataclass(frozen=True)
class Past:
    """Daily history up to the end of a window, of the dimensions of items; days are ordinals."""

    sides: Mapping[Dimension, Side | None]
    window: Window

    @cached_property
    def end(self) -> int:
        """The day after the last one."""
        return self.window.days[-1].toordinal() + 1

    def since(self, dimension: Dimension, first: int, threshold_ms: float) -> Level | None:
        """Return the level of a dimension since a day, None without spans."""
        part = compare.part(self.sides.get(dimension), first, self.end)
        if part is None:
            return None
        over = compare.count_over(part, threshold_ms, GAMMA)
        return Level(part.count, compare.median(part, GAMMA), over)

    def daily_p50s(self, dimension: Dimension) -> list[float]:
        """Return the P50 of each day, NaN without spans."""
        side = self.sides.get(dimension)
        known = dict(zip(side.days.tolist(), compare.daily_medians(side, GAMMA).tolist(), strict=True)) if side else {}
        return [known.get(day, math.nan) for day in range(self._first, self.end)]

    @property
    def _first(self) -> int:
        return self.window.start.date().toordinal()


def read(database: Database, window: Window, dimensions: Iterable[Dimension], before: timedelta = BEFORE) -> Past:
    """Read the days of some dimensions, from ``before`` the end of a window."""
    wanted = sorted(set(dimensions))
    period = Window(midnight(window.end.date()) - before, window.end, window.project)
    if not wanted:
        return Past({}, period)
    scope = daily.scope(database, period, [of_type for of_type, _ in wanted])
    rows = daily.read(database, period, wanted, scope.seen, scope.uncounted)
    sides = compare.sides(rows, len(wanted), period.start.date().toordinal())
    return Past(dict(zip(wanted, sides, strict=True)), period)


def steps(
    database: Database,
    items: Sequence[Item],
    results: Mapping[Dimension, DimensionResult],
    streaks: Mapping[str, Streak],
    past: Past,
    window: Window,
    run_id: str,
) -> tuple[list[Occurrence], list[Transition]]:
    """Return what the analysis saw of the active items, and the transitions that follow."""
    occurrences, moving = [], []
    for item in items:
        if not item.is_active or item.dimension is None:
            continue
        result, streak = results.get(item.dimension), streaks.get(item.id, Streak())
        verdict = None
        if result and item_life.is_current(item, streak, window.end):
            first = _decisive_day(item, result, past)
            since = past.since(item.dimension, first, _threshold(result))
            verdict = item_life.verdict(item, result, since)
            occurrences.append(_occurrence(item, result, verdict, window, run_id))
        is_silent = past.sides.get(item.dimension) is None
        to_status = item_life.next_status(item, verdict, streak, window.end, is_silent=is_silent)
        if to_status:
            moving.append((item, to_status))
    measured = _effects(database, [item for item, _ in moving], results, streaks, window)
    transitions = [_transition(item, to, measured.get(item.id), window, run_id) for item, to in moving]
    return occurrences, transitions


def _occurrence(item: Item, result: DimensionResult, verdict: str, window: Window, run_id: str) -> Occurrence:
    p50_ms = result.p50_ms if result.observed_p50_ms is None else result.observed_p50_ms
    seen = (window.end, result.ratio, p50_ms, result.baseline_p50_ms, result.sample_count)
    return Occurrence(item.id, run_id, item.episode, *seen, verdict)


def _transition(item: Item, to_status: str, effect: Effect | None, window: Window, run_id: str) -> Transition:
    return Transition(
        item.id,
        item.status,
        to_status,
        item.status_since,
        window.end,
        SYSTEM,
        reason(to_status, effect),
        run_id,
        effect and asdict(effect),
    )


def reason(to_status: str, effect: Effect | None) -> str:
    """Say why an analysis moved an item."""
    if to_status == "STALE":
        return f"No spans for {item_life.STALE_AFTER.days} days"
    because = "Fast again, measured" if to_status == "RESOLVED" else "The fix did not help"
    if effect is None:
        return because
    text = f"{because}: P50 {milliseconds(effect.slow_ms)} before, {milliseconds(effect.after_ms)} since"
    if effect.ratio is not None:
        text += f", {effect.ratio:.2f}x"
    if effect.ratio_low is not None and effect.ratio_high is not None:
        text += f" (95 % interval {effect.ratio_low:.2f}x to {effect.ratio_high:.2f}x)"
    return text


def _threshold(result: DimensionResult) -> float:
    if result.baseline_p50_ms is None or result.multiplier is None:
        return math.inf
    return result.baseline_p50_ms * result.multiplier


def _decisive_day(item: Item, result: DimensionResult, past: Past) -> int:
    """Return the day of the fix of a VERIFYING item, else the one after the last slow day."""
    if item.status == "VERIFYING":
        return first_day_since(item.status_since).toordinal()
    last = _last_slow_day(past.sides.get(item.dimension or ("", "")), _slow_from(item, result), past.end)
    return past.window.start.date().toordinal() if last is None else last + 1


def _slow_from(item: Item, result: DimensionResult) -> float:
    """Return the P50 from which a day is slow: over the threshold, and closer to the item's P50 than to normal."""
    observed, threshold = item.source_detail.get("observed_p50_ms"), _threshold(result)
    if not isinstance(observed, int | float) or not result.baseline_p50_ms:
        return threshold
    return max(threshold, math.sqrt(max(0.0, observed) * result.baseline_p50_ms))


def _last_slow_day(side: Side | None, slow_from_ms: float, end: int) -> int | None:
    if side is None:
        return None
    slow = side.days[(side.days < end) & (compare.daily_medians(side, GAMMA) > slow_from_ms)]
    return int(slow[-1]) if slow.size else None


def _effects(
    database: Database,
    items: Sequence[Item],
    results: Mapping[Dimension, DimensionResult],
    streaks: Mapping[str, Streak],
    window: Window,
) -> dict[str, Effect | None]:
    """Return the effects of episodes by item id."""
    known = sorted((item for item in items if item.dimension in results), key=_onset)
    found = {}
    # Each read takes a while, and the history of all items may not fit into memory.
    for number in range(0, len(known), _ITEMS_AT_ONCE):
        some = known[number : number + _ITEMS_AT_ONCE]
        past = read(database, window, [item.dimension for item in some if item.dimension], _covered(some[0], window))
        for item in some:
            assert item.dimension is not None
            found[item.id] = _effect(item, results[item.dimension], streaks.get(item.id, Streak()), past)
    return found


def _covered(item: Item, window: Window) -> timedelta:
    """Return how far before the end of the window the effect of an item looks."""
    return min(midnight(window.end.date()) - midnight(_onset(item)) + BEFORE, MOST_DAYS)


def _effect(item: Item, result: DimensionResult, streak: Streak, past: Past) -> Effect | None:
    """Return the effect of an episode, None without days on both sides."""
    assert item.dimension is not None
    begin = (midnight(past.window.end.date()) - _covered(item, past.window)).date().toordinal()
    side, first = compare.part(past.sides[item.dimension], begin, past.end), _onset(item).toordinal()
    fixed = first_day_since(item.status_since) if item.status == "VERIFYING" else None
    last = _last_slow_day(side, _slow_from(item, result), fixed.toordinal() if fixed else past.end)
    if last is None:
        return None
    since = fixed.toordinal() if fixed else last + 1
    before, slow = compare.part(side, 0, first), compare.part(side, first, last + 1)
    recovered = compare.part(side, since, past.end)
    if slow is None or recovered is None:
        return None
    return effects.effect(before, slow, recovered, streak.worst_p50_ms, GAMMA)


def _onset(item: Item) -> date:
    """Return the day on which the episode began; without a known onset, a week before the item was opened."""
    try:
        return date.fromisoformat(item.source_detail["onset_day"])
    except (KeyError, TypeError, ValueError):
        return (item.opened_at - WEEK).date()
