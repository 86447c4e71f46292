"""Fencing: only the run that holds its row writes, beats and ends it."""

from functools import partial

import pytest

from leo_telemetry_pipeline.actions import findings
from leo_telemetry_pipeline.analysis.bottlenecks import count_outcomes
from leo_telemetry_pipeline.dimension import Baseline, Bottleneck, DimensionResult, Judgement
from leo_telemetry_pipeline.store import baselines, dimension_results, runs
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import (
    back_date,
    execute,
    midnight,
    new_id,
    one,
    queued,
    row,
    running,
    statuses,
    succeeded,
    week,
)


def tables(db: Database) -> dict[str, list[tuple]]:
    """Return everything an analysis may write."""
    names = ("telemetry_analysis_runs", "dimension_p50", "telemetry_baselines", "continuous_improvements")
    return {name: db.rows(f"SELECT * FROM {name} AS t ORDER BY t::text") for name in names}


P50_ROW = ("gate", "A", 10, 5.0, 5.0, 5.0, 5.0, 50.0, None, "exact")
SUMMARY = findings.Summary(
    bottlenecks=(Bottleneck("gate", "A", 5.0, 1.0, "configured", 2.0, 10),),
    outcomes=count_outcomes([]) | {"bottleneck": 1},
    largest_sample=10, needed_sample=10, p50_method="exact", pooled={},
)  # fmt: skip

LEARNED = Baseline("gate", "A", 5.0, 1.2, None, 14, {"moved": "learned"})
JUDGED = DimensionResult(*P50_ROW, 5.0, 1.0, "configured", 2.0, 10, "bottleneck", None, None, [])

WRITES = {
    "annotations": lambda db, run_id, mine: runs.annotate(db, run_id, mine, {"a": 1}),
    "P50s": lambda db, run_id, mine: dimension_results.replace_p50(db, run_id, mine, ["gate"], [P50_ROW]),
    "judgements": lambda db, run_id, mine: dimension_results.put_judged(db, run_id, mine, [JUDGED]),
    "what days say": lambda db, run_id, mine: dimension_results.put_learned(
        db, run_id, mine, [Judgement("gate", "A", (), True)]
    ),
    "baselines": lambda db, run_id, mine: baselines.put(
        db, None, midnight(), [LEARNED], partial(runs.fence, run_id=run_id, dagster_run_id=mine)
    ),
    "items": lambda db, run_id, mine: findings.conclude(
        db, SUMMARY, week(), run_id=run_id, dagster_run_id=mine, errors=[]
    ),
}


def reaped(db: Database, run_id: str) -> None:
    back_date(db, run_id, "heartbeat_at", "1 min")
    runs.reap(db)


def stolen(db: Database, run_id: str) -> None:
    execute(db, "UPDATE telemetry_analysis_runs SET dagster_run_id = 'another' WHERE run_id = %s", (run_id,))


LOSSES = {
    "reaped": reaped,
    "cancelled": runs.cancel,
    "held by another": stolen,
    "deleted": lambda db, run_id: execute(db, "DELETE FROM telemetry_analysis_runs"),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_run_that_lost_its_row_writes_nothing(db: Database, what: str):
    """Lost: a worker that slept past its deadline would wake and overwrite its successor's findings."""
    for name, lose in LOSSES.items():
        run_id, mine = running(db)
        dimension_results.replace_p50(db, run_id, mine, ["gate"], [P50_ROW])
        lose(db, run_id)
        before = tables(db)
        with pytest.raises(runs.LostRun):
            WRITES[what](db, run_id, mine)
        assert tables(db) == before, name
        execute(db, "DELETE FROM telemetry_analysis_runs")


def test_a_run_that_holds_its_row_writes_all_of_it(db: Database):
    """Lost: the test above would pass because nothing can be written at all."""
    run_id, mine = running(db)
    for what in ("annotations", "P50s", "judgements", "what days say", "baselines", "items"):
        before = tables(db)
        WRITES[what](db, run_id, mine)
        assert tables(db) != before, what
    assert statuses(db) == [("SUCCEEDED", "COMPLETED")]
    assert one(db, "SELECT outcome FROM dimension_p50") == "bottleneck"
    assert one(db, "SELECT source_detail->>'run_id' FROM continuous_improvements") == run_id


def test_a_beat_that_had_to_wait_does_not_end_its_own_run(db: Database):
    """Lost: behind a pooler with few connections, every long statement would end its analysis as lost."""
    run_id, mine = running(db)
    back_date(db, run_id, "heartbeat_at", "31 s")
    assert runs.beat(db, run_id, mine) == "RUNNING"
    assert runs.reap(db) == 0


def test_a_lost_run_neither_beats_nor_ends_its_row(db: Database):
    """Lost: a worker that did not notice the end of its run would overwrite it."""
    run_id, mine = running(db)
    reaped(db, run_id)
    before = row(db, run_id)
    assert runs.beat(db, run_id, mine) == "FAILED"
    assert runs.fail(db, run_id, mine, "ERROR", "late") is False
    with db.transaction() as cursor:
        assert runs.finish(cursor, run_id, mine, "SUCCEEDED", "COMPLETED") is False
    assert row(db, run_id) == before


def test_a_heartbeat_of_another_run_does_not_keep_a_row_alive(db: Database):
    """Lost: a second worker would keep the row of a dead one alive."""
    run_id, mine = running(db)
    back_date(db, run_id, "heartbeat_at", "20 s")
    before = row(db, run_id).heartbeat_at
    runs.beat(db, run_id, new_id())
    assert row(db, run_id).heartbeat_at == before
    assert runs.beat(db, run_id, mine) == "RUNNING"
    assert row(db, run_id).heartbeat_at != before


def test_cancelling_ends_what_waits_or_runs_and_leaves_what_ended(db: Database):
    """Lost: people could not stop an analysis, or would rewrite one that ended."""
    run_id, _ = running(db)
    assert runs.cancel(db, run_id) == "RUNNING"
    assert statuses(db) == [("CANCELLED", "CANCELLED_BY_USER")]
    done = succeeded(db)
    assert runs.cancel(db, done) == "SUCCEEDED"
    assert row(db, done).status == "SUCCEEDED"
    assert runs.cancel(db, new_id()) is None


def test_a_run_that_could_not_be_launched_fails_and_is_tried_once_more(db: Database):
    """Lost: a broken code location would leave rows queued forever."""
    run_id = queued(db)
    assert runs.fail_unlaunched(db, run_id, "no code") is True
    assert (row(db, run_id).reason_code, row(db, run_id).error_detail) == ("LAUNCH_FAILED", "no code")
    [retry] = runs.waiting(db)
    assert (retry.retry_of, retry.attempt) == (run_id, 2)
    assert runs.fail_unlaunched(db, run_id, "again") is False
    taken, _ = running(db)
    assert runs.fail_unlaunched(db, taken, "late") is False
    assert row(db, taken).status == "RUNNING"
