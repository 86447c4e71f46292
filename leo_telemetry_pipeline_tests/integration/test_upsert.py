"""Starts and ends of spans from files, OTLP and plain SQL, through to the findings of an analysis."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import accept_upsert
from leo_telemetry_pipeline.cli import commands
from leo_telemetry_pipeline.store.days import milliseconds
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import analyse_queued, execute, midnight
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = pytest.mark.usefixtures("settings")

CASES = Path(__file__).resolve().parents[1] / "cases"

# The LEO engine inserts a row when work begins, and updates it when it ends.
BEGIN = """
INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, status)
SELECT gen_random_uuid(), gen_random_uuid(), 'gate', 'GATE_LATE_END',
       (extract(epoch FROM date_trunc('day', now()) - make_interval(days => d)) * 1000)::bigint + i * 60000, 'RUNNING'
FROM generate_series(1, 40) AS d, generate_series(1, 20) AS i
"""
TOOK = "CASE WHEN start_time_ms >= %(slow_from)s THEN 20000 ELSE 4000 END"
END = f"""
UPDATE workflow_trace_log SET status = 'OK', duration_ms = {TOOK}, end_time_ms = start_time_ms + {TOOK}
WHERE span_name = 'GATE_LATE_END'
"""


def load(*names: str) -> str:
    done = CliRunner().invoke(commands.cli, ["import", *(str(CASES / name) for name in names)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    "names",
    [["upsert.jsonl"], ["open1.json", "open2.json"], ["open2.json", "open1.json"], ["upsert.jsonl"] * 3],
    ids=str,
)
def test_a_span_that_is_imported_when_it_begins_and_when_it_ends_has_its_end(db: Database, names: list[str]):
    """Lost: a user whose source sends spans twice sees no durations."""
    load(*names)
    [(end, duration, status)] = db.rows("SELECT end_time_ms, duration_ms, status FROM workflow_trace_log")
    assert end is not None
    assert duration is not None
    assert status != "RUNNING"


def test_an_import_reports_how_many_open_rows_it_completed(db: Database):
    """Lost: an import that completed a hundred rows looks like one that did nothing."""
    assert "1 span(s) stored;" in load("open1.json")
    assert "0 span(s) stored, 1 completed;" in load("open2.json")
    assert "0 span(s) stored, 1 were already stored;" in load("open2.json")
    assert "1 span(s) stored, 1 completed;" in load("upsert.jsonl")


def test_a_slowdown_is_found_although_every_end_came_by_update_after_the_count(db: Database):
    """Lost: slowdowns of an engine that inserts at the start and updates at the end are never found."""
    execute(db, BEGIN)
    first = analyse_queued(db)
    assert (first.status, first.output_ref and first.output_ref["bottlenecks"]) == ("SUCCEEDED", [])
    execute(db, END, {"slow_from": milliseconds(midnight(7))})
    second = analyse_queued(db)
    assert second.output_ref is not None
    found = [(each["dimension_type"], each["dimension_key"]) for each in second.output_ref["bottlenecks"]]
    assert found == [("gate", "GATE_LATE_END")]
    [each] = second.output_ref["bottlenecks"]
    assert each["observed_p50_ms"] / each["baseline_p50_ms"] == pytest.approx(5, rel=0.02)
    printed = CliRunner().invoke(commands.cli, ["findings"], catch_exceptions=False).output
    assert "GATE_LATE_END" in printed


@pytest.mark.only_on(EMBEDDED, reason="the test starts its own servers")
def test_starts_and_ends_from_every_source_give_what_complete_rows_give(db: Database):
    """Lost: trends, findings or history would depend on how and in which order spans arrived."""
    [figure] = accept_upsert.run("interleaved", 11, full=False)
    assert figure.held, figure.measured
