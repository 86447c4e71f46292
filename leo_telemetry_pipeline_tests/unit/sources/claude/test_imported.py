"""Claude Code's telemetry from files: the same spans as from the receiver."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import bundled
from leo_telemetry_pipeline.sources.claude import imported as gathered
from leo_telemetry_pipeline.sources.files import reader
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.claude_sessions import sessions
from leo_telemetry_pipeline_tests.unit.sources.claude.played_sessions import PROMPT, REPORTED, counted, keys, made

SAMPLE = bundled("examples") / "data" / "claude_code_otlp_sample.jsonl"


def imported(path: Path) -> list[Span]:
    """Read a file as `leo-telemetry import` does."""
    found = list(reader.read(path))
    assert [item for item in found if not isinstance(item, Span)] == []
    return [item for item in found if isinstance(item, Span)]


def test_a_file_of_an_older_version_yields_six_spans_of_one_trace():
    """Lost: earlier exports, or the parents of their tools."""
    spans = imported(SAMPLE)
    known = {span.span_id: f"{span.span_type}:{span.span_name}" for span in spans}
    assert sorted((known[span.span_id], known.get(span.parent_span_id or "", "")) for span in spans) == [
        ("execution:claude_code.tool.execution", "tool:Bash"),
        (PROMPT, ""),
        ("llm:claude-opus-4-8[1m]", PROMPT),
        ("llm:claude-opus-4-8[1m]", PROMPT),
        ("tool:Bash", PROMPT),
        # A sibling of its tool, whose duration excludes it.
        ("wait:Bash", PROMPT),
    ]
    assert len({span.trace_id for span in spans}) == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("times", [1, 3])
def test_a_file_of_requests_in_any_order_yields_the_receiver_s_spans(tmp_path: Path, seed: int, times: int):
    """Lost: a session is stored twice, from the receiver and from a collector's log."""
    session = sessions()["continued"]
    lines = [json.dumps(post) for post in session.raw["otlp"] * times]
    random.Random(seed).shuffle(lines)
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(lines))
    assert keys(imported(path)).keys() == keys(made(session, session.otlp)).keys()


def test_a_file_that_does_not_fit_in_memory_is_read_session_by_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: a month of sessions, if one machine cannot hold all of them at once."""
    monkeypatch.setattr(gathered, "MOST_NOTES", 50)
    names = ("plain", "tools", "parallel", "skills")
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(json.dumps(post) for name in names for post in sessions()[name].raw["otlp"]))
    want = sum((Counter(REPORTED[name]) for name in names), Counter())
    assert counted(imported(path)) == want


def test_records_without_a_session_keep_their_own_ids(tmp_path: Path):
    """Lost: spans of a version or a proxy that omits the session."""
    session = sessions()["plain"]
    path = tmp_path / "requests.jsonl"
    text = "\n".join(json.dumps(post) for post in session.raw["otlp"])
    path.write_text(text.replace('"session.id"', '"session.was"'))
    spans = imported(path)
    assert Counter(span.span_type for span in spans) == {"handoff": 2, "llm": 2}
    assert {span.span_name for span in spans if span.span_type == "handoff"} == {"claude_code.interaction"}
