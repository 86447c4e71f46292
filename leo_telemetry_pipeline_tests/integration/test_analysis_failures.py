"""Analyses that fail or lose their row: how each ends, and that no wrong result is stored."""

import os
import signal
import time
from contextlib import closing
from types import ModuleType
from typing import Any

import dagster as dg
import psycopg2
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import DagsterEvent
from dagster._core.execution.api import execute_run

from leo_telemetry_pipeline.actions import findings
from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.defs import resources
from leo_telemetry_pipeline.store import exact_percentiles, runs, spool_drain
from leo_telemetry_pipeline.store.history import span_counts
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.analysis_job import RUN_ID, before, boom, found, items, outcomes, without
from leo_telemetry_pipeline_tests.builders import (
    QUIET,
    analyse,
    analyse_queued,
    analysis_job,
    back_date,
    execute,
    new_id,
    one,
    queued,
    row,
    running,
    slow,
    statuses,
)
from leo_telemetry_pipeline_tests.servers import DEBIAN, EMBEDDED, Server

pytestmark = [pytest.mark.usefixtures("settings"), pytest.mark.counted_days]


@pytest.mark.parametrize(
    ("module", "name", "step"),
    [
        (span_counts, "by_type_and_day", "workflow_traces"),
        (judging, "judge", "bottlenecks"),
        (findings, "conclude", "continuous_improvements"),
    ],
)
def test_an_analysis_that_raises_ends_failed_and_says_where_and_why(
    db: Database, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, step: str
):
    """Lost: a broken analysis would look like a running one."""
    slow(db, "A")
    monkeypatch.setattr(module, name, boom)
    run_id = queued(db)
    done = analyse({RUN_ID: run_id})
    assert not done.success
    run = row(db, run_id)
    assert (run.status, run.reason_code) == ("FAILED", "ERROR")
    assert step in str(run.error_detail)
    assert "boom: 1 is not 2" in str(run.error_detail)
    assert "Traceback" not in str(run.error_detail)
    assert run.finished_at is not None
    assert run.duration_ms is not None
    assert run.output_ref is None
    assert items(db) == []


@pytest.mark.only_on(EMBEDDED, DEBIAN, reason="a pooler reports it in other words")
@pytest.mark.parametrize(
    ("module", "step", "goes_on"),
    [(span_counts, "by_type_and_day", False), (exact_percentiles, "of_window", False), (spool_drain, "drain", True)],
)
def test_an_analysis_whose_database_died_is_tried_again(
    db: Database, server: Server, module: ModuleType, step: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a week's analysis, because PostgreSQL restarted while it ran."""
    slow(db, "A")
    run_id, name, onlooker = queued(db), one(db, "SELECT current_database()"), one(db, "SELECT pg_backend_pid()")
    cut_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"

    def die(of_the_run: Database, *_: Any) -> None:
        # A recovering database accepts no connections.
        server.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        db.rows(cut_all, (onlooker,))
        if goes_on:
            with pytest.raises(psycopg2.Error):
                of_the_run.rows("SELECT")

    def recover(*_: Any) -> None:
        server.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    before(monkeypatch, module, step, die)
    before(monkeypatch, resources, "how_it_ended", recover)
    assert not analyse({RUN_ID: run_id}).success
    assert statuses(db) == [("RUNNING", None)]
    execute(db, "UPDATE telemetry_analysis_runs SET heartbeat_at = now() - interval '31 s'")
    runs.reap(db)
    assert row(db, run_id).reason_code == "WORKER_LOST"
    [retry] = runs.waiting(db)
    assert (retry.status, retry.retry_of) == ("QUEUED", run_id)


def test_a_type_that_cannot_be_measured_is_named_and_the_others_are_judged(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: all findings, because of one slow query."""
    slow(db, "A")
    slow(db, "DESIGN", span_type="subagent")
    monkeypatch.setattr(exact_percentiles, "of_window", without("subagent"))
    run_id = queued(db)
    done = analyse({RUN_ID: run_id})
    assert done.success
    run = row(db, run_id)
    assert (run.status, run.reason_code) == ("SUCCEEDED", "COMPLETED")
    assert found(run) == ["gate:A"]
    assert run.output_ref is not None
    [error] = run.output_ref["errors"]
    assert error["dimension_type"] == "subagent"
    assert "statement timeout" in error["error"]


def test_an_analysis_that_could_measure_nothing_fails(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: a week that could not be measured looks like a week without bottlenecks, and counts as fresh."""
    slow(db, "A")
    types = ("phase", "gate", "subagent", "handoff", "sd_type", "gate+sd_type")
    monkeypatch.setattr(exact_percentiles, "of_window", without(*types))
    run = analyse_queued(db)
    assert (run.status, run.reason_code) == ("FAILED", "ERROR")


def test_a_row_that_was_cancelled_or_taken_meanwhile_ends_green_and_writes_nothing(db: Database):
    """Lost: a cancelled analysis would run anyway, or two runs would write one row."""
    slow(db, "A")
    cancelled = queued(db)
    runs.cancel(db, cancelled)
    taken, mine = running(db)
    before = db.rows("SELECT * FROM telemetry_analysis_runs ORDER BY run_id")
    for run_id in (cancelled, taken, new_id()):
        done = analyse({RUN_ID: run_id})
        assert done.success
        assert done.materialized == set()
        assert done.checks == {}
    assert db.rows("SELECT * FROM telemetry_analysis_runs ORDER BY run_id") == before
    for table in ("dimension_p50", "duration_histograms", "continuous_improvements"):
        assert one(db, f"SELECT count(*) FROM {table}") == 0
    assert runs.beat(db, taken, mine) == "RUNNING"


def test_a_run_that_loses_its_row_halfway_writes_nothing_more(
    db: Database, monkeypatch: pytest.MonkeyPatch, target: Target
):
    """Lost: a cancelled analysis would still open items."""
    slow(db, "A")
    run_id = queued(db)

    def cancel(*_: Any) -> None:
        with closing(Database(target)) as own:
            runs.cancel(own, run_id)

    before(monkeypatch, judging, "judge", cancel)
    done = analyse({RUN_ID: run_id})
    assert not done.success
    assert statuses(db) == [("CANCELLED", "CANCELLED_BY_USER")]
    assert items(db) == []
    assert set(outcomes(db, run_id).values()) == {None}


def launched(db: Database, *, terminated: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    """Execute a queued row as a launched process that gets SIGTERM during a step; return the row's id.

    With ``terminated``, the run is first recorded as terminated in the UI.
    """
    job, run_id = analysis_job(), queued(db)
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(job, run_config=QUIET, tags={RUN_ID: run_id})
        instance.report_dagster_event(
            DagsterEvent(dg.DagsterEventType.RUN_STARTING.value, job_name=job.name), run_id=run.run_id
        )

        def interrupt(*_: Any) -> None:
            if terminated:
                instance.report_run_canceling(run)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

        before(monkeypatch, judging, "judge", interrupt)
        starting = instance.get_run_by_id(run.run_id)
        assert starting is not None
        execute_run(InMemoryJob(job), starting, instance)
    return run_id


@pytest.mark.only_on(EMBEDDED, reason="signals do not depend on the server")
def test_a_run_whose_daemon_is_stopped_is_tried_again_but_not_one_that_a_person_ended(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a restart of the service loses the running analysis for a week, although a kill does not."""
    stopped = launched(db, terminated=False, monkeypatch=monkeypatch)
    assert statuses(db) == [("RUNNING", None)]
    back_date(db, stopped, "heartbeat_at", "31 s")
    assert runs.reap(db) == 1
    [retry] = runs.waiting(db)
    assert (row(db, stopped).reason_code, retry.retry_of) == ("WORKER_LOST", stopped)
    runs.cancel(db, retry.run_id)
    terminated = launched(db, terminated=True, monkeypatch=monkeypatch)
    assert (row(db, terminated).status, row(db, terminated).reason_code) == ("CANCELLED", "CANCELLED_BY_USER")
    # In a terminal the run has no launcher.
    before(monkeypatch, judging, "judge", lambda *_: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60)))
    assert analyse_queued(db).reason_code == "CANCELLED_BY_USER"
