"""Sealing: history of a day is final, its spans may be dropped, and late spans still count once."""

from contextlib import closing
from datetime import timedelta

import psycopg2
import pytest

from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.store.days import Window, milliseconds, whole
from leo_telemetry_pipeline.store.history import blocks, buckets, histograms, span_counts, staleness
from leo_telemetry_pipeline.store.retention.purge import Selection, purge
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import DAY, execute, insert, midnight, new_id, one, span, spans_of

NOON = midnight(60) + timedelta(hours=12)
DAY_OF = NOON.date()
TYPES = ["gate", "gate+sd_type", "handoff", "sd_type"]
WEEK = Window(midnight(63), midnight(56))


def fill(db: Database, count: int = 20) -> None:
    insert(db, spans_of("gate", "A", range(100, 100 + count), at=NOON))
    trace_id = new_id()
    insert(db, [span("handoff", "H", 9000, at=NOON, trace_id=trace_id, attributes={"sd_type": "feature"})])
    insert(db, [span("gate", "B", 50, at=NOON, trace_id=trace_id)])


def history(db: Database, uncounted=()) -> dict[tuple[str, str], tuple]:
    rows = buckets.of_window(db, WEEK, TYPES, ["gate", "handoff"], uncounted)
    return {row[:2]: row[2:7] for row in rows}


def count_up(db: Database) -> list:
    staleness.mark_stale(db)
    stale = staleness.stale_days(db, WEEK.start.date(), WEEK.end.date(), TYPES)
    histograms.rebuild(db, stale, TYPES, ["gate", "handoff"])
    blocks.make(db, WEEK.start.date(), WEEK.end.date(), TYPES)
    return stale


def drop_spans(db: Database) -> None:
    """Drop the spans of a sealed day as retention does."""
    from_ms = milliseconds(whole(DAY_OF).start)
    execute(
        db,
        "DELETE FROM workflow_trace_log WHERE start_time_ms >= %s AND start_time_ms < %s",
        (from_ms, from_ms + 86_400_000),
    )
    execute(db, "UPDATE telemetry_sealed_days SET dropped_at = now()")


def test_neither_sealing_nor_dropping_changes_anything_that_people_see(db: Database):
    """Lost: ninety days of history would change on the day retention first runs."""
    fill(db)
    count_up(db)
    before, scanned = history(db), span_counts.by_type_and_day(db, WEEK, WEEK.closed_days)
    assert histograms.seal(db, DAY_OF) == 1
    assert history(db) == before
    drop_spans(db)
    assert count_up(db) == []
    assert history(db) == history(db, uncounted=[DAY_OF]) == before
    assert span_counts.by_type_and_day(db, WEEK, WEEK.closed_days) == scanned
    assert not staleness.all_stored(db, WEEK.start.date(), WEEK.end.date())
    assert p50.method(1, 500_000, all_stored=False) == "histogram"


def test_an_uncounted_day_is_counted_when_it_is_sealed(db: Database):
    """Lost: imported spans of last year would be dropped without ever being counted."""
    fill(db)
    assert histograms.seal(db, DAY_OF) == 1
    drop_spans(db)
    count_up(db)
    assert {dimension: row[0] for dimension, row in history(db).items()} == {
        ("gate", "A"): 20,
        ("gate", "B"): 1,
        ("gate+sd_type", "B:feature"): 1,
        ("handoff", "H"): 1,
        ("sd_type", "feature"): 1,
    }


@pytest.mark.parametrize("dropped", [False, True])
def test_a_span_after_the_seal_counts_once_in_addition(db: Database, dropped: bool):
    """Lost: a late span would not count, or the whole day would count twice."""
    fill(db)
    count_up(db)
    histograms.seal(db, DAY_OF)
    if dropped:
        drop_spans(db)
    insert(db, spans_of("gate", "A", [7, 70_000], at=NOON))
    assert count_up(db) == [DAY_OF]
    assert count_up(db) == []
    count, days, _, least, most = history(db)["gate", "A"]
    assert (count, days, least, most) == (22, 1, 7, 70_000)
    assert histograms.seal(db, DAY_OF) == 2
    assert histograms.seal(db, DAY_OF) is None
    assert count_up(db) == []
    assert history(db)["gate", "A"][0] == 22
    spans_of_day = "SELECT sum(spans)::bigint FROM workflow_trace_counts WHERE span_type = 'gate' AND day = %s"
    assert one(db, spans_of_day, (DAY_OF,)) == 23


@pytest.mark.transactions_at_once
def test_a_span_in_flight_while_its_day_is_sealed_counts_with_the_next_part(db: Database, target: Target):
    """Lost: a slow writer's spans would be dropped with the day and be missing from history."""
    fill(db)
    with closing(psycopg2.connect(target.dsn)) as writer, writer.cursor() as cursor:
        cursor.execute(
            "INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, duration_ms)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), 'gate', 'A', %s, 1)",
            (milliseconds(NOON),),
        )
        assert histograms.seal(db, DAY_OF) == 1
        newest = "SELECT max(sealed_before) FROM telemetry_sealed_days"
        writer.commit()
    assert one(db, "SELECT max(created_at) FROM workflow_trace_log") >= one(db, newest)
    count_up(db)
    assert history(db)["gate", "A"][0] == 21
    assert histograms.seal(db, DAY_OF) == 2
    drop_spans(db)
    assert history(db)["gate", "A"][0] == 21


def test_sealed_spans_count_also_if_a_late_span_made_their_day_stale(db: Database):
    """Lost: an analysis would not know that a span type exists, and would not judge it."""
    insert(db, spans_of("build", "B", range(10), at=NOON))
    fill(db)
    histograms.seal(db, DAY_OF)
    drop_spans(db)
    insert(db, spans_of("gate", "A", [5], at=NOON))
    stale = staleness.stale_days(db, WEEK.start.date(), WEEK.end.date(), [])
    assert DAY_OF in stale
    found = span_counts.by_type_and_day(db, WEEK, sorted(set(WEEK.closed_days) - set(stale)))
    assert {one.day for one in found} == {DAY_OF}
    assert [(one.span_type, one.spans) for one in found] == [("build", 10), ("gate", 22), ("handoff", 1)]
    assert span_counts.traces(db, WEEK, []) == 32


def test_a_day_without_spans_has_nothing_to_seal(db: Database):
    """Lost: empty days would fill a table for years."""
    assert histograms.seal(db, DAY_OF) is None
    assert db.rows("SELECT FROM telemetry_sealed_days") == []


def test_a_type_that_is_added_later_does_not_make_sealed_days_stale_forever(db: Database):
    """Lost: each analysis would count three months again in vain."""
    fill(db)
    count_up(db)
    histograms.seal(db, DAY_OF)
    drop_spans(db)
    days = WEEK.start.date(), WEEK.end.date()
    stale = staleness.stale_days(db, *days, [*TYPES, "phase+sd_type"])
    assert DAY_OF not in stale
    assert len(stale) == len(WEEK.days) - 1


def test_a_purged_project_is_deleted_from_sealed_history_too(db: Database):
    """Lost: data that was deleted on request would live on in sealed history."""
    insert(db, spans_of("gate", "A", range(10), at=NOON, project="shop"))
    insert(db, spans_of("gate", "A", range(5), at=NOON))
    count_up(db)
    histograms.seal(db, DAY_OF)
    drop_spans(db)
    count_up(db)
    blocks.make(db, WEEK.start.date(), WEEK.end.date(), TYPES)
    purge(db, Selection(project="shop"))
    assert history(db)["gate", "A"][0] == 5
    purge(db, Selection(before=DAY_OF + DAY))
    assert history(db) == {}
