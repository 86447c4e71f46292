"""The existing LEO engine, whose plain INSERTs have an older shape, pointed at our database."""

import json
from datetime import timedelta

import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.days import milliseconds
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import analyse_queued, configure, execute, midnight, new_id

# The columns that the engine sends, in its order, also for missing values.
COLUMNS = (
    *("trace_id", "span_id", "parent_span_id", "workflow_execution_id", "sd_id", "phase", "gate_name"),
    *("subagent_name", "span_name", "span_type", "start_time_ms", "end_time_ms", "duration_ms", "queue_wait_ms"),
    "attributes",
)


def as_the_engine_does(db: Database, **values: object) -> None:
    start = milliseconds(midnight(2) + timedelta(hours=12))
    row = {"trace_id": new_id(), "span_id": new_id(), "start_time_ms": start, "attributes": {}} | values
    if "end_time_ms" not in row:
        row |= {"end_time_ms": start + 4_000, "duration_ms": 4_000}
    ordered = [json.dumps(row[name]) if name == "attributes" else row.get(name) for name in COLUMNS]
    execute(
        db,
        f"INSERT INTO workflow_trace_log ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})",
        ordered,
    )


def a_handoff(db: Database) -> None:
    trace_id, root = new_id(), new_id()
    common = {"trace_id": trace_id, "workflow_execution_id": "LEAD-TO-PLAN-1", "sd_id": "SD-LEO-ENH-001"}
    as_the_engine_does(
        db,
        **common,
        span_id=root,
        span_type="workflow",
        span_name="workflow.execute",
        attributes={"span_type": "workflow", "handoff_type": "LEAD-TO-PLAN", "telemetry_version": "1"},
    )
    as_the_engine_does(
        db,
        **common,
        parent_span_id=root,
        span_type="phase",
        span_name="step.setup",
        attributes={"span_type": "phase", "step_name": "setup"},
    )
    as_the_engine_does(
        db,
        **common,
        parent_span_id=root,
        span_type="gate",
        span_name="gate.execute",
        gate_name="GATE_PRD_REQUIRED",
        attributes={"span_type": "gate", "gate_name": "GATE_PRD_REQUIRED", "result": "pass"},
    )
    # A step without an end, because its process ended first.
    as_the_engine_does(
        db, **common, parent_span_id=root, span_type="phase", span_name="step.setup", end_time_ms=None, duration_ms=None
    )


@pytest.mark.usefixtures("settings")
def test_its_rows_are_found_under_the_right_type_and_name(db: Database) -> None:
    """Lost: users of that engine would have to change it or convert its data before anything is found."""
    for _ in range(10):
        a_handoff(db)
    expected = {("handoff", "LEAD-TO-PLAN"), ("gate", "GATE_PRD_REQUIRED"), ("phase", "setup")}
    for dimension_type, key in expected:
        configure(db, dimension_type, key, 1_000, 2.0)
    run = analyse_queued(db)
    assert run.status == "SUCCEEDED"
    assert run.output_ref is not None
    found = {(each["dimension_type"], each["dimension_key"]) for each in run.output_ref["bottlenecks"]}
    assert found == expected
    assert {each["sample_count"] for each in run.output_ref["bottlenecks"]} == {10}


def test_a_step_without_a_name_of_its_own_is_named_by_its_span(db: Database, settings: Settings) -> None:
    """Lost: steps that leave the name out would all be one dimension, or none."""
    for _ in range(10):
        as_the_engine_does(db, span_type="phase", span_name="step.loadSD", phase="LEAD")
    configure(db, "phase", "loadSD", 1_000, 2.0)
    run = analyse_queued(db)
    assert run.output_ref is not None
    assert [each["dimension_key"] for each in run.output_ref["bottlenecks"]] == ["loadSD"]
