"""Outbox: one transaction with its cause, one delivery at a time, order within an episode, dead letters."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from leo_telemetry_pipeline.store import outbox
from leo_telemetry_pipeline.store.outbox import Alert, Claimed
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import execute, new_id, one

pytestmark = pytest.mark.without_days
END = datetime(2026, 3, 2, tzinfo=UTC)


def put(db: Database, *keys: str, **more: Any) -> None:
    fields: list[dict[str, Any]] = [
        {"key": key, "kind": "new", "severity": "warning", "title": key, **more} for key in keys
    ]
    with db.transaction() as cursor:
        outbox.write(cursor, [Alert(**each) for each in fields])


def claimed(db: Database, *channels: str, quiet: bool = False) -> list[Claimed]:
    return outbox.claim(db, channels or ("a",), 50, 60, quiet=quiet)


def keys(db: Database, *channels: str) -> list[str]:
    return [alert.key for alert in claimed(db, *channels)]


def settle(
    db: Database, alert: Claimed, *delivered: str, to: tuple[str, ...] = ("a",), error: str | None = None
) -> None:
    outbox.settle(db, alert.id, delivered, to, error=error, delay_s=0)


def test_an_alert_of_a_transaction_that_is_rolled_back_does_not_exist(db: Database):
    """Lost: people are told of an item that does not exist."""
    with suppress(RuntimeError), db.transaction() as cursor:
        outbox.write(cursor, [Alert(key="k", kind="new", severity="high", title="t")])
        raise RuntimeError
    assert keys(db) == []


def test_the_same_event_makes_one_alert(db: Database):
    """Lost: a re-executed analysis tells everyone everything again."""
    put(db, "k")
    put(db, "k", title="again")
    assert [(one.key, one.title) for one in claimed(db)] == [("k", "k")]


@pytest.mark.transactions_at_once
def test_two_processes_never_claim_the_same_alert(db: Database, other: Database):
    """Lost: every message arrives twice, because the daemon and a session deliver at once."""
    put(db, "k1", "k2")
    with db.transaction() as cursor:
        cursor.execute("SELECT id FROM alert_outbox WHERE key = 'k1' FOR UPDATE")
        assert keys(other) == ["k2"]
    assert keys(other) == ["k1"]
    assert keys(db) == []


def test_the_claim_of_a_dead_process_ends_with_its_lease(db: Database):
    """Lost: an alert that a killed process had claimed is never sent."""
    put(db, "k")
    assert keys(db) == ["k"]
    assert keys(db) == []
    execute(db, "UPDATE alert_outbox SET claimed_until = clock_timestamp() - interval '1 s'")
    [again] = claimed(db)
    assert again.attempts == 0
    settle(db, again, "a")
    assert [row.state for row in outbox.newest(db, 9)] == ["delivered"]


def test_alerts_of_one_episode_reach_each_channel_in_order(db: Database):
    """Lost: "resolved" arrives before anybody knew of the item."""
    item = new_id()
    put(db, "new", item_id=item, episode=1)
    put(db, "resolved", kind="resolved", severity="info", item_id=item, episode=1)
    put(db, "other episode", item_id=item, episode=2)
    both = ("a", "b")
    first, apart = claimed(db, *both)
    assert (first.key, apart.key) == ("new", "other episode")
    settle(db, first, "a", to=both, error="b: away")
    settle(db, apart, *both, to=both)
    # Only a has the first one, so only a may have the second one.
    again, resolved = claimed(db, *both)
    assert [(again.key, list(again.channels)), (resolved.key, list(resolved.channels))] == [
        ("new", ["b"]), ("resolved", ["a"]),
    ]  # fmt: skip
    settle(db, again, "b", to=both)
    settle(db, resolved, "a", to=both)
    [rest] = claimed(db, *both)
    assert (rest.key, list(rest.channels)) == ("resolved", ["b"])
    settle(db, rest, "b", to=both)
    assert outbox.backlog(db).waiting == 0


def test_after_the_last_attempt_an_alert_is_a_dead_letter_until_it_is_retried(db: Database):
    """Lost: a message that no channel takes is tried for ever, or vanishes silently."""
    put(db, "new")
    for _ in range(outbox.MOST_ATTEMPTS):
        [alert] = claimed(db)
        settle(db, alert, error="a: away")
    backlog = outbox.backlog(db)
    assert (backlog.waiting, backlog.dead, backlog.last_error) == (0, 1, "a: away")
    assert keys(db) == []
    assert outbox.retry(db) == 1
    assert keys(db) == ["new"]


def test_a_dead_letter_does_not_silence_the_rest_of_its_episode(db: Database):
    """Lost: an item that becomes critical, since the channel did not exist yet when it opened."""
    item = new_id()
    put(db, "new", item_id=item, episode=1)
    put(db, "worse", kind="worse", item_id=item, episode=1)
    assert keys(db) == ["new"]
    execute(db, "UPDATE alert_outbox SET claimed_until = NULL, failed_at = clock_timestamp() WHERE key = 'new'")
    assert keys(db) == ["worse"]


def test_a_failed_attempt_is_repeated_after_its_delay_only(db: Database):
    """Lost: a channel that is away gets thousands of calls, or none once it is back."""
    put(db, "k")
    [alert] = claimed(db)
    outbox.settle(db, alert.id, [], ["a"], error="a: away", delay_s=3600)
    assert keys(db) == []
    execute(db, "UPDATE alert_outbox SET not_before = clock_timestamp()")
    assert keys(db) == ["k"]


def test_only_critical_alerts_are_sent_in_quiet_hours(db: Database):
    """Lost: someone's sleep, or the one alert that was worth it."""
    put(db, "k1")
    put(db, "k2", severity="critical")
    assert not outbox.is_due(db, [], quiet=False)
    assert [one.key for one in claimed(db, quiet=True)] == ["k2"]
    assert outbox.is_due(db, ["a"], quiet=False)
    assert not outbox.is_due(db, ["a"], quiet=True)


def test_a_channel_that_is_removed_holds_nothing_back(db: Database):
    """Lost: alerts wait for days for a channel that no longer exists."""
    put(db, "k")
    [alert] = claimed(db, "a", "b")
    settle(db, alert, "a", to=("a", "b"), error="b: away")
    outbox.finish(db, ["a"])
    assert outbox.backlog(db).waiting == 0


def test_what_nobody_could_take_for_days_is_given_up_and_old_rows_are_deleted(db: Database):
    """Lost: the first channel that somebody configures gets the messages of a year."""
    put(db, "old", "new", "done")
    execute(db, "UPDATE alert_outbox SET not_before = clock_timestamp() - interval '4 days' WHERE key = 'old'")
    execute(db, "UPDATE alert_outbox SET delivered_at = clock_timestamp() - interval '91 days' WHERE key = 'done'")
    outbox.expire(db)
    assert {row.key: row.state for row in outbox.newest(db, 9)} == {"old": "dead", "new": "waiting"}


def test_caps_count_the_loud_alerts_of_a_day_in_window_time(db: Database):
    """Lost: a replay of many days counts as one, and its findings vanish in a digest."""
    put(db, "k1", "k2", window_end=END)
    put(db, "k3", kind="resolved", window_end=END)
    put(db, "k4", window_end=END.replace(day=1))
    with db.transaction() as cursor:
        assert outbox.written_on(cursor, END.date()) == 2


def test_a_released_claim_costs_no_attempt(db: Database):
    """Lost: an alert is given up although it was never tried."""
    put(db, "k")
    [alert] = claimed(db)
    outbox.release(db, [alert.id])
    assert one(db, "SELECT attempts FROM alert_outbox") == 0
    assert keys(db) == ["k"]
