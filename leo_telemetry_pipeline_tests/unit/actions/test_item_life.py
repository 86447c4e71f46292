"""Which transitions of an item follow from what an analysis measured."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from leo_telemetry_pipeline.actions.item_life import Level, first_day_since, next_status, returns, verdict
from leo_telemetry_pipeline.dimension import Bottleneck, DimensionResult
from leo_telemetry_pipeline.slow_calls import SlowCalls
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.items import Item, Streak

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
RESULT = DimensionResult(
    "gate", "A", 70, 1000.0, 1.0, 1.0, 1.0, 7e4, None, "exact", 1000.0, 1000.0, "learned", 2.0, 10, "ok"
)
FAST, BETWEEN, SLOW = Level(40, 1000.0, 2), Level(40, 1500.0, 15), Level(40, 3000.0, 38)
FOUND = Bottleneck("gate", "A", 3000.0, 1000.0, "learned", 2.0, 70)


def item(status: str = "OPEN", days_ago: float = 10, **more: Any) -> Item:
    """Return an item about gate A that has had its status for some days, and was last seen then."""
    since = NOW - days_ago * DAY
    detail = {
        "dimension_type": "gate", "dimension_key": "A", "observed_p50_ms": 3000.0, "baseline_p50_ms": 1000.0,
        "window": {"end": since.isoformat()},
    }  # fmt: skip
    return Item("i", "f", "t", "d", status, detail, since, since, status_since=since, **more)


@pytest.mark.parametrize(
    ("status", "outcome", "since", "expected"),
    [
        ("OPEN", "bottleneck", FAST, "slow"),
        ("OPEN", "ok", FAST, "fast"),
        ("OPEN", "ok", BETWEEN, "unclear"),
        ("OPEN", "ok", None, "unclear"),
        ("OPEN", "ok", Level(9, 1000.0, 0), "unclear"),
        ("OPEN", "mix", SLOW, "fast"),
        ("OPEN", "like_whole", SLOW, "fast"),
        ("OPEN", "too_few", FAST, "unclear"),
        ("OPEN", "switched_off", FAST, "unclear"),
        # The week of the analysis still has the days before the fix.
        ("VERIFYING", "bottleneck", FAST, "fast"),
        ("VERIFYING", "bottleneck", SLOW, "slow"),
        ("VERIFYING", "ok", SLOW, "slow"),
        ("VERIFYING", "ok", BETWEEN, "unclear"),
        ("VERIFYING", "bottleneck", Level(9, 3000.0, 9), "unclear"),
    ],
)
def test_a_verdict_needs_enough_spans_clearly_on_one_side(
    status: str, outcome: str, since: Level | None, expected: str
):
    """Lost: an item closes by luck, flaps around the threshold, or never closes."""
    assert verdict(item(status), replace(RESULT, outcome=outcome), since) == expected


def test_an_item_about_slow_calls_is_judged_by_its_outcome():
    """Lost: the P50 of all calls closes an item about one call in four."""
    detail = item().source_detail | {"slow_calls": {"share": 0.25}}
    for status, outcome, expected in (
        ("OPEN", "bottleneck", "slow"), ("OPEN", "ok", "fast"), ("VERIFYING", "bottleneck", "unclear"),
    ):  # fmt: skip
        of_slow = replace(item(status), source_detail=detail)
        assert verdict(of_slow, replace(RESULT, outcome=outcome), FAST) == expected


def test_two_fast_analyses_a_day_apart_resolve_an_item():
    """Lost: "fixed" would be what someone says, and not what was measured."""
    for status in ("OPEN", "ACKNOWLEDGED", "IN_PROGRESS", "VERIFYING"):
        for ago, then in ((2 * DAY, "RESOLVED"), (DAY, "RESOLVED"), (DAY / 2, None)):
            streak = Streak(NOW - ago, NOW - ago)
            assert next_status(item(status), "fast", streak, NOW, is_silent=False) == then, (status, ago)
    for streak in (Streak(), Streak(NOW - DAY, None)):
        assert next_status(item(), "fast", streak, NOW, is_silent=False) is None
    assert next_status(item(), "unclear", Streak(NOW - DAY, NOW - 2 * DAY), NOW, is_silent=False) is None


def test_a_fix_without_effect_returns_the_item_to_open_after_a_day():
    """Lost: work that did not help counts as done."""
    assert next_status(item("VERIFYING"), "slow", Streak(), NOW, is_silent=False) == "OPEN"
    assert next_status(item("VERIFYING", 0.5), "slow", Streak(), NOW, is_silent=False) is None
    assert next_status(item("IN_PROGRESS"), "slow", Streak(), NOW, is_silent=False) is None


def test_without_spans_for_four_weeks_an_item_is_stale():
    """Lost: items of steps that no longer exist stay open for good, or count as fixed."""
    assert next_status(item(days_ago=28), None, Streak(), NOW, is_silent=True) == "STALE"
    assert next_status(item(days_ago=27), None, Streak(), NOW, is_silent=True) is None
    assert next_status(item(days_ago=99), None, Streak(), NOW, is_silent=False) is None


def test_an_older_window_changes_nothing_that_a_newer_one_or_a_person_decided():
    """Lost: a replayed analysis overwrites what happened since."""
    fast = Streak(NOW, NOW - 2 * DAY)
    assert next_status(item("VERIFYING", -1), "slow", Streak(), NOW, is_silent=False) is None
    assert next_status(item("OPEN", 0), "fast", fast, NOW, is_silent=False) is None
    assert next_status(item(), "fast", replace(fast, newest=NOW + DAY), NOW, is_silent=False) is None


def back(closed: Item, since: Level | None, found: Bottleneck = FOUND) -> bool:
    """Return whether an item comes back if it is slow in the week before NOW."""
    return returns(closed, found, since, 10, Window(NOW - 7 * DAY, NOW))


def test_only_spans_since_the_resolution_reopen_an_item():
    """Lost: the slow days before a fix reopen what they had opened."""
    for status in ("RESOLVED", "STALE"):
        assert back(item(status, 3), SLOW)
        for since in (None, FAST, Level(9, 3000.0, 9)):
            assert not back(item(status, 3), since), since
        assert not back(item(status, 0.9), SLOW)
        assert not back(item(status, -5), SLOW)


def test_slow_calls_reopen_an_item_if_they_began_after_its_resolution():
    """Lost: a slow minority from before the fix reopens it, or one since then does not."""
    slow = replace(FOUND, slow_calls=SlowCalls(0.25, 3000.0, 2000.0, 4000.0, 1000.0))
    assert back(item("RESOLVED", 7), FAST, slow)
    assert not back(item("RESOLVED", 3), FAST, slow)
    assert back(item("RESOLVED", 3), FAST, replace(slow, onset_day=date(2026, 2, 28)))


def test_decisions_of_people_stay_until_their_date_or_a_moved_baseline():
    """Lost: the system overrules a person."""
    assert not back(item("DISMISSED", 900), SLOW)
    assert not back(item("DISMISSED", dismissed_until=NOW + DAY), SLOW)
    assert back(item("DISMISSED", dismissed_until=NOW), SLOW)
    assert not back(item("ACCEPTED", 900), SLOW)
    assert back(item("ACCEPTED"), SLOW, replace(FOUND, baseline_p50_ms=3000.0, observed_p50_ms=9000.0))
    assert not back(replace(item("ACCEPTED"), source_detail={}), SLOW)


def test_a_day_counts_as_since_a_moment_if_all_of_it_does():
    """Lost: slow spans of the morning count against the fix of the afternoon."""
    assert first_day_since(NOW) == date(2026, 3, 2)
    assert first_day_since(NOW + timedelta(hours=15)) == date(2026, 3, 3)
