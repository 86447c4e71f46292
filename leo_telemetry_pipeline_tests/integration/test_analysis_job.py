"""The analysis job from a queued row to its findings."""

from contextlib import closing
from datetime import timedelta

import psycopg2
import pytest

from leo_telemetry_pipeline.span import InvalidSpan
from leo_telemetry_pipeline.store import exact_percentiles, runs
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.analysis_job import BLOCKING, P50S, RUN_ID, WARNING, before, found, items, outcomes
from leo_telemetry_pipeline_tests.builders import (
    analyse,
    analyse_queued,
    configure,
    execute,
    insert,
    midnight,
    new_id,
    one,
    queued,
    row,
    row_of,
    slow,
    span,
    spans_of,
)

pytestmark = [pytest.mark.usefixtures("settings"), pytest.mark.counted_days]


ASSETS = P50S | {
    "workflow_traces", "duration_histograms", "learned_baselines", "bottlenecks", "bottleneck_causes",
    "continuous_improvements",
}  # fmt: skip


SEED = """
INSERT INTO telemetry_thresholds (dimension_type, dimension_key, baseline_p50_ms, multiplier)
VALUES
  ('phase', 'LEAD', 30000, 2.0),        -- Alert if LEAD takes >60s (2x baseline)
  ('gate', 'GATE_PRD_REQUIRED', 5000, 3.0), -- Alert if gate takes >15s (3x baseline)
  ('subagent', 'DESIGN', 120000, 1.5);  -- Alert if DESIGN takes >180s (1.5x baseline)
"""
OUTPUT_REF = {
    "traces_scanned", "dimensions_evaluated", "bottlenecks", "items_created", "items_skipped_rate_limit",
    "items_skipped_dedupe", "errors", "trace_count", "p50_method", "dimensions_not_judged",
}  # fmt: skip
BOTTLENECK = {
    "dimension_type", "dimension_key", "observed_p50_ms", "baseline_p50_ms", "baseline_source", "multiplier", "ratio",
    "sample_count", "evidence_trace_ids", "improvement_id", "onset_day", "p_value", "lost_ms_a_week", "why",
    "measured", "set_apart_by", "cause", "resolution_ms", "slow_value",
    "slow_calls",
}  # fmt: skip


def test_a_queued_row_ends_succeeded_with_all_its_columns_and_finds_exactly_what_exceeds_the_seeds_thresholds(
    db: Database,
):
    """Lost: the way from a request to its findings."""
    execute(db, SEED)
    traces = []
    for day in range(1, 8):
        at = midnight(day) + timedelta(hours=9)
        slow_gate = spans_of("gate", "GATE_PRD_REQUIRED", [15_001, 15_001], at=at)
        traces += [each.trace_id for each in slow_gate]
        insert(db, slow_gate)
        insert(db, spans_of("phase", "LEAD", [60_000, 60_000], at=at))
        insert(db, spans_of("subagent", "DESIGN", [120_000, 120_000], at=at))
    run_id = queued(db)
    done = analyse({RUN_ID: run_id})
    assert done.success
    assert done.materialized == ASSETS
    assert done.checks == dict.fromkeys(BLOCKING | WARNING, True)

    run = row(db, run_id)
    assert (run.status, run.reason_code, run.error_detail) == ("SUCCEEDED", "COMPLETED", None)
    assert run.dagster_run_id == done.dagster_run_id
    assert (run.triggered_by, run.attempt, run.retry_of) == ("MANUAL", 1, None)
    assert run.findings_count == 1
    assert run.top_bottleneck_category == "gate"
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.heartbeat_at is not None
    assert run.deadline_at is not None
    assert run.triggered_at <= run.started_at <= run.heartbeat_at <= run.finished_at < run.deadline_at
    assert run.duration_ms == pytest.approx((run.finished_at - run.started_at).total_seconds() * 1000, abs=2)
    assert run.deadline_at - run.started_at == pytest.approx(timedelta(seconds=900), abs=timedelta(seconds=1))
    assert run.window.start == midnight(7)
    assert run.window.end == pytest.approx(run.started_at, abs=timedelta(seconds=1))

    output_ref = run.output_ref
    assert output_ref is not None
    assert set(output_ref) >= OUTPUT_REF
    assert (output_ref["traces_scanned"], output_ref["trace_count"]) == (42, 42)
    assert output_ref["dimensions_evaluated"] == 3
    assert (output_ref["items_created"], output_ref["errors"], output_ref["p50_method"]) == (1, [], "exact")
    [bottleneck] = output_ref["bottlenecks"]
    assert set(bottleneck) == BOTTLENECK
    assert bottleneck["observed_p50_ms"] == 15_001
    assert bottleneck["ratio"] == pytest.approx(3.0002)
    assert bottleneck["baseline_source"] == "configured"
    assert bottleneck["sample_count"] == 14
    assert len(bottleneck["evidence_trace_ids"]) == 3
    assert set(bottleneck["evidence_trace_ids"]) <= set(traces)
    assert bottleneck["improvement_id"] == one(db, "SELECT id::text FROM continuous_improvements")
    assert items(db) == [("gate:GATE_PRD_REQUIRED", "OPEN")]
    assert outcomes(db, run_id) == {
        "gate:GATE_PRD_REQUIRED": "bottleneck", "phase:LEAD": "ok", "subagent:DESIGN": "ok"
    }  # fmt: skip
    assert db.rows("SELECT dimension_key, p50_ms FROM p50_by_gate") == [("GATE_PRD_REQUIRED", 15_001)]


def test_materializing_all_without_a_queued_row_creates_a_manual_row(db: Database):
    """Lost: a click on "materialize all" would leave no trace in the history."""
    slow(db, "A")
    done = analyse()
    run = row_of(db, done)
    assert (run.status, run.triggered_by, run.scope_type) == ("SUCCEEDED", "MANUAL", "ALL")
    assert len(runs.latest(db, 9)) == 1
    assert found(run) == ["gate:A"]


def test_four_bottlenecks_of_a_type_make_three_items_and_the_next_run_adds_the_fourth(db: Database):
    """Lost: people would get too many items, or never hear of the fourth bottleneck."""
    slow(db, "A", "B", "C", "D")
    first = analyse_queued(db)
    assert found(first) == ["gate:D", "gate:C", "gate:B", "gate:A"]
    assert first.output_ref is not None
    ids = [each["improvement_id"] for each in first.output_ref["bottlenecks"]]
    assert None not in ids[:3]
    assert ids[3] is None
    assert first.output_ref["items_created"] == 3
    assert first.output_ref["items_skipped_rate_limit"] == 1
    assert first.output_ref["items_skipped_dedupe"] == 0
    assert items(db) == [("gate:B", "OPEN"), ("gate:C", "OPEN"), ("gate:D", "OPEN")]
    execute(db, "UPDATE continuous_improvements SET title = 'mine', status = 'IN_PROGRESS' WHERE title LIKE '%%:D %%'")

    second = analyse_queued(db)
    assert second.output_ref is not None
    assert second.output_ref["items_created"] == 1
    assert second.output_ref["items_skipped_rate_limit"] == 0
    assert second.output_ref["items_skipped_dedupe"] == 3
    assert [each["improvement_id"] for each in second.output_ref["bottlenecks"]][:3] == ids[:3]
    assert items(db) == [("gate:A", "OPEN"), ("gate:B", "OPEN"), ("gate:C", "OPEN"), ("gate:D", "IN_PROGRESS")]
    assert one(db, "SELECT count(*) FROM continuous_improvements WHERE title = 'mine'") == 1
    assert one(db, "SELECT count(DISTINCT source_detail->>'run_id') FROM continuous_improvements") == 1
    assert one(db, "SELECT source_detail->>'run_id' FROM continuous_improvements LIMIT 1") == second.run_id


def test_dimensions_that_are_switched_off_too_rare_or_without_a_baseline_are_counted_and_not_judged(db: Database):
    """Lost: `NOISY_DIMENSION` could not be silenced, or three spans would open an item."""
    slow(db, "JUDGED", "OFF", "FEW_BY_OWN")
    slow(db, "OFF_BY_TYPE", "ON_IN_VAIN", span_type="subagent")
    slow(db, "FEW", count=9)
    slow(db, "ENOUGH_BY_OWN", count=2)
    insert(db, spans_of("gate", "NO_BASELINE", [5] * 10))
    execute(db, "UPDATE telemetry_thresholds SET is_active = false WHERE dimension_key = 'OFF'")
    execute(db, "UPDATE telemetry_thresholds SET min_samples = 11 WHERE dimension_key = 'FEW_BY_OWN'")
    execute(db, "UPDATE telemetry_thresholds SET min_samples = 2 WHERE dimension_key = 'ENOUGH_BY_OWN'")
    configure(db, "subagent", None, None, None, is_active=False)
    run = analyse_queued(db)
    assert sorted(found(run)) == ["gate:ENOUGH_BY_OWN", "gate:JUDGED"]
    assert run.output_ref is not None
    assert run.output_ref["dimensions_evaluated"] == 2
    assert run.output_ref["dimensions_not_judged"] == {
        "switched_off": 3,
        "too_few": 2,
        "no_baseline": 1,
        "pooled": 0,
        "shared": 0,
    }
    assert run.output_ref["traces_scanned"] == 71
    assert outcomes(db, run.run_id)["subagent:ON_IN_VAIN"] == "switched_off"


def test_an_analysis_without_spans_succeeds_and_reports_too_little_data(db: Database):
    """Lost: a new installation would start with a failure, or with "no bottlenecks" although there was no data."""
    run = analyse_queued(db)
    assert (run.status, run.reason_code) == ("SUCCEEDED", "INSUFFICIENT_DATA")
    assert run.findings_count == 0
    assert run.top_bottleneck_category is None
    assert run.output_ref is not None
    assert (run.output_ref["traces_scanned"], run.output_ref["bottlenecks"]) == (0, [])


def test_spans_that_never_ended_are_scanned_and_break_nothing(db: Database):
    """Lost: one killed program would fail every analysis at the check that counts spans."""
    insert(db, [*spans_of("gate", "A", [None] * 5), *spans_of("deploy", "B", [None])])
    run = analyse_queued(db)
    assert (run.status, run.reason_code) == ("SUCCEEDED", "INSUFFICIENT_DATA")
    assert run.output_ref is not None
    assert run.output_ref["traces_scanned"] == 6


def test_with_nothing_configured_a_dimensions_own_days_are_the_baseline(db: Database):
    """Lost: findings without configuration."""
    for day in range(1, 30):
        at = midnight(day) + timedelta(hours=3)
        insert(db, spans_of("gate", "SLOWER", [1000 if day > 5 else 1500] * 10, at=at))
        insert(db, spans_of("gate", "SAME", [1000] * 10, at=at))
        insert(db, spans_of("gate", "RARE", [1000 if day > 5 else 2500] * (day % 3 == 0), at=at))
    for day in range(1, 11):
        insert(db, spans_of("gate", "NEW", [1000 if day > 5 else 1500] * 10, at=midnight(day)))
    run = row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()}))
    assert found(run) == ["gate:SLOWER"]
    assert run.output_ref is not None
    [bottleneck] = run.output_ref["bottlenecks"]
    assert bottleneck["baseline_source"] == "learned"
    assert bottleneck["baseline_p50_ms"] == pytest.approx(1000, rel=0.005)
    assert bottleneck["observed_p50_ms"] == pytest.approx(1500, rel=0.005)
    assert bottleneck["onset_day"] == midnight(5).date().isoformat()
    assert outcomes(db, run.run_id) == {
        "gate:SLOWER": "bottleneck", "gate:SAME": "ok", "gate:RARE": "too_few", "gate:NEW": "no_baseline"
    }  # fmt: skip


def test_types_named_in_thresholds_and_types_never_seen_before_are_judged_without_new_code(db: Database):
    """Lost: a new kind of work would need a release."""
    for _ in range(10):
        trace_id = new_id()
        insert(
            db,
            [
                span("handoff", "H", 50, trace_id=trace_id, attributes={"sd_type": "feature"}),
                span("phase", "EXEC", 1000, trace_id=trace_id),
                span("deploy", "prod", 1000, trace_id=trace_id),
            ],
        )
    configure(db, "phase+sd_type", None, 100, 2.0)
    configure(db, "deploy", "prod", 100, 3.0)
    assert found(analyse_queued(db)) == ["deploy:prod", "phase+sd_type:EXEC:feature"]


def test_above_the_limit_daily_history_gives_the_same_findings(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: findings would change on the day an installation outgrows the limit."""
    slow(db, "A", "B")
    exact = analyse_queued(db)
    monkeypatch.setenv("LEO_TELEMETRY_EXACT_SPANS", "1")
    counted = analyse_queued(db)
    assert counted.output_ref is not None
    assert counted.output_ref["p50_method"] == "histogram"
    assert found(counted) == found(exact)
    assert outcomes(db, counted.run_id) == outcomes(db, exact.run_id)


def test_an_analysis_of_a_project_reads_its_spans_and_keeps_its_own_items(db: Database):
    """Lost: one project's slowness would hide behind another's speed."""
    slow(db, "A", project="shop")
    insert(db, spans_of("gate", "A", [1] * 50, project="till"))
    assert found(row_of(db, analyse())) == []
    run = row_of(db, analyse({"leo_telemetry/project": "shop"}))
    assert (run.scope_type, run.scope_id) == ("PROJECT", "shop")
    assert found(run) == ["gate:A"]
    assert one(db, "SELECT source_detail->>'project' FROM continuous_improvements") == "shop"
    assert run.output_ref is not None
    assert run.output_ref["traces_scanned"] == 10


@pytest.mark.parametrize("odd", ["a+b", "sd_type", "gate+sd_type", "global"])
def test_one_span_of_an_odd_type_stops_no_analysis(db: Database, odd: str):
    """Lost: any program that may write spans could stop all analyses for a week with one typo."""
    slow(db, "A")
    try:
        insert(db, [span(odd, "x", 5)])
    except (InvalidSpan, psycopg2.errors.CheckViolation):
        return
    run = analyse_queued(db)
    assert (run.status, run.error_detail) == ("SUCCEEDED", None)
    assert found(run) == ["gate:A"]


def test_spans_that_arrive_while_the_analysis_runs_break_nothing(
    db: Database, monkeypatch: pytest.MonkeyPatch, target: Target
):
    """Lost: on a busy system, every analysis would fail at the check that counts spans."""
    slow(db, "A")
    before(monkeypatch, exact_percentiles, "of_window", lambda *_: insert_elsewhere(target))
    run = analyse_queued(db)
    assert (run.status, run.error_detail) == ("SUCCEEDED", None)


def insert_elsewhere(target: Target) -> None:
    with closing(Database(target)) as own:
        insert(own, [*spans_of("gate", "A", [1000]), *spans_of("phase", "NEW", [1])])
