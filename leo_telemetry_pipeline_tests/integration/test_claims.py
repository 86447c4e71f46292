"""Claims: one Dagster run gets a queued row, and one analysis per scope runs at a time."""

import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial

from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import execute, new_id, queued, row, running, statuses, week


def test_a_claim_freezes_the_window_and_starts_the_clock(db: Database):
    """Lost: an analysis would have a moving window, or no deadline."""
    run_id = queued(db)
    mine = new_id()
    assert runs.claim(db, run_id, mine, 60) == ("CLAIMED", None)
    run = row(db, run_id)
    assert (run.status, run.dagster_run_id) == ("RUNNING", mine)
    assert run.started_at is not None
    assert run.deadline_at is not None
    assert run.heartbeat_at is not None
    assert 59 < (run.deadline_at - run.started_at).total_seconds() < 61
    assert abs((run.window.end - run.started_at).total_seconds()) < 5
    assert run.window.start == week(run.window.end).start.replace(hour=0, minute=0, second=0, microsecond=0)
    assert runs.claim(db, run_id, mine, 60) == ("CLAIMED", None)


def at_once(target: Target, *calls: Callable[[Database], tuple]) -> list[tuple]:
    """Make concurrent calls, each from its own thread and connection."""
    barrier, answers = threading.Barrier(len(calls)), [()] * len(calls)

    def run(index: int) -> None:
        with closing(Database(target)) as own:
            own.rows("SELECT 1")
            barrier.wait()
            answers[index] = calls[index](own)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def claim(own: Database, run_id: str, mine: str) -> tuple:
    return runs.claim(own, run_id, mine, 900)


def test_one_of_several_concurrent_claims_gets_the_row(db: Database, target: Target):
    """Lost: two daemons would analyse the same row and both write."""
    for _ in range(5):
        run_id = queued(db)
        got = at_once(target, *[partial(claim, run_id=run_id, mine=new_id()) for _ in range(4)])
        assert sorted(outcome for outcome, _ in got) == ["CLAIMED", "GONE", "GONE", "GONE"]
        assert all(detail for outcome, detail in got if outcome == "GONE")
        runs.cancel(db, run_id)


def test_a_claim_waits_while_another_analysis_of_the_scope_runs_and_then_gets_it(db: Database):
    """Lost: two analyses of the same spans would open items at the same time."""
    first, second = new_id(), new_id()
    run_id = queued(db)
    runs.claim(db, run_id, first, 900)
    waiting = queued(db)
    assert runs.claim(db, waiting, second, 900)[0] == "WAIT"
    assert runs.begin(db, new_id(), 900)[0] == "WAIT"
    assert row(db, waiting).status == "QUEUED"
    runs.fail(db, run_id, first, "ERROR", "x")
    assert runs.claim(db, waiting, second, 900)[0] == "CLAIMED"


def test_one_of_several_concurrent_starts_gets_the_scope(db: Database, target: Target):
    """Lost: two people who click at the same time would start two analyses."""
    got = at_once(target, *[lambda own: runs.begin(own, new_id(), 900) for _ in range(4)])
    assert sorted(outcome for outcome, _ in got) == ["CLAIMED", "WAIT", "WAIT", "WAIT"]
    assert statuses(db) == [("RUNNING", None)]


def test_projects_do_not_wait_for_each_other(db: Database):
    """Lost: an analysis of one project would hold up all others."""
    for project in (None, "shop", "till"):
        assert runs.begin(db, new_id(), 900, project=project)[0] == "CLAIMED"


def test_a_claim_of_an_ended_or_unknown_run_is_gone_and_gives_the_reason(db: Database):
    """Lost: a cancelled analysis would run anyway."""
    run_id = queued(db)
    assert runs.cancel(db, run_id) == "QUEUED"
    outcome, detail = runs.claim(db, run_id, new_id(), 900)
    assert outcome == "GONE"
    assert "CANCELLED" in str(detail)
    assert runs.claim(db, new_id(), new_id(), 900)[0] == "GONE"


def test_a_dagster_run_that_held_a_row_gets_no_second_one(db: Database):
    """Lost: one execution would hold two rows, or wait a quarter of an hour for itself."""
    run_id, mine = running(db)
    runs.fail(db, run_id, mine, "ERROR", "x")
    assert runs.claim(db, queued(db), mine, 900)[0] == "GONE"
    execute(db, "DELETE FROM telemetry_analysis_runs WHERE status = 'QUEUED'")
    assert runs.begin(db, mine, 900)[0] != "WAIT"
