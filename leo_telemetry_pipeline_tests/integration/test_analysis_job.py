"""The analysis as Dagster executes it: from a queued row to its findings, and every way in which it can break."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import psycopg2
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import DagsterEvent
from dagster._core.execution.api import execute_run

from leo_telemetry_pipeline import execution
from leo_telemetry_pipeline.actions import findings
from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.defs import checks, resources
from leo_telemetry_pipeline.defs.names import shown
from leo_telemetry_pipeline.dimension import Bottleneck, DimensionResult
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.span import InvalidSpan
from leo_telemetry_pipeline.store import dimensions, exact_percentiles, runs, span_totals, spans, spool_drain
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.history import blocks, histograms, span_counts
from leo_telemetry_pipeline.store.history.span_counts import SpanCount
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import (
    DAY,
    QUIET,
    Execution,
    analyse,
    analyse_queued,
    analysis_job,
    back_date,
    configure,
    execute,
    insert,
    midnight,
    new_id,
    one,
    queued,
    row,
    row_of,
    running,
    slow,
    span,
    spans_of,
    statuses,
    week,
)
from leo_telemetry_pipeline_tests.conftest import made_once
from leo_telemetry_pipeline_tests.servers import DEBIAN, EMBEDDED, Server

pytestmark = pytest.mark.usefixtures("settings")

RUN_ID = "leo_telemetry/run_id"
NOON = midnight(2) + timedelta(hours=12)
P50S = {
    "p50_by_phase", "p50_by_gate", "p50_by_subagent", "p50_by_handoff", "p50_by_sd_type", "p50_by_gate_sd_type",
    "p50_by_other",
}  # fmt: skip
ASSETS = P50S | {
    "workflow_traces", "duration_histograms", "learned_baselines", "bottlenecks", "bottleneck_causes",
    "continuous_improvements",
}  # fmt: skip
BLOCKING = {"p50s_exist_where_spans_do", "bottlenecks_are_above_their_threshold", "counts_add_up"}
WARNING = {"clocks_agree", "little_is_quarantined", "every_day_has_spans"}

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
    "measured", "set_apart_by", "cause",
}  # fmt: skip


@pytest.fixture
def template(server: Server, template: str) -> str:
    """Name a database that has counted its days, all without spans: as somebody's is who analyses now and then.

    To count ninety days is what takes longest in a first analysis. That it does is for the tests of history.
    """

    def count(target: Target) -> None:
        days = Window(midnight(97), midnight(-1)).days
        types = dimensions.types_to_judge([], [])
        with closing(Database(target)) as db:
            histograms.rebuild(db, days, types, [])
            blocks.make(db, days[0], days[-1], types)

    return made_once(server, "template_counted", template, count)


def items(db: Database) -> list[tuple[str, str]]:
    """Return dimension and status of every item, in the order of the dimension."""
    return db.rows(
        "SELECT (source_detail->>'dimension_type') || ':' || (source_detail->>'dimension_key'), status"
        " FROM continuous_improvements ORDER BY 1, 2"
    )


def found(run: runs.Run) -> list[str]:
    """Return the dimensions of a run's bottlenecks, in its order."""
    assert run.output_ref is not None, run
    return [f"{each['dimension_type']}:{each['dimension_key']}" for each in run.output_ref["bottlenecks"]]


def outcomes(db: Database, run_id: str) -> dict[str, str]:
    """Return how every dimension of a run was judged."""
    return dict(
        db.rows(
            "SELECT dimension_type || ':' || dimension_key, outcome FROM dimension_p50 WHERE run_id = %s", (run_id,)
        )
    )


# From a queued row to findings


def test_a_queued_row_ends_succeeded_with_all_its_columns_and_finds_just_what_is_over_the_seeds_thresholds(
    db: Database,
):
    """Lost: the loop itself."""
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


def test_materializing_all_without_a_queue_makes_a_row_by_hand(db: Database):
    """Lost: who clicks on "materialize all" would see nothing of it in the history."""
    slow(db, "A")
    done = analyse()
    run = row_of(db, done)
    assert (run.status, run.triggered_by, run.scope_type) == ("SUCCEEDED", "MANUAL", "ALL")
    assert len(runs.latest(db, 9)) == 1
    assert found(run) == ["gate:A"]


def test_four_bottlenecks_of_a_type_make_three_items_and_the_next_run_adds_the_fourth(db: Database):
    """Lost: people would be buried in items, or never hear of the fourth."""
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


def test_what_is_switched_off_too_few_or_without_a_baseline_is_counted_and_not_judged(db: Database):
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
    }
    assert run.output_ref["traces_scanned"] == 71
    assert outcomes(db, run.run_id)["subagent:ON_IN_VAIN"] == "switched_off"


def test_an_analysis_of_nothing_succeeds_and_says_that_there_is_too_little(db: Database):
    """Lost: a new installation would start with a failure, or with "no bottlenecks" though nothing was looked at."""
    run = analyse_queued(db)
    assert (run.status, run.reason_code) == ("SUCCEEDED", "INSUFFICIENT_DATA")
    assert run.findings_count == 0
    assert run.top_bottleneck_category is None
    assert run.output_ref is not None
    assert (run.output_ref["traces_scanned"], run.output_ref["bottlenecks"]) == (0, [])


def test_spans_that_never_ended_are_scanned_and_break_nothing(db: Database):
    """Lost: a tracer that was killed would stop every analysis at the check that counts spans."""
    insert(db, [*spans_of("gate", "A", [None] * 5), *spans_of("deploy", "B", [None])])
    run = analyse_queued(db)
    assert (run.status, run.reason_code) == ("SUCCEEDED", "INSUFFICIENT_DATA")
    assert run.output_ref is not None
    assert run.output_ref["traces_scanned"] == 6


def test_with_nothing_configured_a_dimensions_own_days_are_the_baseline(db: Database):
    """Lost: set-and-forget."""
    for day in range(1, 30):
        at = midnight(day) + timedelta(hours=3)
        insert(db, spans_of("gate", "SLOWER", [1000 if day > 5 else 1500] * 10, at=at))
        insert(db, spans_of("gate", "SAME", [1000] * 10, at=at))
        insert(db, spans_of("gate", "RARE", [1000 if day > 5 else 2500] * 3, at=at))
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
        "gate:SLOWER": "bottleneck", "gate:SAME": "ok", "gate:RARE": "no_baseline", "gate:NEW": "no_baseline"
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


def test_above_the_limit_history_serves_and_finds_the_same(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: findings would change on the day an installation grows."""
    slow(db, "A", "B")
    exact = analyse_queued(db)
    monkeypatch.setenv("LEO_TELEMETRY_EXACT_SPANS", "1")
    counted = analyse_queued(db)
    assert counted.output_ref is not None
    assert counted.output_ref["p50_method"] == "histogram"
    assert found(counted) == found(exact)
    assert outcomes(db, counted.run_id) == outcomes(db, exact.run_id)


def test_an_analysis_of_a_project_looks_at_its_spans_and_keeps_its_own_items(db: Database):
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
    """Lost: any program that may write spans could stop all analyses for a week by one typing error."""
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
    """Lost: on a busy system every analysis would fail at the check that counts spans."""
    slow(db, "A")
    before(monkeypatch, exact_percentiles, "of_window", lambda *_: insert_elsewhere(target))
    run = analyse_queued(db)
    assert (run.status, run.error_detail) == ("SUCCEEDED", None)


def insert_elsewhere(target: Target) -> None:
    with closing(Database(target)) as own:
        insert(own, [*spans_of("gate", "A", [1000]), *spans_of("phase", "NEW", [1])])


# Items: the rules of the table reach the plan


def summary(*keys: str, kind: str = "gate") -> findings.Summary:
    """Say that some dimensions are bottlenecks, the first worst."""
    bottlenecks = [Bottleneck(kind, key, 500.0 - rank, 100.0, "configured", 2.0, 10) for rank, key in enumerate(keys)]
    outcomes = dict.fromkeys(("ok", "too_few", "no_baseline", "switched_off", "pooled"), 0) | {"bottleneck": len(keys)}
    return findings.Summary(tuple(bottlenecks), outcomes, 10, 10, "exact", {})


def conclude(db: Database, end: datetime, *keys: str, project: str | None = None) -> dict[str, Any]:
    """End a run of the week up to a moment with some bottlenecks."""
    run_id, mine = running(db, window_end=end, window_days=7, project=project)
    return findings.conclude(db, summary(*keys), week(end, project), run_id=run_id, dagster_run_id=mine, errors=[])


def test_the_limits_that_people_write_count(db: Database):
    """Lost: max_items_per_run, max_items_per_day and cooldown_hours would be decoration."""
    end = midnight()
    configure(db, "global", None, None, None, max_items_per_run=2)
    configure(db, "gate", None, None, None, max_items_per_day=3, cooldown_hours=48)
    assert conclude(db, end, *"ABCD")["items_created"] == 2
    third = conclude(db, end, *"ABCD")
    assert (third["items_created"], third["items_skipped_rate_limit"], third["items_skipped_dedupe"]) == (1, 1, 2)
    assert conclude(db, end, *"ABCD")["items_created"] == 0
    # In window time the next day begins a day later, however soon it is analysed.
    assert conclude(db, end + DAY, *"ABCD")["items_created"] == 1
    execute(db, "UPDATE continuous_improvements SET status = 'DISMISSED'")
    assert conclude(db, end + 2 * DAY, "A")["items_skipped_dedupe"] == 1
    assert conclude(db, end + 3 * DAY, "A")["items_created"] == 1


def test_items_of_a_project_and_of_all_live_side_by_side(db: Database):
    """Lost: closing the one would close or block the other."""
    assert conclude(db, midnight(), "A")["items_created"] == 1
    assert conclude(db, midnight(), "A", project="shop")["items_created"] == 1
    assert conclude(db, midnight(), "A", project="shop")["items_skipped_dedupe"] == 1
    assert one(db, "SELECT count(*) FROM continuous_improvements") == 2


def test_an_item_that_somebody_closes_while_the_run_ends_is_not_opened_again_at_once(
    db: Database, target: Target, monkeypatch: pytest.MonkeyPatch
):
    """Lost: what a person dismissed would be back within the second, past every cooldown and limit."""
    configure(db, "gate", None, None, None, cooldown_hours=48)
    conclude(db, midnight(), "A")

    def dismiss(*_: Any) -> None:
        with closing(Database(target)) as own:
            execute(own, "UPDATE continuous_improvements SET status = 'DISMISSED'")

    before(monkeypatch, runs, "get", dismiss)
    conclude(db, midnight(), "A")
    assert [status for _, status in items(db)] == ["DISMISSED"]


# Broken runs


def before(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[..., Any]) -> None:
    """Do something before the first call of a function."""
    original, left = getattr(module, name), [act]

    def wrapper(*args: Any, **more: Any) -> Any:
        if left:
            left.pop()(*args)
        return original(*args, **more)

    monkeypatch.setattr(module, name, wrapper)


def boom(*_: Any, **__: Any) -> None:
    raise RuntimeError("boom: 1 is not 2")


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
    """Lost: a broken analysis would look as if it still ran."""
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


@pytest.mark.only_on(EMBEDDED, DEBIAN, reason="a pooler has words of its own for it")
@pytest.mark.parametrize(
    ("module", "step", "goes_on"),
    [(span_counts, "by_type_and_day", False), (exact_percentiles, "of_window", False), (spool_drain, "drain", True)],
)
def test_an_analysis_whose_database_died_is_tried_again(
    db: Database, server: Server, module: ModuleType, step: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch
):
    """Lost: the analysis of a week, since PostgreSQL was restarted in those few seconds."""
    slow(db, "A")
    run_id, name, onlooker = queued(db), one(db, "SELECT current_database()"), one(db, "SELECT pg_backend_pid()")
    cut_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"

    def die(of_the_run: Database, *_: Any) -> None:
        # It takes no connections while it recovers.
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


def no_phases(
    database: Database, window: Any, types: Any, seen: Any, original: Any = exact_percentiles.of_window
) -> list[tuple]:
    return [] if "phase" in types else original(database, window, types, seen)


def one_less(
    database: Database, window: Any, types: Any, seen: Any, original: Any = exact_percentiles.of_window
) -> list[tuple]:
    return [(*each[:2], each[2] - 1, *each[3:]) for each in original(database, window, types, seen)]


def all_bad(*args: Any, original: Any = judging.judge) -> list[DimensionResult]:
    return [replace(one, outcome="bottleneck") for one in original(*args)]


@pytest.mark.parametrize(
    ("module", "name", "instead", "check"),
    [
        (exact_percentiles, "of_window", no_phases, "p50s_exist_where_spans_do"),
        (judging, "judge", all_bad, "bottlenecks_are_above_their_threshold"),
        (exact_percentiles, "of_window", one_less, "counts_add_up"),
    ],
)
def test_a_blocking_check_that_fails_ends_the_run_and_makes_no_items(
    db: Database, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, instead: Any, check: str
):
    """Lost: wrong numbers would become items that people work on."""
    slow(db, "A", count=20)
    insert(db, spans_of("phase", "EXEC", [5] * 20))
    configure(db, "phase", "EXEC", 100, 2.0)
    monkeypatch.setattr(module, name, instead)
    run_id = queued(db)
    done = analyse({RUN_ID: run_id})
    assert not done.success
    assert done.checks[check] is False
    run = row(db, run_id)
    assert (run.status, run.reason_code) == ("FAILED", "CHECK_FAILED")
    assert check in str(run.error_detail)
    assert items(db) == []


def test_warnings_warn_and_stop_nothing(db: Database):
    """Lost: a clock that is off would go unseen, or would stop the analyses."""
    parent, trace_id = new_id(), new_id()
    slow(db, "A")
    insert(
        db,
        [
            span("phase", "EXEC", 1000, trace_id=trace_id, span_id=parent),
            span("gate", "A", 1000, at=NOON + timedelta(hours=1), trace_id=trace_id, parent_span_id=parent),
        ],
    )
    spans.quarantine(db, "file.jsonl", [(number, "no span_id", "{}") for number in range(5)])
    run_id = queued(db)
    done = analyse({RUN_ID: run_id})
    assert done.success
    assert done.checks == dict.fromkeys(BLOCKING, True) | dict.fromkeys(WARNING, False)
    assert row(db, run_id).status == "SUCCEEDED"
    assert items(db) == [("gate:A", "OPEN")]


def test_a_type_that_cannot_be_measured_is_named_and_the_others_are_judged(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: one slow query would cost people all findings."""
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


def without(*failing: str) -> Callable[..., list[tuple]]:
    """Return what measures all but some types, whose query the database cancels for real."""
    original = exact_percentiles.of_window

    def measured(database: Database, window: Any, types: Any, seen: Any) -> list[tuple]:
        if set(types) & set(failing):
            with database.transaction(seconds=0.05) as cursor:
                cursor.execute("SELECT pg_sleep(1)")
        return original(database, window, types, seen)

    return measured


def test_an_analysis_that_could_measure_nothing_is_no_success(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: a week without findings that looks like a week without bottlenecks, and counts as fresh."""
    slow(db, "A")
    types = ("phase", "gate", "subagent", "handoff", "sd_type", "gate+sd_type")
    monkeypatch.setattr(exact_percentiles, "of_window", without(*types))
    run = analyse_queued(db)
    assert (run.status, run.reason_code) == ("FAILED", "ERROR")


# Rows that are lost


def test_a_row_that_was_cancelled_or_taken_meanwhile_ends_green_and_writes_nothing(db: Database):
    """Lost: what a person cancelled would run all the same, or two runs would write one row."""
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


def test_a_row_that_is_lost_in_the_middle_gets_nothing_more(
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
    """Execute a queued row as the process of a launched run that gets SIGTERM in a step; return the row's id.

    A run that is ``terminated`` in the UI is recorded as such before its process gets the signal.
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


@pytest.mark.only_on(EMBEDDED, reason="it is about signals, and no statement that other servers would read otherwise")
def test_a_run_whose_daemon_is_stopped_is_tried_again_but_not_one_that_a_person_ended(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a restart of the service loses the analysis under way for a week, which a kill of it does not."""
    stopped = launched(db, terminated=False, monkeypatch=monkeypatch)
    assert statuses(db) == [("RUNNING", None)]
    back_date(db, stopped, "heartbeat_at", "31 s")
    assert runs.reap(db) == 1
    [retry] = runs.waiting(db)
    assert (row(db, stopped).reason_code, retry.retry_of) == ("WORKER_LOST", stopped)
    runs.cancel(db, retry.run_id)
    terminated = launched(db, terminated=True, monkeypatch=monkeypatch)
    assert (row(db, terminated).status, row(db, terminated).reason_code) == ("CANCELLED", "CANCELLED_BY_USER")
    # In a terminal, where the run has no launcher.
    before(monkeypatch, judging, "judge", lambda *_: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60)))
    assert analyse_queued(db).reason_code == "CANCELLED_BY_USER"


# Parts of it, from the UI


def test_a_part_without_items_makes_no_row_and_computes_the_last_window_again(db: Database):
    """Lost: a click in the UI would stand in the history as an analysis and count for staleness."""
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


def test_a_part_without_any_analysis_before_says_what_to_do_and_makes_no_row(db: Database):
    """Lost: a click on a new installation would end in a traceback about None."""
    for selection in (["p50_by_gate"], ["bottlenecks"], ["workflow_traces"]):
        done = analyse(selection=selection)
        assert not done.success
        event = next(event for event in done.result.all_events if event.is_step_failure)
        assert "No analysis has succeeded yet" in str(event.step_failure_data.error), selection
    assert runs.latest(db, 9) == []


def test_items_alone_are_made_of_what_the_last_analysis_found(db: Database):
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


def test_bottlenecks_and_items_without_medians_judge_those_of_the_last_analysis(db: Database):
    """Lost: after a change of thresholds the two last assets could not be computed without all others."""
    slow(db, "A", "B")
    last = analyse_queued(db)
    execute(db, "UPDATE telemetry_thresholds SET baseline_p50_ms = 1000 WHERE dimension_key = 'A'")
    done = analyse(selection=["bottlenecks", "continuous_improvements"])
    run = row_of(db, done)
    assert (run.status, run.error_detail) == ("SUCCEEDED", None)
    assert run.window == last.window
    assert found(run) == ["gate:B"]


def test_items_alone_on_a_new_installation_are_no_analysis(db: Database):
    """Lost: one click before the first analysis would keep the real one away for a week."""
    slow(db, "A")
    analyse(selection=["continuous_improvements"])
    assert [status for status, _ in statuses(db) if status == "SUCCEEDED"] == []
    assert runs.enqueue(db, if_stale=True)[1] != "FRESH"


# Once more


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's own records, for as long as a test lasts."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def again(instance: dg.DagsterInstance, parent: str, *, from_failure: bool) -> Execution:
    """Re-execute a run as the UI does, from its failure or all of it."""
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
    """Lost: after a fix people would have to start from nothing, or a final row would be written again."""
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
    """Lost: the re-execution would end at the check, since it takes a type that failed for one that was forgotten."""
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
    """Lost: an analysis without any error would report those of another."""
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
    """Lost: a result could not be checked by computing it once more."""
    slow(db, "A")
    first = analyse({RUN_ID: queued(db)}, instance=instance)
    second = again(instance, first.dagster_run_id, from_failure=False)
    one_, two = row_of(db, first), row_of(db, second)
    assert (two.status, two.attempt, two.retry_of) == ("SUCCEEDED", 1, None)
    assert two.window == one_.window
    assert found(two) == found(one_)
    assert items(db) == [("gate:A", "OPEN")]


# Dry


# TRUNCATE is in no counter, but gives a table another file. How many rows live, autovacuum estimates at any time.
COUNTERS = """
SELECT relname, n_tup_ins, n_tup_upd, n_tup_del, pg_relation_filenode(relid) FROM pg_stat_user_tables ORDER BY 1
"""


def counters(target: Target) -> list[tuple]:
    """Return what the statistics say was ever written, once every other session has reported."""
    with closing(psycopg2.connect(target.dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for _ in range(50):
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if cursor.fetchone() == (0,):
                break
            cursor.execute("SELECT pg_sleep(0.05)")
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(COUNTERS)
        return cursor.fetchall()


def files(folder: Path) -> dict[str, tuple[int, float]]:
    """Return size and time of every file below a folder."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime) for path in sorted(folder.rglob("*"))}


def test_a_dry_run_writes_nothing_and_finds_what_the_analysis_finds(
    db: Database, target: Target, settings: Settings, home: Path
):
    """Lost: `--dry-run` would open items, or promise other findings than the analysis then has."""
    home.mkdir()
    (home / "something").write_text("of somebody")
    slow(db, *"ABCDE")
    for day in range(8, 14):
        insert(db, spans_of("subagent", "DESIGN", [100] * 5, at=midnight(day)))
    insert(db, spans_of("subagent", "DESIGN", [450] * 10))
    insert(db, spans_of("phase", "FEW", [450]))
    analyse_queued(db)
    execute(db, "UPDATE continuous_improvements SET status = 'RESOLVED' WHERE title LIKE '%%:E %%'")
    insert(db, spans_of("gate", "LATE", [5] * 10, at=midnight(12)))
    db.close()
    end = midnight()
    written, kept, environment = counters(target), files(home), dict(os.environ)
    dry = execution.dry_run(target, settings, week(end))
    assert counters(target) == written
    assert files(home) == kept
    assert dict(os.environ) == environment
    done = analyse({"leo_telemetry/window_end": end.isoformat(), "leo_telemetry/window_days": "7"})
    real = row_of(db, done).output_ref
    assert real is not None
    assert real["items_created"] > 0
    assert real["items_skipped_dedupe"] > 0
    for output_ref in (dry, real):
        for bottleneck in output_ref["bottlenecks"]:
            del bottleneck["improvement_id"]
    assert dry == real


def test_a_dry_run_by_history_finds_what_the_analysis_finds(
    db: Database, target: Target, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Lost: on a large installation `--dry-run` would promise other findings than the analysis then has."""
    monkeypatch.setenv("LEO_TELEMETRY_EXACT_SPANS", "1")
    slow(db, "A")
    for day in range(1, 30):
        insert(db, spans_of("subagent", "DESIGN", [100 if day > 6 else 450] * 10, at=midnight(day)))
    end = midnight(1) + timedelta(hours=13)
    dry = execution.dry_run(target, Settings(), Window(midnight(8), end))
    done = analyse({"leo_telemetry/window_end": end.isoformat(), "leo_telemetry/window_days": "7"})
    real = row_of(db, done).output_ref
    assert real is not None
    assert [b["dimension_key"] for b in real["bottlenecks"]] == ["A", "DESIGN"]
    for output_ref in (dry, real):
        for bottleneck in output_ref["bottlenecks"]:
            del bottleneck["improvement_id"]
    assert dry["p50_method"] == "histogram"
    assert dry == real


# Each check by itself


def judged(*rows: tuple[str, str, int, float | None, float | None, float, str | None]) -> list[DimensionResult]:
    """Make judged results: type, key, spans, observed P50, baseline, multiplier, outcome."""
    measured = DimensionResult("", "", 0, 1.0, 1.0, 1.0, 1.0, 1.0, None, "exact", baseline_source="configured")
    names = ("dimension_type", "dimension_key", "sample_count", "observed_p50_ms", "baseline_p50_ms", "multiplier")
    return [replace(measured, **dict(zip((*names, "outcome"), row, strict=True))) for row in rows]


def scanned(*rows: tuple[str, int, int]) -> list[SpanCount]:
    """Make what was scanned: span type, spans, spans with a duration."""
    return [SpanCount(kind, date(2026, 2, 9), n, timed) for kind, n, timed in rows]


GOOD = judged(("gate", "A", 10, 500.0, 100.0, 2.0, "bottleneck"), ("gate", "B", 3, 5.0, None, 2.0, "too_few"))


def test_the_check_of_measured_types_fails_for_a_type_that_has_spans_and_no_median():
    """Lost: a whole kind of work could drop out of the analysis unseen."""
    assert checks.unmeasured_types(scanned(("gate", 13, 13)), GOOD, []) == []
    assert checks.unmeasured_types(scanned(("gate", 13, 13), ("phase", 1, 1)), GOOD, []) == ["phase"]
    assert checks.unmeasured_types(scanned(("gate", 13, 13), ("phase", 1, 1)), GOOD, ["phase"]) == []
    assert checks.unmeasured_types(scanned(("phase", 1, 0), ("wait", 1, 1), ("execution", 1, 1)), GOOD, []) == []
    assert checks.unmeasured_types(scanned(("gate", 1, 1)), judged(), []) == ["gate"]


def test_the_check_of_thresholds_fails_for_a_bottleneck_that_is_none():
    """Lost: people would work on what is not slow."""
    assert checks.not_above_threshold(GOOD) == []
    for observed, baseline in ((200.0, 100.0), (1.0, 100.0), (float("nan"), 100.0), (200.0, None)):
        frame = judged(("gate", "A", 10, observed, baseline, 2.0, "bottleneck"))
        assert checks.not_above_threshold(frame) == ["gate:A"], (observed, baseline)
    assert checks.not_above_threshold(judged()) == []


def test_the_check_of_counts_fails_when_spans_are_lost_or_a_dimension_has_no_outcome():
    """Lost: half of the spans could vanish between scanning and judging."""
    assert checks.uncounted(scanned(("gate", 15, 13)), GOOD, []) == {}
    assert checks.uncounted(scanned(("gate", 14, 14)), GOOD, []) == {"gate": 1}
    assert checks.uncounted(scanned(("gate", 12, 12)), GOOD, []) == {}
    assert checks.uncounted(scanned(("phase", 2, 2)), GOOD, []) == {"phase": 2}
    assert checks.uncounted(scanned(("phase", 2, 2)), GOOD, ["phase"]) == {}
    assert checks.uncounted(scanned(("wait", 2, 2)), GOOD, []) == {}
    nameless = judged(("gate", "A", 10, 500.0, 100.0, 2.0, None))
    assert checks.uncounted(scanned(("gate", 10, 10)), nameless, []) != {}
    assert checks.uncounted(scanned(), judged(), []) == {}


def test_the_check_of_days_names_the_closed_days_that_have_no_spans():
    """Lost: collection could stop for days before anybody notices."""
    start = datetime.fromisoformat("2026-02-08T00:00:00+00:00")
    window = Window(start, start + 2 * DAY + timedelta(hours=5))
    assert checks.days_without_spans(scanned(("gate", 1, 1)), window) == ["2026-02-08"]
    assert checks.days_without_spans(scanned(), window) == ["2026-02-08", "2026-02-09"]


def test_clocks_are_off_when_children_lie_outside_their_parents_by_over_a_second(db: Database):
    """Lost: durations of machines whose clocks disagree would be believed."""
    parent, trace_id = new_id(), new_id()

    def child(offset_ms: int, duration: int | None) -> Any:
        at = NOON + timedelta(milliseconds=offset_ms)
        return span("gate", "A", duration, at=at, trace_id=trace_id, parent_span_id=parent)

    insert(db, [span("phase", "P", 10_000, at=NOON, trace_id=trace_id, span_id=parent)])
    insert(db, [child(0, 10_000), child(-1000, 5), child(10_000, 1000), child(0, None), span("gate", "A", 9)])
    assert span_totals.count_skewed(db, week()) == (0, 4)
    insert(db, [child(-1001, 5), child(10_000, 1001), child(50_000, None)])
    assert span_totals.count_skewed(db, week()) == (3, 7)


def test_a_row_of_p50s_has_the_columns_of_a_result_that_is_not_judged_yet():
    """Lost: a P90 that is judged as a P50, once somebody adds a column to one of the two."""
    assert [each.name for each in fields(DimensionResult)][: len(p50.COLUMNS)] == list(p50.COLUMNS)
    assert p50.frame([])["p50_ms"].dtype == "float64"
    assert p50.frame([])["sample_count"].dtype == "int64"
