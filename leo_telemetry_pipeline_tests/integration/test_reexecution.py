"""Re-execution of analyses in the UI, from failure or as a whole."""

from collections.abc import Iterator

import dagster as dg
import pytest

from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.defs.names import shown
from leo_telemetry_pipeline.store import exact_percentiles, runs
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.analysis_job import RUN_ID, boom, found, items, without
from leo_telemetry_pipeline_tests.builders import (
    QUIET,
    Execution,
    analyse,
    analysis_job,
    insert,
    queued,
    row,
    row_of,
    slow,
    spans_of,
)

pytestmark = [pytest.mark.usefixtures("settings"), pytest.mark.counted_days]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Create a Dagster instance for this test."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def again(instance: dg.DagsterInstance, parent: str, *, from_failure: bool) -> Execution:
    """Re-execute a run as the UI does, from failure or as a whole."""
    failed = instance.get_run_by_id(parent)
    assert failed is not None
    options = dg.ReexecutionOptions.from_failure(parent, instance) if from_failure else dg.ReexecutionOptions(parent)
    result = dg.execute_job(
        dg.reconstructable(analysis_job),
        instance,
        run_config=QUIET,
        tags=dict(failed.tags),
        reexecution_options=options,
    )
    return Execution(result)


def test_re_execution_from_failure_skips_what_was_done_and_makes_a_new_row(
    db: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    """Lost: after a fix, people would have to start from scratch; or a final row would be overwritten."""
    slow(db, "A")
    run_id = queued(db)
    with monkeypatch.context() as broken:
        broken.setattr(judging, "judge", boom)
        first = analyse({RUN_ID: run_id}, instance=instance)
    failed = row(db, run_id)
    assert failed.status == "FAILED"
    insert(db, spans_of("gate", "A", [1] * 99))
    second = again(instance, first.dagster_run_id, from_failure=True)
    assert second.success
    run = runs.of_dagster_run(db, second.dagster_run_id)
    assert run is not None
    assert (run.status, run.attempt, run.retry_of) == ("SUCCEEDED", 2, run_id)
    assert run.window == failed.window
    assert found(run) == ["gate:A"]
    assert row(db, run_id) == failed
    done = {shown(event.step_key) for event in second.result.all_events if event.is_step_success}
    assert "p50_by_gate" not in done
    assert "continuous_improvements" in done


def test_re_execution_from_failure_still_knows_which_types_could_not_be_measured(
    db: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    """Lost: the re-execution would fail its check, because it takes a failed type for a forgotten one."""
    slow(db, "A")
    slow(db, "DESIGN", span_type="subagent")
    with monkeypatch.context() as broken:
        broken.setattr(exact_percentiles, "of_window", without("subagent"))
        broken.setattr(judging, "judge", boom)
        first = analyse({RUN_ID: queued(db)}, instance=instance)
    second = again(instance, first.dagster_run_id, from_failure=True)
    run = row_of(db, second)
    assert (run.status, run.error_detail) == ("SUCCEEDED", None)
    assert found(run) == ["gate:A"]
    assert run.output_ref is not None
    assert [error["dimension_type"] for error in run.output_ref["errors"]] == ["subagent"]


def test_re_execution_of_everything_forgets_the_errors_of_the_first_time(
    db: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    """Lost: an analysis without errors would report those of another."""
    slow(db, "DESIGN", span_type="subagent")
    with monkeypatch.context() as broken:
        broken.setattr(exact_percentiles, "of_window", without("subagent"))
        broken.setattr(judging, "judge", boom)
        first = analyse({RUN_ID: queued(db)}, instance=instance)
    run = row_of(db, again(instance, first.dagster_run_id, from_failure=False))
    assert run.status == "SUCCEEDED"
    assert found(run) == ["subagent:DESIGN"]
    assert run.output_ref is not None
    assert run.output_ref["errors"] == []


def test_re_execution_of_a_success_is_an_analysis_of_its_own_over_the_same_window(
    db: Database, instance: dg.DagsterInstance
):
    """Lost: a result could not be checked by computing it again."""
    slow(db, "A")
    first = analyse({RUN_ID: queued(db)}, instance=instance)
    second = again(instance, first.dagster_run_id, from_failure=False)
    one_, two = row_of(db, first), row_of(db, second)
    assert (two.status, two.attempt, two.retry_of) == ("SUCCEEDED", 1, None)
    assert two.window == one_.window
    assert found(two) == found(one_)
    assert items(db) == [("gate:A", "OPEN")]
