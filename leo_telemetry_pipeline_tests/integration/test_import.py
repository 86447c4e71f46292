"""Importing files: every good line is stored, bad lines are quarantined, and a second import changes nothing."""

import gzip
import json
import time
from pathlib import Path

import pytest

from leo_telemetry_pipeline.cli.import_files import Options, _load_one, _report, store
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.redact import Policy
from leo_telemetry_pipeline.settings import Settings, bundled
from leo_telemetry_pipeline.sources.files import reader
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import execute, new_id

DATA = bundled("examples") / "data"


def row(**more: object) -> str:
    """Return a JSON line that is a span."""
    span = {"trace_id": new_id(), "span_id": new_id(), "span_type": "gate", "span_name": "G", "duration_ms": 5}
    return json.dumps(span | {"start_time_ms": 1_795_372_139_000} | more)


@pytest.mark.parametrize(
    ("name", "preset", "spans"),
    [
        ("claude_code_otlp_sample.jsonl", None, 6),
        ("nezha-2022-08-23/17_00_fault_free.csv.gz", "nezha", 22_969),
        ("nezha-2022-08-23/13_28.csv.gz", "nezha", 17_341),
    ],
)
def test_the_samples_are_stored_whole_and_once(db: Database, name: str, preset: str | None, spans: int) -> None:
    """Lost: real exports lose spans, or count twice if imported twice."""
    path = DATA / name
    first = store(db, reader.read(path, preset=preset), path)
    assert (first.read, first.new, first.bad) == (spans, spans, [])
    assert store(db, reader.read(path, preset=preset), path).new == 0
    assert db.rows("SELECT count(*) FROM workflow_trace_log") == [(spans,)]


def test_a_bad_line_is_quarantined_with_file_line_and_reason_and_the_others_are_stored(
    db: Database, tmp_path: Path
) -> None:
    """Lost: one bad line hides a day of good ones, or nobody learns which line it was."""
    path = tmp_path / "spans.jsonl.gz"
    lines = [row(), "{not json", row(duration_ms=-1), row(attributes={"nul": "a\x00b", "lone": "\ud800"})]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    for _ in range(2):
        store(db, reader.read(path), path)
    assert db.rows("SELECT count(*) FROM workflow_trace_log") == [(2,)]
    aside = db.rows("SELECT source, line, reason, content FROM telemetry_quarantine ORDER BY line")
    assert [(source, line) for source, line, _, _ in aside] == [(str(path), 2), (str(path), 3)]
    assert "duration_ms" in aside[1][2]
    assert aside[0][3] == "[not kept]"
    assert '"duration_ms": -1' in aside[1][3]


def test_the_older_leo_shape_is_measured_under_its_real_names(db: Database, tmp_path: Path) -> None:
    """Lost: every gate of an existing LEO engine is one dimension, gate:gate.execute."""
    path = tmp_path / "leo.jsonl"
    older = [
        row(span_name="gate.execute", gate_name="GATE_PRD_REQUIRED"),
        row(span_type="subagent", span_name="subagent.execute", subagent_name="DESIGN"),
        row(span_type="workflow", span_name="workflow.execute", attributes={"handoff_type": "LEAD-TO-PLAN"}),
        row(span_type="phase", span_name="step.setup", phase="PLAN"),
    ]
    path.write_text("\n".join(older))
    assert store(db, reader.read(path), path).new == 4
    kept = db.rows("SELECT span_type, coalesce(gate_name, subagent_name, phase) FROM workflow_trace_log ORDER BY 1")
    assert kept == [("gate", "GATE_PRD_REQUIRED"), ("phase", "PLAN"), ("subagent", "DESIGN"), ("workflow", None)]


def test_spans_that_the_table_refuses_are_not_reported_as_stored_already(
    db: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: nobody looks for missing spans that are reported as stored."""
    execute(db, "ALTER TABLE workflow_trace_log ADD CONSTRAINT no_poison CHECK (span_name <> 'poison')")
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join([row(), row(span_name="poison"), "{not json"]))
    _report(path, store(db, reader.read(path), path))
    said = capsys.readouterr()
    assert (
        said.out
        == f"{path}: 1 span(s) stored, 2 bad line(s) quarantined; spans of 2026-11-22\n  gate 2: G 1, poison 1\n"
    )
    assert "line 3" in said.err
    assert "... and 1 more, all in telemetry_quarantine" in said.err


def test_a_file_whose_spans_are_all_refused_by_the_table_is_a_failure(db: Database, tmp_path: Path) -> None:
    """Lost: a nightly import stores nothing and succeeds every night."""
    execute(db, "ALTER TABLE workflow_trace_log ADD CONSTRAINT no_poison CHECK (span_name <> 'poison')")
    settings = Settings()
    asked = Options(None, None, "", False, settings, Policy(settings.keep_keys, settings.keep_identity))
    path = tmp_path / "spans.jsonl"
    now_ms = round(time.time() * 1000)
    path.write_text("\n".join([row(span_name="poison", start_time_ms=now_ms), "{not json"]))
    with pytest.raises(UserError, match="rejected all") as error:
        _load_one(db, str(path), asked)
    assert error.value.exit_code == 1
    path.write_text("\n".join([row(span_name="poison", start_time_ms=now_ms), row(start_time_ms=now_ms)]))
    _load_one(db, str(path), asked)
    assert db.rows("SELECT count(*) FROM workflow_trace_log") == [(1,)]
