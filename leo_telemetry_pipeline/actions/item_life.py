"""Life of an improvement item: which transitions follow from what an analysis measured.

Belongs here: the decisions. Pure: no database, no clock; all times are window times.
Does not: reading history (actions.item_steps), the transitions that people make (store.items), storing them.
"""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from leo_telemetry_pipeline.dimension import Bottleneck, DimensionResult
from leo_telemetry_pipeline.store.days import Window, after, midnight
from leo_telemetry_pipeline.store.items import Item, Streak

# Between the two analyses that resolve an item, and between two episodes.
APART = timedelta(days=1)
STALE_AFTER = timedelta(days=28)
# Standard errors of a sign test: one-sided 1 % to be fast, 5 % to be slow after a fix.
CLEARLY_UNDER, CLEARLY_OVER = -2.33, 1.64

SLOW, UNCLEAR, FAST = "slow", "unclear", "fast"
_NOT_SLOW = ("ok", "mix", "like_whole")


@dataclass(frozen=True)
class Level:
    """Spans of a dimension on some days: number, P50 in ms, and how many are over the threshold."""

    spans: int
    p50_ms: float
    over: int

    @property
    def score(self) -> float:
        """Standard errors by which the share of spans over the threshold exceeds one half."""
        return (self.over - self.spans / 2) / (math.sqrt(self.spans) / 2)


def first_day_since(moment: datetime) -> date:
    """Return the first whole day since a moment."""
    day = moment.astimezone(UTC).date()
    return day if midnight(day) == moment else after(day).date()


def is_current(item: Item, streak: Streak, window_end: datetime) -> bool:
    """Return whether an analysis may change an item: no newer window or decision did."""
    return item.status_since < window_end and (streak.newest is None or streak.newest <= window_end)


def verdict(item: Item, result: DimensionResult, since: Level | None) -> str:
    """Return whether the dimension of an active item is slow, fast or neither.

    ``since``: its spans since the fix of a VERIFYING item, or else since its last slow day. Between resolving and
    opening lies a gap: fast is a P50 of at most ``fast_limit_ms``.
    """
    baseline, multiplier = result.baseline_p50_ms, result.multiplier
    is_slow = result.outcome == "bottleneck"
    if baseline is None or multiplier is None or not (is_slow or result.outcome in _NOT_SLOW):
        return UNCLEAR
    is_enough = since is not None and since.spans >= (result.min_samples or 1)
    # A changed mix, a slice that is only slow like its name, or a slow minority says nothing about the P50.
    by_outcome = result.outcome in ("mix", "like_whole") or bool(item.source_detail.get("slow_calls"))
    if by_outcome or item.status != "VERIFYING":
        if is_slow:
            return UNCLEAR if item.status == "VERIFYING" else SLOW
        if by_outcome:
            return FAST if is_enough else UNCLEAR
    if since is None or not is_enough:
        return UNCLEAR
    if item.status == "VERIFYING" and since.p50_ms > baseline * multiplier and since.score >= CLEARLY_OVER:
        return SLOW
    is_fast = since.p50_ms <= fast_limit_ms(baseline, multiplier) and since.score <= CLEARLY_UNDER
    return FAST if is_fast else UNCLEAR


def fast_limit_ms(baseline_ms: float, multiplier: float) -> float:
    """Return the P50 from which down a slow dimension is fast again: baseline times the root of the multiplier."""
    return baseline_ms * math.sqrt(multiplier)


def next_status(item: Item, seen: str | None, streak: Streak, window_end: datetime, *, is_silent: bool) -> str | None:
    """Return the status that follows for an active item, None if it stays.

    ``seen`` is the verdict of this analysis, None if it did not measure the dimension. ``is_silent``: the dimension has
    had no spans for 28 days.
    """
    if not is_current(item, streak, window_end):
        return None
    if is_silent and item.last_seen_at + STALE_AFTER <= window_end:
        return "STALE"
    if item.status == "VERIFYING" and seen == SLOW and window_end >= item.status_since + APART:
        return "OPEN"
    is_apart = streak.fast_since is not None and streak.fast_since + APART <= window_end
    return "RESOLVED" if seen == FAST and is_apart else None


def returns(item: Item, found: Bottleneck, since: Level | None, least: int, window: Window) -> bool:
    """Return whether the bottleneck of a closed item opens its next episode.

    ``since``: its spans since the onset, but not from before the item was closed; ``least`` of them are needed.
    Decisions of people stay: an ACCEPTED item returns once its baseline has moved to the accepted level, a DISMISSED
    one on its date.
    """
    if window.end < item.status_since + APART:
        return False
    if item.status == "DISMISSED":
        return item.dismissed_until is not None and item.dismissed_until <= window.end
    if item.status == "ACCEPTED":
        return _has_moved(item, found)
    if since is None or since.spans < least:
        return False
    if found.slow_calls:
        closed = first_day_since(item.status_since)
        return window.start.date() >= closed or (found.onset_day is not None and found.onset_day >= closed)
    return since.score > 0


def _has_moved(item: Item, found: Bottleneck) -> bool:
    """Return whether a baseline is closer to the accepted P50 than to the one that this was slow against."""
    before, accepted = (item.source_detail.get(name) for name in ("baseline_p50_ms", "observed_p50_ms"))
    if not isinstance(before, int | float) or not isinstance(accepted, int | float) or before <= 0 or accepted <= 0:
        return False
    return found.baseline_p50_ms > math.sqrt(before * accepted)
