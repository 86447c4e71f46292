"""Resolutions of items, counted per dimension."""

from datetime import UTC, datetime, timedelta

from leo_telemetry_pipeline.actions.item_resolutions import Account, dimensions_of, ledger, may_rise
from leo_telemetry_pipeline.store.items import Item

THEN = datetime(2026, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def item(resolution: str | None, *names: str, closed: datetime = THEN) -> Item:
    """Return an item named after the first gate, with the others as members."""
    first, *members = [{"dimension_type": "gate", "dimension_key": name} for name in names]
    status = {"fixed": "RESOLVED", "noise": "DISMISSED", "expected": "DISMISSED"}.get(resolution or "", "OPEN")
    closed_at = closed if resolution else None
    return Item("id", "f", "t", "d", status, {**first, "members": members}, THEN, THEN, resolution, closed_at)


def test_resolutions_count_for_the_dimension_of_an_item_and_its_members():
    """Lost: a dimension that was noise as a member of an item keeps alarming."""
    found = ledger([item("noise", "A", "B"), item("noise", "A"), item("fixed", "B"), item(None, "A")])
    assert found == {("gate", "A"): Account(noise=2), ("gate", "B"): Account(1, 1, 0, THEN)}


def test_a_dimension_named_twice_in_an_item_is_counted_once():
    """Lost: one dismissal counts as two."""
    assert ledger([item("noise", "A", "A")]) == {("gate", "A"): Account(noise=1)}
    assert dimensions_of({}) == []


def test_the_last_resolution_other_than_noise_settles_a_level():
    """Lost: dismissing an alarm as noise makes the slow level the normal one."""
    closed = [
        item("fixed", "A", closed=THEN),
        item("expected", "A", closed=THEN + DAY),
        item("noise", "A", closed=THEN + 2 * DAY),
    ]
    account = ledger(closed)["gate", "A"]
    assert account.settled_at == THEN + DAY
    assert ledger([item("noise", "A")])["gate", "A"].settled_at is None


def test_a_baseline_may_rise_only_if_a_person_resolved_or_accepted_something_since_it_moved():
    """Lost: a regression becomes normal by waiting, or an accepted level alarms forever."""
    settled = Account(fixed=1, settled_at=THEN)
    assert may_rise(settled, None, THEN - DAY)
    assert not may_rise(settled, None, THEN + DAY)
    assert may_rise(None, THEN, THEN - DAY)
    assert not may_rise(None, THEN, THEN)
    assert not may_rise(None, None, THEN)
    assert not may_rise(Account(noise=3), None, THEN)
