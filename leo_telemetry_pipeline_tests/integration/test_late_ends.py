"""Days that were counted with open spans are counted again once these end, however the end arrives."""

import copy
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pytest

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.history import blocks, histograms, staleness
from leo_telemetry_pipeline.store.retention import archive
from leo_telemetry_pipeline.store.retention.rules import Part
from leo_telemetry_pipeline.store.server import schema_objects
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import DAY, execute, insert, midnight, one, span
from leo_telemetry_pipeline_tests.integration.between import Between

FIRST, LAST = midnight(8).date(), midnight(0).date()
NOON = midnight(4) + timedelta(hours=12)
TYPES = ["gate", "gate+sd_type", "handoff"]
SEEN = ["gate", "handoff", "wait"]

End = Callable[[Database, Span], object]


def by_update(db: Database, end: Span) -> None:
    """Complete a span with an UPDATE, as the LEO engine does."""
    execute(
        db,
        "UPDATE workflow_trace_log SET end_time_ms = start_time_ms + %s, duration_ms = %s, status = 'OK'"
        " WHERE trace_id = %s AND span_id = %s",
        (end.duration_ms, end.duration_ms, end.trace_id, end.span_id),
    )


def by_our_writers(db: Database, end: Span) -> None:
    assert spans.store(db, [end]).completed == 1


BOTH = pytest.mark.parametrize("end_by", [by_update, by_our_writers])


def begun(end: Span) -> Span:
    start = copy.copy(end)
    start.duration_ms = start.end_time_ms = None
    return start


def stale(db: Database, types: list[str] = TYPES) -> list:
    """Return the stale days, which are the same whether they are marked first or only read."""
    looked = staleness.stale_days(db, FIRST, LAST, types)
    staleness.mark_stale(db)
    assert staleness.stale_days(db, FIRST, LAST, types, marked=True) == looked
    return looked


def count_up(db: Database, types: list[str] = TYPES) -> None:
    histograms.rebuild(db, stale(db, types), types, SEEN)
    blocks.make(db, FIRST, LAST, types)


def counted(db: Database) -> list[tuple]:
    return db.rows(
        "SELECT day, dimension_type, dimension_key, count, sum_ms FROM duration_histograms ORDER BY 1, 2, 3, part"
    )


def agrees_with_only_complete_rows(db: Database, made: list[Span]) -> None:
    """Check history and counts against those of a table that got only complete rows."""
    now = counted(db), db.rows("SELECT * FROM workflow_trace_counts ORDER BY 1, 2, 3, 4")
    execute(db, "TRUNCATE workflow_trace_log, duration_histograms, duration_histogram_days, workflow_trace_counts")
    insert(db, made)
    count_up(db)
    assert (counted(db), db.rows("SELECT * FROM workflow_trace_counts ORDER BY 1, 2, 3, 4")) == now


@BOTH
def test_a_day_is_counted_again_once_a_span_of_it_has_its_end(db: Database, end_by: End):
    """Lost: slowdowns of an engine that stores spans when they begin are never found."""
    made = [span("gate", "A", 100 * n, at=NOON) for n in range(1, 6)]
    insert(db, map(begun, made))
    count_up(db)
    assert counted(db) == []
    for end in made:
        end_by(db, end)
        assert stale(db) == [NOON.date()]
        count_up(db)
        assert stale(db) == []
    agrees_with_only_complete_rows(db, made)


def test_spans_that_never_end_make_no_day_stale(db: Database):
    """Lost: after one crash, every analysis counts that day again."""
    insert(db, [span("gate", "A", None, at=NOON) for _ in range(3)])
    count_up(db)
    insert(db, [span("gate", "A", None, at=NOON + DAY)])
    assert stale(db) == [(NOON + DAY).date()]
    count_up(db)
    assert stale(db) == []


@BOTH
def test_a_wait_that_ends_late_is_subtracted_from_its_parent_of_another_day(db: Database, end_by: End):
    """Lost: time spent waiting for a person counts as work forever."""
    parent = span("gate", "A", 3_600_000 * 20, at=NOON)
    wait = span("wait", "W", 3_600_000, at=NOON + DAY, trace_id=parent.trace_id, parent_span_id=parent.span_id)
    insert(db, [parent, begun(wait), span("wait", "W", None, at=NOON + DAY)])
    count_up(db)
    end_by(db, wait)
    assert stale(db) == [NOON.date(), (NOON + DAY).date()]
    count_up(db)
    assert [row[-1] for row in counted(db) if row[1] == "gate"] == [3_600_000 * 19]


def test_a_handoff_that_ends_gives_its_attributes_to_the_days_of_its_trace(db: Database):
    """Lost: spans count under the wrong type of work, because it was known only at the end."""
    handoff = span("handoff", "H", 90_000, at=NOON, attributes={"sd_type": "feature"})
    gates = [span("gate", "A", 5, at=NOON + n * DAY, trace_id=handoff.trace_id) for n in (-1, 0, 2)]
    start = begun(handoff)
    start.attributes = {}
    insert(db, [*gates, start, span("gate", "A", 7, at=NOON + DAY)])
    count_up(db)
    assert spans.store(db, [handoff]).completed == 1
    # The search goes back one day before the handoff, whose own day is stale in any case.
    assert set(stale(db)) >= {NOON.date(), (NOON + 2 * DAY).date()}
    assert (NOON + DAY).date() not in stale(db)
    count_up(db)
    agrees_with_only_complete_rows(db, [*gates, handoff, span("gate", "A", 7, at=NOON + DAY)])


def test_a_type_that_was_not_counted_with_the_others_is_stale_too(db: Database):
    """Lost: the types of one scope are not counted again, because another scope has counted the day meanwhile."""
    end = span("gate", "A", 100, at=NOON)
    insert(db, [begun(end)])
    count_up(db)
    by_update(db, end)
    histograms.rebuild(db, [NOON.date()], ["handoff"], SEEN)
    assert stale(db, ["handoff"]) == []
    assert stale(db, ["gate"]) == [NOON.date()]


def test_an_end_in_a_sealed_part_is_stored_and_changes_no_history(db: Database):
    """Lost: final history shrinks, or every analysis counts a day again."""
    end = span("gate", "A", 100, at=NOON)
    insert(db, [begun(end), span("gate", "A", 7, at=NOON)])
    count_up(db)
    histograms.seal(db, NOON.date())
    before = counted(db)
    by_our_writers(db, end)
    assert stale(db) == []
    assert counted(db) == before
    late = span("gate", "A", 50, at=NOON)
    insert(db, [begun(late)])
    count_up(db)
    by_our_writers(db, late)
    assert stale(db) == [NOON.date()]
    count_up(db)
    assert sorted(row[3:] for row in counted(db) if row[1] == "gate") == [(1, 7), (1, 50)]


def test_part_of_a_day_is_counted_again_too(db: Database):
    """Lost: the last day of a window is measured without spans that ended since."""
    end = span("gate", "A", 100, at=NOON)
    until = NOON + timedelta(hours=1)
    insert(db, [begun(end)])
    histograms.rebuild(db, [NOON.date()], TYPES, SEEN, part_day=until)
    assert staleness.stale_days(db, NOON.date(), NOON.date(), TYPES, until) == []
    by_update(db, end)
    staleness.mark_stale(db)
    assert staleness.stale_days(db, NOON.date(), NOON.date(), TYPES, until, marked=True) == [NOON.date()]


@pytest.mark.transactions_at_once
@pytest.mark.parametrize(
    "moment",
    [
        "s.duration_ms IS NULL AND s.end_time_ms IS NULL",
        "DELETE FROM workflow_trace_counts",
        "INTO duration_histograms",
        "INTO duration_histogram_days",
    ],
)
def test_a_span_that_gets_its_end_while_its_day_is_counted_is_counted_or_makes_the_day_stale(
    db: Database, target: Target, moment: str
):
    """Lost: an end that arrives at the same moment would silently be missing from history forever."""
    end = span("gate", "A", 100, at=NOON)
    insert(db, [begun(end)])
    count_up(db)
    with closing(Between(target, moment, lambda: by_update(db, end))) as counting:
        histograms.rebuild(counting, [NOON.date()], TYPES, SEEN)
    assert counted(db) or stale(db) == [NOON.date()]
    count_up(db)
    agrees_with_only_complete_rows(db, [end])


def test_blocks_of_days_are_made_again_with_a_late_end(db: Database):
    """Lost: months are read from blocks that lack spans with a late end."""
    end = span("gate", "A", 100, at=NOON)
    insert(db, [begun(end), span("gate", "A", 7, at=NOON)])
    count_up(db)
    assert one(db, "SELECT max(count) FROM duration_histogram_blocks") == 1
    by_update(db, end)
    count_up(db)
    assert one(db, "SELECT max(count) FROM duration_histogram_blocks") == 2


def test_an_archive_completes_a_span_that_came_again_without_its_end(db: Database, tmp_path):
    """Lost: the end that only the archive has; or the span counts twice."""
    pytest.importorskip("pyarrow")
    end = span("gate", "A", 100, at=NOON)
    insert(db, [end])
    count_up(db)
    histograms.seal(db, NOON.date())
    before = db.rows("SELECT * FROM workflow_trace_log")
    [[archive_id, sealed_before]] = db.rows("SELECT archive_id::text, sealed_before FROM telemetry_sealed_days")
    written = archive.write(db, Part(NOON.date(), 1, None, sealed_before, archive_id), tmp_path)
    execute(db, "DELETE FROM workflow_trace_log")
    insert(db, [begun(end)])
    count_up(db)
    assert archive.restore(db, tmp_path / written.file, archive_id) == (1, 1)
    assert db.rows("SELECT * FROM workflow_trace_log") == before
    count_up(db)
    assert [row[3:] for row in counted(db) if row[1] == "gate"] == [(1, 100)]


def test_days_that_an_unreleased_version_counted_regardless_of_open_spans_are_counted_again(db: Database):
    """Lost: after carrying over, late ends of older spans go unnoticed."""
    end = span("gate", "A", 100, at=NOON)
    insert(db, [begun(end), span("gate", "A", 7, at=NOON)])
    count_up(db)
    execute(
        db,
        "ALTER TABLE duration_histogram_days DROP COLUMN open_spans, DROP COLUMN open_nearby, DROP COLUMN looked_at",
    )
    execute(db, schema_objects.text("unreleased"))
    assert NOON.date() in stale(db)
    count_up(db)
    by_update(db, end)
    assert stale(db) == [NOON.date()]
