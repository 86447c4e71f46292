"""Reaping: runs whose worker is lost, and their retries."""

import pytest

from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import back_date, execute, new_id, queued, row, running, statuses, week


def test_a_run_without_a_beat_for_half_a_minute_is_lost_and_tried_once_more(db: Database):
    """Lost: after a crash, the queue would stand still forever."""
    run_id, _ = running(db, triggered_by="SCHEDULED")
    assert runs.reap(db) == 0
    back_date(db, run_id, "heartbeat_at", "29 s")
    assert runs.reap(db) == 0
    back_date(db, run_id, "heartbeat_at", "31 s")
    assert runs.reap(db) == 1
    lost = row(db, run_id)
    assert (lost.status, lost.reason_code) == ("FAILED", "WORKER_LOST")
    assert lost.finished_at is not None
    assert "no heartbeat since" in str(lost.error_detail)
    [retry] = runs.waiting(db)
    assert (retry.status, retry.attempt, retry.retry_of) == ("QUEUED", 2, run_id)
    assert retry.triggered_by == "SCHEDULED"
    assert retry.window_end is None


def test_a_run_past_its_deadline_has_timed_out_though_it_beats(db: Database):
    """Lost: a hanging analysis would block its scope forever."""
    run_id, _ = running(db)
    back_date(db, run_id, "deadline_at", "1 s")
    assert runs.reap(db) == 1
    over = row(db, run_id)
    assert (over.status, over.reason_code) == ("TIMED_OUT", "DEADLINE")
    assert over.duration_ms is not None
    assert [(each.attempt, each.retry_of) for each in runs.waiting(db)] == [(2, run_id)]


def test_a_run_that_was_lost_before_its_deadline_is_called_lost_also_when_found_after_it(db: Database):
    """Lost: people would raise the deadline although the machine crashed."""
    run_id, _ = running(db)
    back_date(db, run_id, "heartbeat_at", "30 min")
    back_date(db, run_id, "deadline_at", "20 min")
    runs.reap(db)
    assert row(db, run_id).reason_code == "WORKER_LOST"


def test_at_most_two_retries_are_made_per_day(db: Database):
    """Lost: an analysis that crashes its machine would be retried again and again."""
    running(db)
    for _ in range(5):
        execute(
            db, "UPDATE telemetry_analysis_runs SET heartbeat_at = now() - interval '1 min' WHERE status = 'RUNNING'"
        )
        runs.reap(db)
        for run in runs.waiting(db):
            runs.claim(db, run.run_id, new_id(), 900)
    assert db.rows("SELECT status, attempt FROM telemetry_analysis_runs ORDER BY attempt") == [
        ("FAILED", 1), ("FAILED", 2), ("FAILED", 3)
    ]  # fmt: skip
    chain = db.rows("SELECT retry_of::text, run_id::text FROM telemetry_analysis_runs ORDER BY attempt")
    assert [chain[1][0], chain[2][0]] == [chain[0][1], chain[1][1]]


def test_retries_of_days_before_do_not_count(db: Database):
    """Lost: after two crashes, however far apart, no analysis would ever be retried again."""
    first, _ = running(db)
    execute(
        db,
        "INSERT INTO telemetry_analysis_runs (status, retry_of, attempt, triggered_at)"
        " SELECT 'FAILED', %s, 2, now() - interval '25 hours' FROM generate_series(1, 5)",
        (first,),
    )
    back_date(db, first, "heartbeat_at", "1 min")
    runs.reap(db)
    assert [run.retry_of for run in runs.waiting(db)] == [first]


def test_a_queued_run_serves_as_the_retry(db: Database):
    """Lost: two analyses would run one after another for nothing, or reaping would fail."""
    run_id, _ = running(db)
    waiting = queued(db)
    back_date(db, run_id, "heartbeat_at", "1 min")
    assert runs.reap(db) == 1
    assert [run.run_id for run in runs.waiting(db)] == [waiting]


def test_a_retry_analyses_the_window_that_was_asked_for(db: Database):
    """Lost: after a crash, `analyze --window-end` would become an analysis of today."""
    end = week().end
    run_id, _ = running(db, window_end=end, window_days=3)
    back_date(db, run_id, "heartbeat_at", "1 min")
    runs.reap(db)
    [retry] = runs.waiting(db)
    assert runs.claim(db, retry.run_id, new_id(), 900)[0] == "CLAIMED"
    assert row(db, retry.run_id).window == row(db, run_id).window
    assert row(db, retry.run_id).window.end == end


def test_lost_runs_are_reaped_before_every_enqueue_claim_and_beginning(db: Database):
    """Lost: without a daemon, nothing would reap runs, and the hook would see a running one forever."""

    def lost() -> str:
        execute(db, "DELETE FROM telemetry_analysis_runs")
        run_id, _ = running(db)
        back_date(db, run_id, "heartbeat_at", "1 min")
        return run_id

    for call in (
        lambda: runs.enqueue(db),
        lambda: runs.enqueue(db, if_stale=True),
        lambda: runs.claim(db, queued(db), new_id(), 900),
        lambda: runs.begin(db, new_id(), 900),
    ):
        run_id = lost()
        call()
        assert row(db, run_id).reason_code == "WORKER_LOST"


def test_a_lost_run_of_another_project_is_reaped_also_by_a_claim_that_must_wait(db: Database):
    """Lost: reaping during a claim would be rolled back because the claim itself has to wait."""
    lost, _ = running(db, project="shop")
    running(db)
    back_date(db, lost, "heartbeat_at", "1 min")
    assert runs.claim(db, queued(db), new_id(), 900)[0] == "WAIT"
    assert row(db, lost).status == "FAILED"


@pytest.mark.transactions_at_once
def test_a_row_that_is_just_being_committed_is_skipped(db: Database, other: Database):
    """Lost: an analysis that ends in its last second would be declared lost, or the sensor would block on it."""
    run_id, mine = running(db)
    back_date(db, run_id, "heartbeat_at", "1 min")
    with db.transaction() as cursor:
        runs.fence(cursor, run_id, mine)
        with other.transaction() as impatient:
            impatient.execute("SET LOCAL lock_timeout = '200ms'")
            impatient.execute("SELECT count(*) FROM reap_telemetry_runs()")
            assert impatient.fetchone() == (0,)
        assert runs.finish(cursor, run_id, mine, "SUCCEEDED", "COMPLETED", output_ref={"bottlenecks": []})
    assert runs.reap(other) == 0
    assert statuses(db) == [("SUCCEEDED", "COMPLETED")]
