"""Which changes of items make alerts, which become a digest, and what we say about ourselves."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.actions.alerts import (
    Health,
    Policy,
    Slow,
    Transition,
    decide,
    digest,
    digest_is_due,
    health,
    is_quiet,
)
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.outbox import LOUD

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Policy()


def transition(**more: Any) -> Transition:
    facts = {
        "item_id": "a", "name": "gate:A", "episode": 1, "from_status": None, "to_status": "OPEN",
        "window_end": NOW, "opened_at": NOW, "ratio": 2.0, "run_id": "r",
    }  # fmt: skip
    return Transition(**facts | more)


@pytest.mark.parametrize(
    ("change", "kind", "severity", "title"),
    [
        ({}, "new", "warning", "Slow: gate:A is 2x its baseline"),
        ({"ratio": 3.0}, "new", "high", "Slow: gate:A is 3x its baseline"),
        ({"ratio": 5.0}, "new", "critical", "Slow: gate:A is 5x its baseline"),
        (
            {"from_status": "OPEN", "ratio_before": 2.9, "ratio": 3.1},
            "worse", "high", "Worse: gate:A is now 3.1x its baseline, was 2.9x",
        ),
        ({"from_status": "RESOLVED", "episode": 2}, "back", "warning", "Back: gate:A is slow again, 2x its baseline"),
        ({"from_status": "VERIFYING"}, "back", "warning", "Not fixed: gate:A is still 2x its baseline"),
        (
            {"from_status": "OPEN", "to_status": "RESOLVED", "opened_at": NOW - 12 * DAY},
            "resolved", "info", "Resolved: gate:A is fast again after 12 days",
        ),
    ],
)  # fmt: skip
def test_a_change_is_told_once_with_its_severity(change: dict[str, Any], kind: str, severity: str, title: str):
    """Lost: someone who should know learns it late, or with the wrong urgency."""
    [alert] = decide([transition(**change)], POLICY, 0)
    assert (alert.kind, alert.severity, alert.title) == (kind, severity, title)
    assert decide([transition(**change)], POLICY, 0)[0].key == alert.key


@pytest.mark.parametrize(
    "change",
    [
        {"from_status": "OPEN", "ratio_before": 3.0, "ratio": 4.9},
        {"from_status": "OPEN", "ratio_before": 5.0, "ratio": 2.0},
        {"from_status": "OPEN", "to_status": "ACKNOWLEDGED", "actor": "ann"},
        {"from_status": "ACCEPTED", "actor": "ann"},
        {"from_status": "OPEN", "to_status": "STALE"},
    ],
)
def test_no_alert_repeats_what_people_know_or_did_themselves(change: dict[str, Any]):
    """Lost: attention, and after a while every alert is ignored."""
    assert decide([transition(**change)], POLICY, 0) == []


def test_each_failed_fix_of_an_episode_is_an_alert_of_its_own():
    """Lost: the second fix that did not help is taken for the first one."""
    first, second = (transition(from_status="VERIFYING", window_end=NOW + number * DAY) for number in range(2))
    assert len({alert.key for alert in decide([first, second], POLICY, 0)}) == 2


def test_500_findings_at_once_are_as_many_alerts_as_the_cap_and_one_digest():
    """Lost: a channel that 500 messages make useless."""
    many = [transition(item_id=str(number), name=f"gate:{number}", ratio=2 + number / 100) for number in range(500)]
    alerts = decide(many, POLICY, 0)
    assert [alert.kind for alert in alerts] == ["new"] * 10 + ["digest"]
    assert [alert.body["name"] for alert in alerts[:2]] == ["gate:499", "gate:498"]
    assert (alerts[-1].title, alerts[-1].body["more"]) == ("490 more need attention", 470)
    assert decide(many[:11], POLICY, 0)[-1].title == "1 more needs attention"
    assert [alert.kind for alert in decide(many, POLICY, 28)] == ["new"] * 2 + ["digest"]
    assert [alert.kind for alert in decide(many, POLICY, 99)] == ["digest"]


def test_a_resolution_is_its_own_message_whatever_the_caps():
    """Lost: nobody learns that their fix worked, because others broke something that day."""
    done = [transition(item_id=str(n), from_status="OPEN", to_status="RESOLVED") for n in range(20)]
    assert [alert.kind for alert in decide(done, POLICY, 99)] == ["resolved"] * 20


@given(st.lists(st.floats(1.1, 20), max_size=40), st.integers(0, 40))
def test_caps_hold_for_any_findings_and_none_is_lost(ratios: list[float], written: int):
    """Lost: a finding that is neither an alert nor in the digest."""
    alerts = decide([transition(item_id=str(n), ratio=ratio) for n, ratio in enumerate(ratios)], POLICY, written)
    loud = [alert for alert in alerts if alert.kind in LOUD]
    rest = sum(len(one.body["items"]) + one.body["more"] for one in alerts if one.kind == "digest")
    assert len(loud) <= min(POLICY.per_run, max(0, POLICY.per_day - written))
    assert len(loud) + rest == len(ratios)


def test_reminders_are_off_unless_wanted_and_then_come_once_per_interval():
    """Lost: a daily nuisance, or an item that everyone forgot."""
    still = [transition(from_status="OPEN", opened_at=NOW - days * DAY) for days in (1, 7, 8, 14)]
    assert decide(still, POLICY, 0) == []
    keys = [alert.key for alert in decide(still, replace(POLICY, remind_after=7 * DAY), 0)]
    assert sorted(keys) == ["a:1:reminder:1", "a:1:reminder:1", "a:1:reminder:2"]


def test_the_daily_digest_lists_what_is_still_slow_worst_first():
    """Lost: the digest repeats what is over, or hides the worst."""
    slow = [
        Slow(item_id=name, name=name, status="OPEN", ratio=ratio, since="2026-02-23")
        for name, ratio in (("a", 2.0), ("b", 6.0), ("c", None))
    ]
    made = digest(slow, NOW, "2026-03-02", POLICY)
    assert made is not None
    assert [one["name"] for one in made.body["items"]] == ["b", "a", "c"]
    assert (made.severity, made.title) == ("critical", "3 items are still slow")
    assert made.body["items"][0]["since"] == "2026-02-23"
    assert digest([], NOW, "2026-03-02", POLICY) is None


def test_a_digest_is_due_once_a_day_and_only_after_a_new_analysis():
    """Lost: the same list every morning of a week with one analysis."""
    at = time(8, tzinfo=UTC)
    assert digest_is_due(NOW, at, None, NOW - DAY)
    assert not digest_is_due(NOW, at, None, None)
    assert not digest_is_due(NOW, None, None, NOW - DAY)
    assert not digest_is_due(NOW.replace(hour=7), at, None, NOW - DAY)
    assert not digest_is_due(NOW, at, NOW - timedelta(minutes=30), NOW - timedelta(minutes=1))
    assert digest_is_due(NOW, at, NOW - DAY, NOW - timedelta(hours=2))
    assert not digest_is_due(NOW, at, NOW - DAY, NOW - 2 * DAY)


def test_troubles_of_our_own_are_told_once_per_streak():
    """Lost: a system that stopped weeks ago, and nobody noticed; or an alert every half minute."""
    fine = Health(now=NOW, stale_after=7 * DAY, newest_span=NOW, succeeded_id="r", succeeded_at=NOW - DAY)
    assert health(fine) == []
    [failing] = health(replace(fine, failed_reason="ERROR: no room"))
    assert (failing.title, failing.key) == ("Analyses fail", "health:failing:r")
    [stale] = health(replace(fine, succeeded_at=NOW - 9 * DAY))
    assert stale.title == "No analysis runs any more"
    [silent] = health(replace(fine, newest_span=NOW - 4 * DAY))
    assert silent.title == "No spans arrive any more"
    assert health(replace(fine, newest_span=None, succeeded_id=None, succeeded_at=None)) == []


@pytest.mark.parametrize(
    ("hour", "begin", "end", "zone", "quiet"),
    [
        (21, 22, 7, "UTC", False), (22, 22, 7, "UTC", True), (6, 22, 7, "UTC", True), (7, 22, 7, "UTC", False),
        (12, 12, 13, "UTC", True), (13, 12, 13, "UTC", False), (21, 22, 7, "Europe/Berlin", True),
    ],
)  # fmt: skip
def test_quiet_hours_may_span_midnight_and_have_a_zone(hour: int, begin: int, end: int, zone: str, quiet: bool):
    """Lost: someone's sleep."""
    at = NOW.replace(hour=hour)
    assert is_quiet(at, (time(begin, tzinfo=ZoneInfo(zone)), time(end, tzinfo=ZoneInfo(zone)))) is quiet
    assert not is_quiet(at, None)


def test_quiet_hours_without_a_length_are_refused():
    """Lost: quiet all day, as someone meant it, is never quiet."""
    with pytest.raises(UserError, match="two different times"):
        Settings({PREFIX + "ALERT_QUIET": "22:00-22:00"})
