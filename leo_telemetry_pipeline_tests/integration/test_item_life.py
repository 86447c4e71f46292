"""Life of items on a real database: legal steps, their events, what an upgrade keeps, and no item twice."""

import random
from contextlib import closing
from datetime import timedelta

import psycopg2
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits

from leo_telemetry_pipeline.store import items
from leo_telemetry_pipeline.store.items import ACTIVE, SYSTEM, Item, Transition
from leo_telemetry_pipeline.store.server import migrations
from leo_telemetry_pipeline.store.server.database import Database, Target, outside
from leo_telemetry_pipeline_tests import item_trials, schema_dump
from leo_telemetry_pipeline_tests.builders import execute, midnight, one
from leo_telemetry_pipeline_tests.item_trials import CLOSED, STATUSES, STEPS, Flood, Step
from leo_telemetry_pipeline_tests.servers import EMBEDDED

NEW = "INSERT INTO continuous_improvements (fingerprint, title, description) VALUES ('f', 't', 'd')"


def moved(db: Database, item: Item, status: str, actor: str) -> bool:
    """Return whether the database lets an actor make a step."""
    step = Transition(item.id, item.status, status, item.status_since, midnight(), actor, "because")
    try:
        with db.transaction() as cursor:
            return items.move(cursor, step)
    except psycopg2.errors.CheckViolation:
        return False


def item_in(db: Database, status: str) -> Item:
    """Return a new item that was brought into a status."""
    execute(db, "DELETE FROM continuous_improvements")
    execute(db, NEW)
    [item] = items.all_items(db)
    if status != "OPEN":
        assert moved(db, item, status, SYSTEM)
    return items.all_items(db)[0]


@pytest.mark.parametrize("status", STATUSES)
def test_the_database_allows_only_the_steps_of_a_life(db: Database, status: str):
    """Lost: a program or a person with SQL could resolve an item without a measurement, or lose its history."""
    for actor in (SYSTEM, "ada"):
        for to in STATUSES:
            if to == status:
                continue
            legal = (status in ACTIVE) == (to != "OPEN") and (actor == SYSTEM or to not in ("RESOLVED", "STALE"))
            legal = legal or (status, to, actor) == ("VERIFYING", "OPEN", SYSTEM)
            assert moved(db, item_in(db, status), to, actor) is legal, (status, to, actor)


def test_a_fingerprint_has_one_row_and_begins_open(db: Database):
    """Lost: the same bottleneck would be filed twice by a race, or with a history that nobody recorded."""
    with pytest.raises(psycopg2.errors.CheckViolation, match="a new improvement item is OPEN, not RESOLVED"):
        execute(db, f"{NEW[:-1]}, 'RESOLVED')".replace("description)", "description, status)"))
    item_in(db, "DISMISSED")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        execute(db, NEW)


def test_a_step_by_plain_sql_is_recorded_with_the_database_user(db: Database):
    """Lost: nobody could tell who closed an item in a database console."""
    item = item_in(db, "OPEN")
    execute(db, "UPDATE continuous_improvements SET status = 'DISMISSED', title = 'mine'")
    execute(db, "UPDATE continuous_improvements SET status = 'OPEN', episode = 9")
    execute(db, "UPDATE continuous_improvements SET title = 'yours', status_since = '2020-01-01', closed_at = now()")
    user = one(db, "SELECT session_user::text")
    events = items.events(db, item.id)
    assert [(event.to_status, event.episode, event.actor, event.reason) for event in events] == [
        ("OPEN", 1, user, "changed by SQL"),
        ("DISMISSED", 1, user, "changed by SQL"),
        ("OPEN", 2, user, "changed by SQL"),
    ]
    [row] = items.all_items(db)
    assert (row.episode, row.closed_at, row.noise_count) == (2, None, 1)
    assert row.status_since == events[-1].window_end


def test_an_item_that_changed_since_it_was_read_is_not_moved(db: Database):
    """Lost: two people, or a person and an analysis, overwrite each other."""
    item = item_in(db, "OPEN")
    assert moved(db, item, "IN_PROGRESS", "ada")
    assert not moved(db, item, "DISMISSED", "bob")
    assert [event.to_status for event in items.events(db, item.id)] == ["OPEN", "IN_PROGRESS"]


OLD_ROWS = """
INSERT INTO continuous_improvements (fingerprint, title, description, status, resolution, created_at, closed_at) VALUES
    ('a', 'first', '', 'RESOLVED', 'fixed', '2026-01-01Z', '2026-01-03Z'),
    ('a', 'second', '', 'DISMISSED', 'noise', '2026-01-05Z', '2026-01-06Z'),
    ('a', 'third', '', 'IN_PROGRESS', NULL, '2026-01-08Z', NULL),
    ('b', 'b', '', 'DISMISSED', 'expected', '2026-01-01Z', '2026-01-02Z'),
    ('c', 'c', '', 'OPEN', NULL, '2026-01-01Z', NULL),
    ('d', 'd1', '', 'DISMISSED', 'noise', '2026-01-01Z', '2026-01-02Z'),
    ('d', 'd2', '', 'DISMISSED', NULL, '2026-01-03Z', '2026-01-04Z')
"""


@pytest.mark.only_on(EMBEDDED, reason="the statements are the same on every server")
def test_an_upgrade_makes_one_row_of_the_rows_of_a_fingerprint(empty_database_url: str):
    """Lost: what became of the items of today."""
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(schema_dump.earlier("0002_microseconds") + OLD_ROWS)
    target = outside(empty_database_url, "dagster")
    migrations.migrate(target)
    with closing(Database(target)) as db:
        known = {item.fingerprint: item for item in items.all_items(db)}
        assert {mark: (item.title, item.status, item.episode, item.noise_count) for mark, item in known.items()} == {
            "a": ("third", "IN_PROGRESS", 3, 1),
            "b": ("b", "ACCEPTED", 1, 0),
            "c": ("c", "OPEN", 1, 0),
            "d": ("d2", "DISMISSED", 2, 2),
        }
        lives = {mark: items.events(db, item.id) for mark, item in known.items()}
        assert [(event.episode, event.from_status, event.to_status) for event in lives["a"]] == [
            (1, None, "OPEN"), (1, "OPEN", "RESOLVED"), (2, "RESOLVED", "OPEN"), (2, "OPEN", "DISMISSED"),
            (3, "DISMISSED", "OPEN"), (3, "OPEN", "IN_PROGRESS"),
        ]  # fmt: skip
        assert [event.window_end.day for event in lives["a"]] == [1, 3, 5, 6, 8, 8]
        assert [event.to_status for event in lives["d"]] == ["OPEN", "DISMISSED", "OPEN", "DISMISSED"]
        assert moved(db, known["b"], "OPEN", "ada")


@pytest.mark.only_on(EMBEDDED, reason="hundreds of analyses; the server makes no difference")
def test_no_order_of_events_makes_two_items_an_illegal_step_or_overrules_a_person(db: Database):
    """Lost: trust in the word RESOLVED, and every decision that a later analysis undoes."""
    item_trials.insert_history(db)

    @limits(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
    @given(STEPS)
    def life(steps: list[Step]) -> None:
        item_trials.live(db, steps)

    life()


@pytest.mark.only_on(EMBEDDED, reason="a pooler lets one analysis in at a time")
def test_twenty_analyses_at_once_open_one_item(db: Database, target: Target):
    """Lost: the same bottleneck would be filed twenty times."""
    for _ in range(2):
        assert item_trials.at_once(db, target, 20) == 1


@pytest.mark.counted_days
@pytest.mark.only_on(EMBEDDED, reason="hundreds of items; the server makes no difference")
def test_500_findings_at_once_are_three_items_per_type_and_ten_alerts_the_rest_is_one_digest(db: Database):
    """Lost: a bad day buries people in items and messages."""
    assert item_trials.findings_at_once(db, 500) == Flood(items=300, limited=200, alerts=10, digests=1, in_digests=290)


@pytest.mark.with_days
@pytest.mark.usefixtures("settings")
@pytest.mark.only_on(EMBEDDED, reason="a month of analyses; the server makes no difference")
def test_a_level_that_swings_around_the_threshold_is_one_item_that_does_not_flap(db: Database):
    """Lost: people who are told twice a day that the same step is slow, and fast again, stop reading."""
    ends = item_trials.wave_ends(timedelta(hours=54))
    events = item_trials.square_wave(db, random.Random(3), ends)
    assert 1 <= len(events) <= 2
    item_trials.check(events)
    assert all(event.to_status not in CLOSED for event in events[:1])
