"""Decisions of people on items, collected per dimension."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from leo_telemetry_pipeline.actions.item_resolutions import Account, accepted_on, dimensions_of, ledger
from leo_telemetry_pipeline.store.items import Item

THEN = datetime(2026, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def item(status: str, *names: str, noise: int = 0, closed: datetime = THEN) -> Item:
    """Return an item named after the first gate, with the others as members."""
    first, *members = [{"dimension_type": "gate", "dimension_key": name} for name in names]
    closed_at = closed if status in ("RESOLVED", "ACCEPTED", "DISMISSED", "STALE") else None
    detail = {**first, "members": members}
    return Item("id", "f", "t", "d", status, detail, THEN, THEN, closed_at, status_since=closed, noise_count=noise)


def test_decisions_count_for_the_dimension_of_an_item_and_its_members():
    """Lost: a dimension that was noise as a member of an item keeps alarming."""
    found = ledger(
        [item("DISMISSED", "A", "B", noise=1), item("OPEN", "A", noise=2), item("ACCEPTED", "B"), item("OPEN", "A")]
    )
    assert found == {("gate", "A"): Account(3), ("gate", "B"): Account(1, THEN, THEN.date())}


def test_a_dimension_named_twice_in_an_item_is_counted_once():
    """Lost: one dismissal counts as two."""
    assert ledger([item("DISMISSED", "A", "A", noise=1)]) == {("gate", "A"): Account(noise=1)}
    assert dimensions_of({}) == []


def test_only_the_last_acceptance_lets_a_level_become_normal():
    """Lost: dismissing an alarm, or a fix that did not help, makes the slow level the normal one."""
    first = item("ACCEPTED", "A")
    account = ledger([first, replace(first, closed_at=THEN + DAY)])["gate", "A"]
    assert account.accepted_at == THEN + DAY
    assert ledger([item("DISMISSED", "A", noise=1)])["gate", "A"].accepted_at is None
    assert ledger([item("VERIFYING", "A"), item("RESOLVED", "A"), item("DISMISSED", "A")]) == {}


def test_a_baseline_may_rise_only_if_a_person_accepted_something_since_it_moved():
    """Lost: a regression becomes normal by waiting, or an accepted level alarms forever."""
    account = Account(accepted_at=THEN, accepted_on=THEN.date() - DAY)
    assert accepted_on(account, None, THEN - DAY) == THEN.date() - DAY
    assert accepted_on(account, None, THEN + DAY) is None
    assert accepted_on(account, THEN, THEN - DAY) == THEN.date()
    assert accepted_on(None, THEN, THEN) is None
    assert accepted_on(None, None, THEN) is None
    assert accepted_on(Account(noise=3), None, THEN) is None
