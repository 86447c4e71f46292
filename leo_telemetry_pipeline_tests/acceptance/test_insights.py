"""Insights after an analysis, started by real processes: by the daemon's sensor, or by the worker that executed it."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import builders, processes
from leo_telemetry_pipeline_tests.builders import execute, midnight, one, queued, row, span
from leo_telemetry_pipeline_tests.processes import Running, sees_processes, until

pytestmark = sees_processes

FOLLOWED = """
SELECT r.status FROM runs AS r JOIN run_tags AS t USING (run_id)
WHERE r.pipeline_name = 'leo_telemetry_insights_job' AND t.key = 'leo_telemetry/follows' AND t.value = %s
"""
LOOKS = "SELECT count(*) FROM job_ticks WHERE tick_body LIKE %s AND status = 'SKIPPED'"
BREAK = """
CREATE FUNCTION test_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the disk of this test is full'; END $$;
CREATE TRIGGER test_refuse BEFORE INSERT ON telemetry_backtests FOR EACH ROW EXECUTE FUNCTION test_refuse();
"""
MEND = "DROP FUNCTION IF EXISTS test_refuse CASCADE"


@pytest.fixture(scope="module")
def stored(make_home: Callable[[Path], Path], short_folder: Path) -> Path:
    """Create a home with some weeks of spans and a stopped server."""
    home = make_home(short_folder / "insights")
    with database.ready(Settings({PREFIX + "HOME": str(home)})) as target, closing(Database(target)) as db:
        times = [midnight(day) + timedelta(hours=hour) for day in range(1, 30) for hour in range(6, 18)]
        builders.insert(db, [span("gate", "GATE_A", 1000 + 7 * at.hour, at=at) for at in times])
        # Fresh, so that the hourly schedule does not start another.
        builders.succeeded(db)
    return home


def followed(home: Path, run_id: str) -> list[str]:
    """Return the status of each insights run after an analysis run."""
    return [status for (status,) in processes.dagster_says(home, FOLLOWED, run_id)]


def ended(db: Database, run_id: str, by: Running | None = None) -> runs.Run:
    """Wait until a run has succeeded, and return it."""
    until(lambda: row(db, run_id).status in runs.FINAL, f"run {run_id} ends", by=by)
    assert row(db, run_id).status == "SUCCEEDED"
    return row(db, run_id)


@pytest.fixture
def daemon(stored: Path) -> Iterator[tuple[Running, Database]]:
    """Run ``leo-telemetry worker`` in that home."""
    with processes.started(stored, "worker") as process:
        until(lambda: processes.answers(stored), "the database is up", by=process)
        with closing(processes.inside(stored)) as db:
            yield process, db


def test_the_daemon_starts_insights_once_per_analysis_and_their_failure_changes_nothing(
    stored: Path, daemon: tuple[Running, Database]
):
    """Lost: a daemon makes no forecast, or one every few seconds; or an error in a forecast fails the analysis."""
    process, db = daemon
    run = ended(db, queued(db), process)
    until(lambda: followed(stored, run.run_id) == ["SUCCESS"], "insights are made", by=process)
    assert one(db, "SELECT run_id::text FROM telemetry_backtests WHERE run_id = %s::uuid", (run.run_id,))
    assert row(db, run.run_id) == run

    execute(db, BREAK)
    again = ended(db, queued(db), process)
    until(lambda: followed(stored, again.run_id) == ["FAILURE"], "insights fail", by=process)
    execute(db, MEND)
    before = processes.dagster_says(stored, LOOKS, '%"leo_telemetry_insights_sensor"%')
    until(
        lambda: processes.dagster_says(stored, LOOKS, '%"leo_telemetry_insights_sensor"%') > before,
        "the sensor ticks again",
        by=process,
    )
    assert (followed(stored, run.run_id), followed(stored, again.run_id)) == (["SUCCESS"], ["FAILURE"])
    assert row(db, again.run_id) == again
    # Neither insights nor anything else created an analysis run.
    assert {each.run_id for each in runs.latest(db, 9)} >= {run.run_id, again.run_id}
    assert len(runs.latest(db, 9)) == 3


def test_a_worker_that_runs_once_makes_insights_last_and_an_analyze_makes_none(stored: Path):
    """Lost: there is no forecast without a daemon, or a person who waits for an analysis also waits for a forecast."""
    analysed = processes.run(stored, "analyze")
    assert (analysed.code, analysed.err) == (0, ""), analysed
    run_id = processes.run(stored, "enqueue").out.split()[2].rstrip(".")
    done = processes.run(stored, "worker", "--once")
    assert (done.code, done.out, done.err) == (0, "Executed 1 analysis run(s).\n", "")
    assert made(stored) == [run_id]

    with database.ready(Settings({PREFIX + "HOME": str(stored)})) as target, closing(Database(target)) as db:
        execute(db, BREAK)
    run_id = processes.run(stored, "enqueue").out.split()[2].rstrip(".")
    done = processes.run(stored, "worker", "--once")
    assert (done.code, done.out) == (0, "Executed 1 analysis run(s).\n")
    assert done.err.startswith("leo-telemetry: insights not computed: forecast_backtest: ")
    assert "the disk of this test is full" in done.err
    assert done.err.count("\n") == 1
    with database.ready(Settings({PREFIX + "HOME": str(stored)})) as target, closing(Database(target)) as db:
        execute(db, MEND)
        assert (row(db, run_id).status, row(db, run_id).reason_code) == ("SUCCEEDED", "COMPLETED")
        assert run_id not in made(stored)


def made(home: Path) -> list[str]:
    """Return the ids of the last two analysis runs that have insights."""
    with database.ready(Settings({PREFIX + "HOME": str(home)})) as target, closing(Database(target)) as db:
        found = db.rows("SELECT run_id::text FROM telemetry_backtests")
        return [run.run_id for run in runs.latest(db, 2) if (run.run_id,) in found]
