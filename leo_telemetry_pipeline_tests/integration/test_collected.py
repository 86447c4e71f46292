"""The database side of collecting: each span is stored once, refused spans, open spans, removed attributes, purging."""

import json
import threading
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import psycopg2
import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import collection_stats, open_spans, sink, span_totals, spans
from leo_telemetry_pipeline.store.history import histograms, staleness
from leo_telemetry_pipeline.store.retention import purge
from leo_telemetry_pipeline.store.retention.purge import Selection
from leo_telemetry_pipeline.store.server.database import Database, Target, outside
from leo_telemetry_pipeline_tests.builders import (
    DAY,
    execute,
    insert,
    midnight,
    new_id,
    one,
    partition_of,
    span,
    spans_of,
    week,
)
from leo_telemetry_pipeline_tests.servers import as_role

SPANS = "SELECT count(*) FROM workflow_trace_log"


def poisoned(name: str) -> Span:
    """Build a span that only the database refuses."""
    made = span("gate", name)
    made.duration_ms = -1
    return made


def test_spans_are_stored_once_however_often_they_come(db: Database) -> None:
    """Lost: a retry after a lost answer would count the same work twice."""
    made = spans_of("gate", "A", [1, 2, 3])
    assert spans.store(db, made) == spans.Stored(3, 0)
    assert spans.store(db, [*made, span("gate", "B")]) == spans.Stored(1, 0)
    assert one(db, SPANS) == 4


def test_every_text_is_stored_unchanged(db: Database) -> None:
    """Lost: a name with a tab, a backslash or the word None would change, or break its batch."""
    texts = ["None", "\\N", "a\tb", "a\nb", "a\rb", "\\", "\\.", 'say "x"', "äöü ☃", "None\tNone", "\\None", "x\\"]
    made = [span("gate", text, sd_id=text, status=text, attributes={"a": text, "b": [text]}) for text in texts]
    made.append(span("gate", "without", sd_id=None, project=""))
    assert spans.store(db, made).new == len(made)
    rows = db.rows("SELECT span_name, sd_id, status, attributes, project FROM workflow_trace_log ORDER BY span_name")
    expected = [(each.span_name, each.sd_id, each.status, each.attributes, "") for each in made]
    assert sorted(rows, key=str) == sorted(expected, key=str)


def test_one_poisoned_span_does_not_stop_the_others(db: Database) -> None:
    """Lost: a single bad span would block a batch forever."""
    good = spans_of("gate", "A", range(101))
    batch = [*good[:50], poisoned("first"), *good[50:], poisoned("second")]
    assert spans.store(db, batch, source="spool") == spans.Stored(101, 2)
    aside = db.rows("SELECT source, reason, content FROM telemetry_quarantine ORDER BY content")
    assert {source for source, _, _ in aside} == {"spool"}
    assert all("duration_ms" in reason for _, reason, _ in aside)
    assert {name for _, _, content in aside for name in ("first", "second") if name in content} == {"first", "second"}
    assert one(db, SPANS) == 101
    # Sent again, it is refused again, and nothing is quarantined twice.
    assert spans.store(db, batch, source="spool") == spans.Stored(0, 2)
    assert one(db, "SELECT count(*) FROM telemetry_quarantine") == 2


def test_spans_that_cannot_be_stored_now_are_not_poison(db: Database) -> None:
    """Lost: spans of an outage would be quarantined instead of waiting for its end."""
    execute(db, "ALTER TABLE workflow_trace_log RENAME TO away")
    with pytest.raises(psycopg2.Error):
        spans.store(db, [span()])
    execute(db, "ALTER TABLE away RENAME TO workflow_trace_log")
    assert one(db, "SELECT count(*) FROM telemetry_quarantine") == 0


def test_a_day_that_has_no_partition_gets_one(db: Database) -> None:
    """Lost: every span of a new day would go to the default partition, which no query can prune."""
    stored = span(at=midnight(3))
    spans.store(db, [stored])
    assert partition_of(db, stored.span_id).endswith(f"{midnight(3):%Y%m%d}")


def test_removed_attributes_are_counted_by_name(db: Database) -> None:
    """Lost: nobody would know that an attribute is missing because it is removed."""
    spans.store(db, [span()], {"http.url": 2, "db.statement": 1})
    spans.store(db, [], {"http.url": 3})
    assert collection_stats.removed_keys(db, midnight()) == [("http.url", 5), ("db.statement", 1)]
    assert collection_stats.removed_keys(db, datetime.now(UTC) + DAY) == []


def test_two_receivers_that_count_the_same_names_at_once_never_deadlock(target: Target) -> None:
    """Lost: two receivers would occasionally refuse a batch because of a deadlock."""
    names, errors = [f"key.{number}" for number in range(20)], []

    def count(order: list[str]) -> None:
        try:
            with closing(Database(target)) as own:
                for _ in range(30):
                    spans.store(own, [], dict.fromkeys(order, 1))
        except psycopg2.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=count, args=(order,)) for order in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with closing(Database(target)) as db:
        assert {count for _, count in collection_stats.removed_keys(db, midnight(), 50)} == {60}


def test_a_retry_counts_no_removed_attribute_twice(db: Database) -> None:
    """Lost: the doctor's numbers would grow with every retry of an exporter."""
    made = [span()]
    for _ in range(3):
        spans.store(db, made, {"http.url": 2})
    assert collection_stats.removed_keys(db, midnight()) == [("http.url", 2)]


def test_removed_attributes_of_a_refused_span_are_counted(db: Database) -> None:
    """Lost: attributes removed from a refused span would never be reported."""
    spans.store(db, [poisoned("A")], {"http.url": 2})
    assert collection_stats.removed_keys(db, midnight()) == [("http.url", 2)]


def test_counting_removed_attributes_never_decides_about_spans(db: Database) -> None:
    """Lost: a name that cannot be counted would keep good spans from being stored."""
    assert spans.store(db, [span()], {"": 1}) == spans.Stored(1, 0)
    assert collection_stats.removed_keys(db, midnight()) == [("(empty)", 1)]
    execute(db, "DROP TABLE telemetry_removed_keys")
    assert spans.store(db, [span()], {"x": 1}) == spans.Stored(1, 0)
    assert spans.store(db, [], {"x": 1}) == spans.Stored(0, 0)


def test_a_span_that_a_users_own_trigger_refuses_is_poison(db: Database) -> None:
    """Lost: one row that a site's own rule forbids would block all others forever."""
    with db.transaction() as cursor:
        # A cluster wants to be asked for triggers on distributed tables.
        cursor.execute("SET LOCAL citus.enable_unsafe_triggers = on")
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF NEW.span_name = 'forbidden' THEN RAISE 'forbidden here'; END IF; RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON workflow_trace_log FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    assert spans.store(db, [span("gate", "A"), span("gate", "forbidden"), span("gate", "B")]) == spans.Stored(2, 1)


def test_a_role_that_may_only_insert_can_store(db: Database, database_url: str) -> None:
    """Lost: a measured program would need the right to read everything."""
    execute(db, "CREATE ROLE inserts_only LOGIN PASSWORD 'pw'; GRANT INSERT ON workflow_trace_log TO inserts_only")
    execute(db, "GRANT EXECUTE ON FUNCTION ensure_trace_partitions TO inserts_only")
    try:
        with closing(Database(outside(as_role(database_url, "inserts_only"), "dagster"))) as own:
            assert spans.store(own, [span()], {"x": 1}) == spans.Stored(1, 0)
    finally:
        execute(db, "DROP OWNED BY inserts_only; DROP ROLE inserts_only")


def test_a_missing_table_of_open_operations_does_not_stop_storing(db: Database, settings: Settings) -> None:
    """Lost: a database that lacks only this bookkeeping table would be treated as unavailable."""
    execute(db, "DROP TABLE workflow_open_spans")
    with closing(sink.connect(settings)) as own:
        own.announce([span("gate", "A", None)], [])
        assert own.store([span()], {}) == spans.Stored(1, 0)


def test_a_value_that_json_does_not_have_is_stored_as_text(db: Database) -> None:
    """Lost: one NaN would end the batch, and the connection."""
    assert spans.store(db, [span(attributes={"score": float("nan")}), span()]) == spans.Stored(2, 0)


def test_a_drain_records_what_was_lost(db: Database) -> None:
    """Lost: nobody would notice the spans that a program had to drop."""
    counters = {"created": 10, "stored": 4, "spooled": 3, "queued": 0, "dropped": {"queue_full": 3}}
    collection_stats.note_drain(db, collection_stats.Drain("CLI", 1, 3, 3, 0, 2, counters))
    collection_stats.note_drain(db, collection_stats.Drain("ANALYSIS", 0, 0, 0, 0, 0, {"dropped": {"queue_full": 1}}))
    assert collection_stats.losses(db, midnight()) == {"queue_full": 4, "torn": 2}
    assert collection_stats.losses(db, datetime.now(UTC) + DAY) == {}


# Running operations


def test_an_operation_shows_from_its_announcement_to_its_end(db: Database) -> None:
    """Lost: nobody could see a hanging operation before it ends."""
    begun = span("subagent", "DESIGN", None, at=datetime.now(UTC) - timedelta(seconds=90), sd_id="SD-1")
    open_spans.announce(db, [begun, span("gate", "A", None)], [], host="worker-1", pid=42)
    found = {each.span_name: each for each in open_spans.running(db)}
    assert set(found) == {"DESIGN", "A"}
    assert (found["DESIGN"].host, found["DESIGN"].pid, found["DESIGN"].sd_id) == ("worker-1", 42, "SD-1")
    assert 89 <= found["DESIGN"].open_s < 120
    open_spans.announce(db, [], [(begun.trace_id, begun.span_id)], host="worker-1", pid=42)
    assert [each.span_name for each in open_spans.running(db)] == ["A"]


def test_an_operation_whose_end_is_stored_no_longer_runs(db: Database) -> None:
    """Lost: an operation whose announcement could not be withdrawn would seem to run forever."""
    done = span("gate", "A")
    open_spans.announce(db, [done], [], host="h", pid=1)
    spans.store(db, [done])
    assert open_spans.running(db) == []


def test_operations_of_a_silent_program_are_marked_and_finally_forgotten(db: Database) -> None:
    """Lost: a killed program's operations would stay in the list forever."""
    open_spans.announce(db, [span("gate", "A", None)], [], host="h", pid=1)
    execute(db, "UPDATE workflow_open_spans SET beat_at = beat_at - interval '2 minutes'")
    [found] = open_spans.running(db)
    assert found.silent_s > open_spans.LOST_AFTER_S
    assert open_spans.sweep(db) == 0
    execute(db, "UPDATE workflow_open_spans SET beat_at = beat_at - interval '2 hours'")
    assert open_spans.running(db) == []
    assert open_spans.sweep(db) == 1


# Late waits


def test_a_late_wait_makes_its_parents_day_stale(db: Database) -> None:
    """Lost: an hour of waiting for a person would count as work forever, because it was reported a day later."""
    trace_id, at = new_id(), midnight(3) + timedelta(hours=23)
    tool = span("tool", "Bash", 7_200_000, at=at, trace_id=trace_id)
    insert(db, [tool])
    first, last = midnight(7).date(), midnight().date()

    def stale() -> list[date]:
        return staleness.stale_days(db, first, last, ["tool"])

    histograms.rebuild(db, stale(), ["tool"], ["tool"])
    assert stale() == []
    after_midnight = at + timedelta(hours=1, minutes=10)
    insert(db, [span("wait", "w", 3_600_000, at=after_midnight, trace_id=trace_id, parent_span_id=tool.span_id)])
    assert at.date() in stale()
    histograms.rebuild(db, stale(), ["tool"], ["tool", "wait"])
    assert db.rows("SELECT day, sum_ms FROM duration_histograms") == [(at.date(), 3_600_000)]


def test_a_late_handoff_makes_the_days_of_its_trace_stale(db: Database) -> None:
    """Lost: children would never get the sd_type of their handoff, which is stored last."""
    trace_id, at = new_id(), midnight(4) + timedelta(hours=23)
    insert(db, [span("gate", "A", at=at, trace_id=trace_id)])
    first, last = midnight(7).date(), midnight().date()
    types = ["gate", "gate+sd_type"]
    histograms.rebuild(db, staleness.stale_days(db, first, last, types), types, ["gate"])
    # With a wrong clock, the handoff begins a day later than its child.
    handoff = span("handoff", "H", None, at=at + DAY, trace_id=trace_id, attributes={"sd_type": "feature"})
    insert(db, [handoff])
    assert staleness.stale_days(db, first, last, types) == [at.date(), (at + DAY).date()]


# Purging


def fill(db: Database) -> Span:
    """Store spans of two projects on three days, count them, and return one of them."""
    made = [
        *spans_of("gate", "A", [10, 20], at=midnight(5), project="shop"),
        *spans_of("gate", "A", [30, 40], at=midnight(4), project="shop"),
        *spans_of("gate", "B", [50, 60], at=midnight(3)),
    ]
    insert(db, made)
    histograms.rebuild(db, [midnight(ago).date() for ago in (5, 4, 3)], ["gate"], ["gate"])
    return made[-1]


def history(db: Database) -> list[tuple]:
    return db.rows("SELECT day, project, count FROM duration_histograms ORDER BY day")


def test_a_purge_before_a_day_deletes_spans_and_their_history(db: Database) -> None:
    """Lost: data that was deleted on request would live on in other tables."""
    fill(db)
    spans.quarantine(db, "old.jsonl", [(1, "no JSON", "x")])
    execute(db, "UPDATE telemetry_quarantine SET created_at = created_at - interval '9 days'")
    what = Selection(before=midnight(4).date())
    assert purge.count(db, what) == purge.Purged(2, 1, 3)
    assert purge.purge(db, what) == purge.Purged(2, 1, 3)
    assert purge.count(db, what) == purge.Purged(0, 0)
    assert history(db) == [(midnight(4).date(), "shop", 2), (midnight(3).date(), "", 2)]


def test_a_project_is_deleted_from_every_table(db: Database) -> None:
    """Lost: data of a customer who has left would stay."""
    fill(db)
    open_spans.announce(db, [span("gate", "A", None, project="shop"), span("gate", "B", None)], [], host="h", pid=1)
    others = ['{"project": "other", "attributes": {"service": "shop"}}', '{"span_type": "shop"}', "project shop"]
    its_own = ['{"project": "shop", "span_id": 3}', '{"project":"shop"}']
    spans.quarantine(db, "f", [(number, "bad", text) for number, text in enumerate(others + its_own)])
    assert purge.purge(db, Selection(project="shop")) == purge.Purged(4, 2, 7)
    assert {content for (content,) in db.rows("SELECT content FROM telemetry_quarantine")} == set(others)
    assert history(db) == [(midnight(3).date(), "", 2)]
    assert [each.span_name for each in open_spans.running(db)] == ["B"]
    assert one(db, SPANS) == 2


@pytest.mark.parametrize("name", ["Zürich", 'a"b', "50%", "a.b", "a\\b", ""])
def test_quarantined_lines_are_found_by_their_project_however_it_is_written(db: Database, name: str) -> None:
    """Lost: lines of projects with special characters would stay, and a dot would match other projects."""
    own = [json.dumps({"project": name}), json.dumps({"a": 1, "project": name}, ensure_ascii=False)]
    spans.quarantine(db, "f", [(number, "bad", text) for number, text in enumerate([*own, '{"project": "axb"}'])])
    assert purge.purge(db, Selection(project=name)).quarantined == 2


def test_an_interrupted_purge_continues_where_it_stopped(db: Database) -> None:
    """Lost: a partial deletion would be reported as complete."""
    fill(db)
    open_spans.announce(db, [span("gate", "A", None, project="shop")], [], host="h", pid=1)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge.purge(db, Selection(project="shop"), interrupt)
    execute(db, "DELETE FROM workflow_trace_log WHERE project = 'shop'")
    assert purge.count(db, Selection(project="shop")) == purge.Purged(0, 0, 4)
    assert purge.purge(db, Selection(project="shop")) == purge.Purged(0, 0, 4)
    assert history(db) == [(midnight(3).date(), "", 2)]


def test_an_interrupted_purge_of_a_trace_leaves_its_day_to_be_counted_again(db: Database) -> None:
    """Lost: history would count deleted spans forever."""
    gone = fill(db)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge.purge(db, Selection(trace_id=gone.trace_id), interrupt)
    assert midnight(3).date() in staleness.stale_days(db, midnight(7).date(), midnight().date(), ["gate"])


def test_a_trace_is_deleted_and_the_history_of_its_days_is_counted_again(db: Database) -> None:
    """Lost: history would count a deleted span."""
    gone = fill(db)
    spans.quarantine(db, "f", [(1, "bad", f"trace {gone.trace_id.replace('-', '').upper()}"), (2, "bad", "another")])
    assert purge.purge(db, Selection(trace_id=gone.trace_id)) == purge.Purged(1, 1)
    assert (midnight(3).date(), "", 1) in history(db)
    assert span_totals.count(db, week()) == (5, 5)
