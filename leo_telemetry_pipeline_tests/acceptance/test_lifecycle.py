"""The lifecycle of analysis runs with real processes: how runs end when a process is killed, stopped or slow."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from leo_telemetry_pipeline import execution
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import builders, processes
from leo_telemetry_pipeline_tests.analysis_loop import BRAKES, Loop, running, stop_insights
from leo_telemetry_pipeline_tests.builders import execute, one, queued, row
from leo_telemetry_pipeline_tests.processes import copy_home, sees_processes, until

pytestmark = sees_processes


GATES = ("GATE_A", "GATE_B", "GATE_C", "GATE_D")
# The keys of output_ref and of a bottleneck in the seed document.
OUTPUT_REF = {
    "traces_scanned",
    "dimensions_evaluated",
    "bottlenecks",
    "items_created",
    "items_skipped_rate_limit",
    "items_skipped_dedupe",
    "errors",
}
BOTTLENECK = {
    "dimension_type",
    "dimension_key",
    "observed_p50_ms",
    "baseline_p50_ms",
    "baseline_source",
    "multiplier",
    "ratio",
    "sample_count",
    "evidence_trace_ids",
    "improvement_id",
}


@pytest.fixture(scope="module")
def prepared(short_folder: Path) -> Path:
    """Create a home with spans, thresholds, brakes and a stopped server; tests use copies."""
    home = short_folder / "prepared"
    settings = Settings({PREFIX + "HOME": str(home)})
    with patch.dict(os.environ), database.ready(settings) as target:
        with closing(Database(target)) as db:
            execute(db, BRAKES)
            builders.slow(db, *GATES)
            # Fresh, so that the hourly schedule does not start another.
            builders.succeeded(db)
        with execution.instance(target, settings) as instance:
            stop_insights(instance)
    return home


@pytest.fixture(scope="module")
def shared(prepared: Path) -> Iterator[Loop]:
    """One ``leo-telemetry dev`` for all tests that leave it running."""
    with running(copy_home(prepared, prepared.with_name("loop")), "dev") as loop:
        yield loop


@pytest.fixture
def loop(shared: Loop) -> Iterator[Loop]:
    """Delete the runs of other tests from the shared loop: their retries and P50s would count."""
    assert shared.running.process.poll() is None, "the last test of this file ended it, or an earlier one broke it"
    shared.off()
    until(shared.nothing_runs, "the analyses of earlier tests have ended", by=shared.running, every=0.3)
    execute(shared.db, "DELETE FROM telemetry_analysis_runs")
    execute(shared.db, "DELETE FROM continuous_improvements")
    builders.succeeded(shared.db)
    yield shared
    if shared.running.process.poll() is None:
        shared.off()


def test_a_queued_row_ends_succeeded_with_all_its_columns(loop: Loop):
    """Lost: a client that asks for an analysis with one INSERT gets none, or half of it."""
    run_id = queued(loop.db)
    run = loop.ended(run_id)
    assert (run.status, run.reason_code, run.error_detail) == ("SUCCEEDED", "COMPLETED", None), loop.running.tail()
    assert (run.scope_type, run.scope_id, run.triggered_by, run.attempt, run.retry_of) == ("ALL", "", "MANUAL", 1, None)
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.heartbeat_at is not None
    assert run.triggered_at < run.started_at <= run.heartbeat_at <= run.finished_at
    assert run.deadline_at is not None
    assert abs(run.deadline_at - run.started_at - timedelta(seconds=900)) < timedelta(seconds=1)
    assert run.window_end is not None
    assert run.triggered_at < run.window_end <= run.started_at
    midnight = run.window_end.replace(hour=0, minute=0, second=0, microsecond=0)
    assert run.window_start == midnight - timedelta(days=7)
    assert run.duration_ms == pytest.approx((run.finished_at - run.started_at) / timedelta(milliseconds=1), abs=50)
    assert loop.dagster_run_ends(run) == "SUCCESS"
    assert (run.findings_count, run.top_bottleneck_category) == (4, "gate")
    found = run.output_ref
    assert found is not None
    assert found.keys() >= OUTPUT_REF | {"trace_count", "p50_method", "dimensions_not_judged"}
    assert [each["dimension_key"] for each in found["bottlenecks"]] == list(reversed(GATES))
    assert all(each.keys() >= BOTTLENECK for each in found["bottlenecks"])
    assert (found["traces_scanned"], found["items_created"], found["items_skipped_rate_limit"]) == (40, 3, 1)
    assert (found["items_skipped_dedupe"], found["errors"], found["p50_method"]) == (0, [], "exact")
    assert loop.wrote(run)[1] == 3
    assert loop.wrote(run)[0] >= len(GATES)
    # The console shows start and end; the steps between them are in the event log, which the UI reads.
    began, ended = loop.said_of(run, "INFO")
    assert f"Analysis {run_id} began: spans from {run.window_start:%Y-%m-%d %H:%M} to " in began
    assert ended.endswith(f"Analysis {run_id} SUCCEEDED: 4 bottleneck(s), 3 new item(s)")
    assert loop.said_of(run, "DEBUG") == []
    steps = "SELECT count(*) FROM event_logs WHERE run_id = %s AND dagster_event_type = %s"
    for of_type in ("STEP_START", "STEP_SUCCESS"):
        assert processes.dagster_says(loop.home, steps, run.dagster_run_id, of_type)[0][0] > len(OUTPUT_REF), of_type


def test_an_analysis_that_raises_ends_failed_and_says_why(loop: Loop):
    """Lost: an analysis that breaks every week looks like one that found nothing."""
    refuse = """
        CREATE FUNCTION test_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the disk of this test is full'; END $$;
        CREATE TRIGGER test_refuse BEFORE INSERT ON continuous_improvements
            FOR EACH ROW EXECUTE FUNCTION test_refuse();
    """
    execute(loop.db, refuse)
    try:
        run = loop.ended(queued(loop.db))
    finally:
        execute(loop.db, "DROP FUNCTION test_refuse CASCADE")
    assert (run.status, run.reason_code, run.output_ref) == ("FAILED", "ERROR", None)
    assert run.error_detail is not None
    assert "continuous_improvements" in run.error_detail
    assert "the disk of this test is full" in run.error_detail
    assert None not in (run.started_at, run.finished_at, run.duration_ms)
    assert loop.dagster_run_ends(run) == "FAILURE"
    assert loop.wrote(run)[1] == 0
    [said] = [line for line in loop.said_of(run, "ERROR") if f"Analysis {run.run_id} did not succeed (ERROR): " in line]
    assert "the disk of this test is full" in said
    assert loop.said_of(run, "DEBUG") == []
    # Errors are not retried automatically.
    assert not runs.waiting(loop.db)


def test_a_job_that_cannot_start_ends_failed_and_is_tried_again(loop: Loop):
    """Lost: a row stays QUEUED forever and blocks every later one, because no job can start."""
    claim = "claim_telemetry_run(uuid, text, integer)"
    execute(loop.db, f"ALTER FUNCTION {claim} RENAME TO test_claim")
    try:
        run = loop.ended(queued(loop.db))
    finally:
        execute(
            loop.db,
            f"ALTER FUNCTION {claim.replace('claim_telemetry_run', 'test_claim')} RENAME TO claim_telemetry_run",
        )
    assert (run.status, run.reason_code) == ("FAILED", "LAUNCH_FAILED")
    assert (run.started_at, run.dagster_run_id) == (None, None)
    assert run.finished_at is not None
    # The person who reads this message has no other source.
    assert "claim_telemetry_run" in (run.error_detail or "")
    assert "claim_telemetry_run" in loop.running.said()
    assert loop.ended(loop.retry_of(run).run_id).status == "SUCCEEDED"


def test_a_killed_run_ends_failed_and_is_tried_again(loop: Loop):
    """Lost: after the out-of-memory killer ended an analysis, none would ever run again."""
    loop.on("start")
    run = loop.claimed(queued(loop.db))
    loop.braked()
    os.kill(loop.process_of_the_run(), signal.SIGKILL)
    killed = one(loop.db, "SELECT clock_timestamp()")
    run = loop.ended(run.run_id)
    loop.off()
    assert (run.status, run.reason_code) == ("FAILED", "WORKER_LOST"), run
    assert run.finished_at is not None
    assert run.finished_at > killed
    assert loop.wrote(run) == (0, 0)
    assert loop.dagster_run_ends(run) == "FAILURE"
    retry = loop.ended(loop.retry_of(run).run_id)
    assert retry.status == "SUCCEEDED"
    assert loop.wrote(retry)[1] == 3


def test_a_run_that_was_stopped_and_woken_writes_nothing(loop: Loop):
    """Lost: a laptop that slept through its analysis would wake up and file the items of the retry once more."""
    loop.on("p50")
    run = loop.claimed(queued(loop.db))
    loop.braked()
    stopped = loop.process_of_the_run()
    os.kill(stopped, signal.SIGSTOP)
    try:
        loop.off()  # its statement has run, but is never committed
        run = loop.ended(run.run_id)
        assert (run.status, run.reason_code) == ("FAILED", "WORKER_LOST"), run
        assert loop.wrote(run) == (0, 0)
    finally:
        os.kill(stopped, signal.SIGCONT)
    until(lambda: stopped not in processes.processes_of(loop.home), "it ends once woken", by=loop.running, every=0.3)
    retry = loop.ended(loop.retry_of(run).run_id)
    assert row(loop.db, run.run_id) == run
    assert loop.wrote(run) == (0, 0)
    assert retry.status == "SUCCEEDED"
    assert loop.wrote(retry)[1] == 3
    assert loop.dagster_run_ends(run) in ("FAILURE", "CANCELED")


def test_a_cancelled_run_ends_at_once_and_writes_nothing(loop: Loop):
    """Lost: to cancel an analysis that overloads the database, a person would have to find and kill its process."""
    loop.on("start")
    run = loop.claimed(queued(loop.db))
    loop.braked()
    done = processes.run(loop.home, "runs", "cancel", run.run_id)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"Cancelled analysis {run.run_id}, which was RUNNING.\n"
    run = row(loop.db, run.run_id)
    assert (run.status, run.reason_code) == ("CANCELLED", "CANCELLED_BY_USER")
    assert run.finished_at is not None
    # The run's statement is still executed in the database.
    assert loop.dagster_run_ends(run) in ("FAILURE", "CANCELED")
    until(loop.nothing_runs, "its process ends", by=loop.running, every=0.3)
    loop.off()
    assert row(loop.db, run.run_id) == run
    assert loop.wrote(run) == (0, 0)
    assert not runs.waiting(loop.db), "a cancelled run is not tried again"


def test_a_killed_database_is_back_and_what_was_queued_or_running_is_analysed(loop: Loop):
    """Lost: after the out-of-memory killer ended PostgreSQL, nothing is analysed until a person runs a command."""
    loop.on("start")
    run = loop.claimed(queued(loop.db))
    loop.braked()
    loop.kill_server()
    following = queued(loop.db)
    loop.off()
    run = loop.ended(run.run_id)
    assert (run.status, run.reason_code) == ("FAILED", "WORKER_LOST"), run
    assert loop.wrote(run) == (0, 0)
    # If another run is queued already, a lost run needs no retry.
    assert loop.ended(following).status == "SUCCEEDED"


def test_a_killed_code_server_is_back_and_what_it_executed_is_tried_again(loop: Loop):
    """Lost: all of `dev`, or every later analysis, after the out-of-memory killer ended that process."""
    loop.on("start")
    run = loop.claimed(queued(loop.db))
    loop.braked()
    every = processes.processes_of(loop.home)
    [server] = [pid for pid, line in every.items() if " dagster api grpc " in line and "lifeline" not in line]
    os.kill(server, signal.SIGKILL)
    said = "Dagster's code server ended with status -9: restarting it"
    until(lambda: said in loop.running.said(), "the death of the code server is noticed", by=loop.running)
    loop.off()
    run = loop.ended(run.run_id)
    assert (run.status, run.reason_code) == ("FAILED", "WORKER_LOST"), run
    assert loop.wrote(run) == (0, 0)
    assert loop.ended(loop.retry_of(run).run_id).status == "SUCCEEDED"


def test_an_overdue_run_ends_timed_out_with_its_process_and_an_impatient_person_ends_all_while_its_retry_hangs(
    prepared: Path,
):
    """Lost: one query that never ends silently stops all later analyses.

    Or a second worker cannot start because invisible processes of the first are left.
    """
    home = copy_home(prepared, prepared.with_name("late"))
    with running(home, "worker", LEO_TELEMETRY_DEADLINE="8s") as loop:
        loop.on("start")
        run = loop.ended(queued(loop.db))
        assert (run.status, run.reason_code) == ("TIMED_OUT", "DEADLINE"), run
        assert run.started_at is not None
        assert run.finished_at is not None
        assert run.finished_at - run.started_at > timedelta(seconds=8)
        assert "deadline" in (run.error_detail or "")
        retry = loop.claimed(loop.retry_of(run).run_id)
        # On a slow machine, this run needs its whole time to reach the brake, so give its retry more.
        later = "UPDATE telemetry_analysis_runs SET deadline_at = deadline_at + interval '1 h' WHERE run_id = %s::uuid"
        execute(loop.db, later, (retry.run_id,))
        assert loop.dagster_run_ends(run) in ("FAILURE", "CANCELED")
        assert loop.wrote(run) == (0, 0)
        loop.braked()
        ends_all_of_it(loop, signal.SIGINT, again=signal.SIGINT)


def test_after_everything_was_killed_a_new_start_catches_up_and_sigterm_ends_it_while_an_analysis_hangs(loop: Loop):
    """Lost: after a power cut, the system says RUNNING forever and never analyses again.

    Or a second `leo-telemetry dev` cannot start because invisible processes of the first are left.
    """
    # Must be the last test: it ends the shared loop.
    hangs(loop)
    [run] = [run for run in runs.waiting(loop.db) if run.status == "RUNNING"]
    loop.db.close()
    processes.kill_all_of(loop.home)
    again = datetime.now(UTC)
    with running(loop.home, "dev") as loop:
        loop.off()
        run = loop.ended(run.run_id)
        assert (run.status, run.reason_code) == ("FAILED", "WORKER_LOST"), run
        assert run.finished_at is not None
        assert run.finished_at > again
        following = loop.ended(loop.retry_of(run).run_id)
        assert following.status == "SUCCEEDED"
        assert following.finished_at is not None
        assert following.finished_at > following.triggered_at
        assert loop.dagster_run_ends(run) == "FAILURE"
        assert loop.wrote(run) == (0, 0)
        hangs(loop)
        ends_all_of_it(loop, signal.SIGTERM)


def hangs(loop: Loop) -> None:
    """Start an analysis that hangs in a statement."""
    loop.on("start")
    loop.claimed(queued(loop.db))
    loop.braked()


def ends_all_of_it(loop: Loop, number: signal.Signals, again: signal.Signals | None = None) -> None:
    """Send the command a signal; assert that it succeeds and that every process ends with it."""
    loop.db.close()
    loop.running.interrupt(number)
    if again is not None:
        time.sleep(1)
        loop.running.interrupt(again)
    assert loop.running.ended() == 0, loop.running.tail()
    processes.all_ended(loop.home)
