"""``leo-telemetry trace`` in this process, with a real database."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import traces
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import analyse, configure, execute, insert, midnight, new_id, one, span
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE
from leo_telemetry_pipeline_tests.in_process import refused, say
from leo_telemetry_pipeline_tests.trace_examples import GATE, HANDOFF, TOOL, by_id, handoff

pytestmark = pytest.mark.usefixtures("settings")


def test_it_prints_the_tree_with_bars(db: Database):
    """Lost: on a machine without a browser, nobody sees what happened in a trace."""
    spans = handoff()
    insert(db, spans)
    printed = say("trace", spans[0].trace_id[:9])
    assert f"handoff:{HANDOFF} took 3.5s" in printed
    assert "SD SD-7, project shop" in printed
    assert "2.5s working, 1s waiting for a person" in printed
    rows = [line.rpartition("|") for line in printed.splitlines() if line.startswith("|")]
    assert [" ".join(text.split()) for _, _, text in rows] == [
        f"3.5s 500ms handoff:{HANDOFF}",
        f"2s 1.3s gate:{GATE}",
        f"735ms 735ms 30 x tool:{TOOL}, longest 39ms",
        "1s 1s wait:APPROVAL",
    ]
    assert [(bar.count("="), bar.count(".")) for bar, _, _ in rows] == [(40, 0), (23, 0), (17, 0), (0, 12)]
    assert f"--under {spans[1].span_id}" in printed


def test_it_shows_one_subtree(db: Database):
    """Lost: what is far down in a large trace is out of reach."""
    spans = handoff()
    insert(db, spans)
    printed = say("trace", spans[0].trace_id, "--under", spans[1].span_id.upper())
    assert f"gate:{GATE}" in printed
    assert "wait:APPROVAL" not in printed
    assert "has no span" in refused("trace", spans[0].trace_id, "--under", new_id())


def test_it_compares_with_a_typical_trace(db: Database):
    """Lost: a reader does not know which step takes longer than it should."""
    configure(db, "handoff", HANDOFF, 3_500, 1.5)
    usual = [handoff(at=midnight(3) + timedelta(minutes=number)) for number in range(20)]
    slow = handoff(8_000, at=midnight(2))
    insert(db, [each for spans in [*usual, slow] for each in spans])
    analyse({"leo_telemetry/window_end": midnight().isoformat()})
    printed = say("trace", slow[0].trace_id)
    assert f"handoff:{HANDOFF} normally takes 3.5s, such as trace" in printed
    assert f"7.3s  1.3s     +6s    gate:{GATE}" in printed


def test_a_file_of_otlp_gives_the_same_spans_when_it_is_imported(db: Database, tmp_path: Path):
    """Lost: a trace that is handed to someone else is another one there."""
    spans = handoff()
    spans[1].attributes = {"service.name": "web", "sql": [1, {"a": None}], "ok": True, "x": 1.0}
    spans[1].duration_rest_us, spans[1].duration_ms = 250, 1_999
    spans[2].end_time_ms = None
    spans[3].end_time_ms = spans[3].duration_ms = None
    spans[4].phase, spans[4].gate_name, spans[4].workflow_execution_id = "PLAN", "G", "w"
    insert(db, spans)
    before = list(traces.all_spans(db, spans[0].trace_id))
    assert before == by_id(spans)
    file = tmp_path / "trace.jsonl"
    say("trace", spans[0].trace_id, "--format", "otlp", "--output", str(file))
    assert "Deleted 33 span(s)" in say("purge", "--trace", spans[0].trace_id, "--yes")
    assert "33 span(s) stored" in say("import", str(file))
    assert list(traces.all_spans(db, spans[0].trace_id)) == before
    assert "33 were already stored" in say("import", str(file))


def test_a_file_for_perfetto_is_one_json_document_with_all_spans(db: Database, tmp_path: Path):
    """Lost: the viewer refuses the file, or shows half of the trace."""
    spans = handoff()
    insert(db, spans)
    file = tmp_path / "trace.json"
    say("trace", spans[0].trace_id, "--format", "perfetto", "--output", str(file))
    written = json.loads(file.read_text())
    drawn = [event for event in written["traceEvents"] if event["ph"] == "X"]
    assert {event["args"]["span_id"] for event in drawn} == {each.span_id for each in spans}
    [root] = [event for event in drawn if event["name"] == HANDOFF]
    assert root["args"]["attributes"] == {"sd_type": "feature"}
    assert (root["ts"], root["dur"]) == (spans[0].start_time_ms * 1000, 3_500_000)
    assert json.loads(say("trace", spans[0].trace_id, "--format", "perfetto")) == written


def test_an_id_that_leads_nowhere_is_one_line_with_a_remedy(db: Database):
    """Lost: a mistyped id ends in a traceback, or in another trace."""
    one_trace, other = (span(trace_id=f"aaaa0000-0000-4000-8000-00000000000{number}") for number in (1, 2))
    insert(db, [one_trace, other])
    assert "give more digits" in refused("trace", "aaaa")
    assert "gate:GATE" in say("trace", one_trace.trace_id.replace("-", ""))
    assert "There is no trace" in refused("trace", new_id())
    for word in ("aaa", "", "x", "a" * 33, "é", *HOSTILE):
        message = refused("trace", "--", word.replace("\0", "0"))
        assert "is not a trace id" in message
        assert message.isprintable()


def test_a_file_that_cannot_be_written_is_one_line(db: Database, tmp_path: Path):
    """Lost: a full disk looks like an error of ours."""
    spans = handoff()
    insert(db, spans)
    with pytest.raises(UserError, match="cannot be written"):
        say("trace", spans[0].trace_id, "--format", "otlp", "--output", str(tmp_path))


def test_hostile_names_do_not_reach_the_terminal(db: Database):
    """Lost: a sender of spans writes escape sequences into the readers' terminals."""
    root = span("handoff", "\x1b[31mred\u202e", 1000, sd_id="\x1b]0;x\x07", project="\u2066p")
    names = [name for name in HOSTILE if name.isprintable() and name]
    below = [span("gate", name, 5, trace_id=root.trace_id, parent_span_id=root.span_id) for name in names]
    insert(db, [root, *below])
    printed = say("trace", root.trace_id)
    assert all(line.isprintable() for line in printed.splitlines())


def test_rows_written_by_sql_are_shown(db: Database):
    """Lost: one odd row, and its trace cannot be looked at."""
    trace_id = new_id()
    execute(
        db,
        "INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, attributes)"
        " VALUES (%s, gen_random_uuid(), 'phase', 'step.verify', 1, '[1]'),"
        " (%s, gen_random_uuid(), 'workflow', 'workflow.execute', 0, '{\"handoff_type\": \"LEAD-TO-PLAN\"}')",
        (trace_id, trace_id),
    )
    printed = say("trace", trace_id)
    assert "handoff:LEAD-TO-PLAN" in printed
    assert "phase:verify" in printed
    for as_format in ("otlp", "perfetto"):
        assert say("trace", trace_id, "--format", as_format)
    assert one(db, "SELECT count(*) FROM workflow_trace_log") == 2
