"""Selected assets of the analysis job, materialized in the UI."""

from datetime import timedelta

import pytest

from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.analysis_job import P50S, found, items, outcomes
from leo_telemetry_pipeline_tests.builders import (
    analyse,
    analyse_queued,
    execute,
    insert,
    one,
    row,
    row_of,
    slow,
    spans_of,
    statuses,
)

pytestmark = [pytest.mark.usefixtures("settings"), pytest.mark.counted_days]


def test_a_selection_without_items_creates_no_row_and_computes_the_last_window_again(db: Database):
    """Lost: a click in the UI would be recorded as an analysis and count as fresh."""
    slow(db, "A")
    last = analyse_queued(db)
    before = row(db, last.run_id)
    insert(db, spans_of("gate", "A", [9000] * 50))
    insert(db, spans_of("gate", "AFTER", [1] * 10, at=last.window.end + timedelta(hours=1)))
    done = analyse(selection=["p50_by_gate"])
    assert done.success
    assert done.materialized == {"p50_by_gate"}
    assert db.rows("SELECT dimension_key, sample_count, p50_ms FROM p50_by_gate") == [("A", 60, 9000)]
    assert row(db, last.run_id) == before
    assert len(runs.latest(db, 9)) == 1
    done = analyse(selection=["workflow_traces", "duration_histograms", *P50S, "bottlenecks"])
    assert done.success
    assert row(db, last.run_id) == before
    assert outcomes(db, last.run_id) == {"gate:A": "bottleneck"}
    assert one(db, "SELECT sample_count FROM dimension_p50") == 60


def test_a_selection_before_any_analysis_names_the_remedy_and_creates_no_row(db: Database):
    """Lost: a click on a new installation would end in a traceback about None."""
    for selection in (["p50_by_gate"], ["bottlenecks"], ["workflow_traces"]):
        done = analyse(selection=selection)
        assert not done.success
        event = next(event for event in done.result.all_events if event.is_step_failure)
        assert "No analysis has succeeded yet" in str(event.step_failure_data.error), selection
    assert runs.latest(db, 9) == []


def test_items_alone_are_made_from_the_findings_of_the_last_analysis(db: Database):
    """Lost: a click on the last asset would say that nothing is slow."""
    slow(db, *"ABCD")
    last = analyse_queued(db)
    done = analyse(selection=["continuous_improvements"])
    assert done.success
    run = row_of(db, done)
    assert (run.status, run.triggered_by, run.reason_code) == ("SUCCEEDED", "MANUAL", "COMPLETED")
    assert run.run_id != last.run_id
    assert run.window == last.window
    assert (run.attempt, run.retry_of) == (1, None)
    assert found(run) == found(last)
    assert len(items(db)) == 4


def test_bottlenecks_and_items_alone_judge_the_medians_of_the_last_analysis(db: Database):
    """Lost: after a change of thresholds, the last two assets could not be computed without all others."""
    slow(db, "A", "B")
    last = analyse_queued(db)
    execute(db, "UPDATE telemetry_thresholds SET baseline_p50_ms = 1000 WHERE dimension_key = 'A'")
    done = analyse(selection=["bottlenecks", "continuous_improvements"])
    run = row_of(db, done)
    assert (run.status, run.error_detail) == ("SUCCEEDED", None)
    assert run.window == last.window
    assert found(run) == ["gate:B"]


def test_items_alone_on_a_new_installation_do_not_count_as_an_analysis(db: Database):
    """Lost: one click before the first analysis would keep the real one away for a week."""
    slow(db, "A")
    analyse(selection=["continuous_improvements"])
    assert [status for status, _ in statuses(db) if status == "SUCCEEDED"] == []
    assert runs.enqueue(db, if_stale=True)[1] != "FRESH"
