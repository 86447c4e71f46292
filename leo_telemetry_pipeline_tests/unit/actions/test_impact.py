"""Figures of what became of items."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.actions.impact import measure
from leo_telemetry_pipeline.store.items import Event, Item

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR_MS = 3_600_000.0


def life(name: str, *steps: tuple[int, str], effect: dict | None = None, **columns: Any) -> tuple[Item, list[Event]]:
    """Return an item that opened on the first of some days and made these steps, with their events."""
    events, status, episode = [], None, 1
    for day, to_status in steps:
        episode += status in ("RESOLVED", "ACCEPTED", "DISMISSED", "STALE")
        at = START + timedelta(days=day)
        known = effect if to_status == "RESOLVED" else None
        events.append(Event(episode, status, to_status, at, "system", "because", None, known, at))
        status = to_status
    assert status
    detail = {"dimension_type": "gate", "dimension_key": name}
    item = Item(name, name, name, "", status, detail, START, START, episode=episode, **columns)
    return item, events


def effect(hours_per_week: float) -> dict[str, float]:
    return {"slow_ms": 3000.0, "after_ms": 1000.0, "given_back_ms_per_week": hours_per_week * HOUR_MS}


def measured(*lives: tuple[Item, Sequence[Event]], since: int | None = None):
    start = None if since is None else START + timedelta(days=since)
    return measure([item for item, _ in lives], {item.id: events for item, events in lives}, start)


def test_each_end_of_an_item_is_counted_once():
    """Lost: nobody could say what became of the items."""
    found = measured(
        life("open", (0, "OPEN")),
        life("resolved", (0, "OPEN"), (3, "IN_PROGRESS"), (4, "VERIFYING"), (9, "RESOLVED"), effect=effect(2)),
        life("useless", (1, "OPEN"), (4, "VERIFYING"), (6, "OPEN")),
        life("noise", (0, "OPEN"), (1, "DISMISSED")),
        life("normal", (0, "OPEN"), (2, "ACCEPTED")),
        life("gone", (0, "OPEN"), (40, "STALE")),
    )
    assert (found.opened, found.resolved, found.reopened, found.fixes_without_effect) == (6, 1, 0, 1)
    assert (found.accepted, found.dismissed, found.stale, found.active_now) == (1, 1, 1, 2)
    assert found.median_time_to_resolve == timedelta(days=9)
    assert found.given_back_ms_per_week == 2 * HOUR_MS


def test_a_stale_item_is_neither_fixed_nor_a_false_alarm():
    """Lost: work that merely stopped would count as a success, or against the detection."""
    alone = measured(life("gone", (0, "OPEN"), (40, "STALE")))
    assert alone.false_alarm_share is None
    found = measured(
        life("gone", (0, "OPEN"), (40, "STALE")),
        life("noise", (0, "OPEN"), (1, "DISMISSED")),
        life("normal", (0, "OPEN"), (2, "ACCEPTED")),
        life("a", (0, "OPEN"), (9, "RESOLVED")),
        life("b", (0, "OPEN"), (9, "RESOLVED")),
    )
    assert found.false_alarm_share == 0.25


def test_not_now_and_a_revised_dismissal_are_not_false_alarms():
    """Lost: putting an item off would make the detection look bad."""
    found = measured(
        life("later", (0, "OPEN"), (1, "DISMISSED"), dismissed_until=START + timedelta(days=60)),
        life("revised", (0, "OPEN"), (1, "DISMISSED"), (5, "OPEN")),
        life("noise", (0, "OPEN"), (1, "DISMISSED")),
    )
    assert (found.dismissed, found.reopened, found.false_alarms) == (3, 1, 1)


def test_an_item_that_came_back_gives_no_time_back():
    """Lost: the report would boast of hours that are lost again."""
    found = measured(
        life("back", (0, "OPEN"), (9, "RESOLVED"), (20, "OPEN"), effect=effect(5)),
        life("twice", (0, "OPEN"), (5, "RESOLVED"), (20, "OPEN"), (23, "RESOLVED"), effect=effect(1)),
        life("of old", (0, "OPEN"), (9, "RESOLVED")),
    )
    assert (found.resolved, found.reopened) == (4, 2)
    assert found.given_back_ms_per_week == HOUR_MS
    assert found.unmeasured == 1
    assert [(one.name, one.took.days) for one in found.resolutions] == [("gate:twice", 3), ("gate:of old", 9)]
    assert found.median_time_to_resolve == timedelta(days=7)


def test_a_period_counts_what_happened_in_it_but_knows_when_its_items_opened():
    """Lost: a fix of this month would seem to have taken no time, because its item is from last month."""
    found = measured(
        life("old", (0, "OPEN"), (30, "RESOLVED"), effect=effect(1)),
        life("older", (0, "OPEN"), (9, "RESOLVED"), effect=effect(7)),
        life("older noise", (0, "OPEN"), (9, "DISMISSED")),
        since=20,
    )
    assert (found.opened, found.resolved, found.dismissed, found.false_alarms) == (0, 1, 0, 0)
    assert found.median_time_to_resolve == timedelta(days=30)
    assert found.given_back_ms_per_week == HOUR_MS


def test_without_items_there_is_nothing_to_divide_by():
    """Lost: the first thing that a newcomer sees of the report is a traceback."""
    found = measured()
    assert (found.median_time_to_resolve, found.false_alarm_share, found.given_back_ms_per_week) == (None, None, 0)
