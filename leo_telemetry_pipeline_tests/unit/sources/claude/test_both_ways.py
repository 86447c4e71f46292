"""The same session by hooks, by OpenTelemetry and by both at once, as the real Claude Code 2.1.332 told it."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from leo_telemetry_pipeline.sources.claude import assembler, ids, otel_notes
from leo_telemetry_pipeline.sources.claude.evidence import GRACE_S, QUIET_S
from leo_telemetry_pipeline.sources.claude.running import open_operations
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.claude_sessions import arrival, sessions
from leo_telemetry_pipeline_tests.unit.sources.claude.played_sessions import (
    BASH,
    NOTIFICATION,
    PROMPT,
    TOLD,
    keys,
    made,
    of_sessions,
    scenario,
    told,
    without_logs,
)


@scenario
@pytest.mark.parametrize("way", ["hooks", "otlp", "both"])
def test_each_scenario_is_told_the_same_by_every_way(name: str, way: str):
    """Lost: what is slow depends on how somebody measures it, or is counted twice."""
    session = sessions()[name]
    assert told(made(session, getattr(session, way))) == Counter(TOLD[name])


@scenario
def test_both_ways_on_two_machines_are_one_row_per_span(name: str):
    """Lost: everything counts twice where the hooks run here and the receiver elsewhere."""
    session = sessions()[name]
    by_hooks, by_otlp = (keys(made(session, notes)) for notes in (session.hooks, session.otlp))
    assert set(by_hooks) <= set(by_otlp)
    for key, span in by_hooks.items():
        other = by_otlp[key]
        assert (span.span_type, span.span_name, span.status) == (other.span_type, other.span_name, other.status)
        assert span.parent_span_id == other.parent_span_id
        # A hook's process tells of a moment when it has started, which took up to 0.3 s where this was recorded.
        if span.duration_ms is not None and other.duration_ms is not None:
            assert abs(span.duration_ms - other.duration_ms) < 350


@scenario
def test_spans_that_are_made_as_notes_arrive_are_the_same(name: str):
    """Lost: spans of a session that goes on for hours, or the same ones a second time."""
    session = sessions()[name]
    at_once = keys(made(session, session.both))
    collected: list[Span] = []
    for number, notes in of_sessions(session, session.both).items():
        kept: list[dict] = []
        for note in notes:
            some, kept = assembler.spans([*kept, note], session=number, now_ns=arrival(note))
            collected += some
        later = arrival(notes[-1]) + 2 * QUIET_S * 10**9
        for now_ns, final in ((later, False), (0, True)):
            some, kept = assembler.spans(kept, session=number, final=final, now_ns=now_ns)
            collected += some
        assert kept == []
    ended = [span for span in collected if span.duration_ms is not None]
    assert keys(ended).keys() == {key for key, span in at_once.items() if span.duration_ms is not None}
    assert told(list(keys(ended).values())) == told([span for span in at_once.values() if span.status])


@scenario
@pytest.mark.parametrize("seed", range(3))
def test_records_in_any_order_and_three_times_make_the_same(name: str, seed: int):
    """Lost: spans whose logs come first, or whose parents come last, or that an exporter sends again."""
    session = sessions()[name]
    once = sorted(map(str, keys(made(session, session.otlp))))
    notes = session.otlp * 3
    random.Random(seed).shuffle(notes)
    assert sorted(map(str, keys(made(session, notes)))) == once


def test_every_span_has_its_place_in_the_tree():
    """Lost: which prompt or sub-agent the time belongs to."""
    for session in sessions().values():
        spans = made(session, session.both)
        known = keys(spans)
        for span in spans:
            above = span.parent_span_id
            is_root = span.span_type in ("handoff", "command") or span.span_name == NOTIFICATION.split(":")[1]
            is_outside = span.span_type == "hook" and above is None
            assert above is None if is_root or is_outside else (span.trace_id, above) in known, (session.name, span)
            assert span.attributes["service.name"] == "claude-code"
            assert span.attributes["session.id"]


def test_a_background_sub_agent_takes_its_own_time_and_not_that_of_its_launch():
    """Lost: 366 ms were stored for 4,567."""
    session = sessions()["background"]
    for notes in (session.hooks, session.otlp, without_logs(session)):
        [agent] = [span for span in made(session, notes) if span.span_type == "subagent"]
        assert agent.duration_ms is not None
        assert 1_500 < agent.duration_ms < 2_500


def test_without_logs_traces_keep_their_own_ids():
    """Lost: sessions whose logs nobody exports, or of versions that name no prompt."""
    session = sessions()["tools"]
    spans = made(session, without_logs(session))
    traces = {note["trace"] for note in session.otlp if note["trace"]}
    assert {span.trace_id.replace("-", "") for span in spans} == traces
    roots = {note["span"] for note in session.otlp if note.get("name") == "interaction"}
    assert {span.span_id for span in spans if span.span_type == "handoff"} == set(map(ids.uuid, roots))
    assert told(spans) == Counter(TOLD["tools"])


def test_without_logs_hooks_still_tell_which_prompt_a_trace_is():
    """Lost: everything twice where both are switched on and logs are not."""
    session = sessions()["background_traces_only"]
    assert told(made(session, session.both)) == told(made(session, session.hooks))
    assert set(keys(made(session, session.hooks))) <= set(keys(made(session, session.both)))


def test_without_logs_the_end_of_a_background_sub_agent_is_no_prompt():
    """Lost: without exported logs, each sub-agent in the background becomes a prompt."""
    session = sessions()["background_traces_only"]
    assert told(made(session, session.otlp)) == told(made(session, session.hooks))


def test_the_docs_name_the_newest_tested_version():
    """Lost: people trust what was never tried."""
    docs = (Path(__file__).resolve().parents[4] / "docs" / "claude-code.md").read_text(encoding="utf-8")
    assert ".".join(map(str, otel_notes.TESTED_VERSION)) in docs


def test_the_prompt_of_a_trace_is_waited_for_and_then_no_longer():
    """Lost: ids that depend on which request comes first; or spans that wait for logs that never come."""
    session = sessions()["plain"]
    notes = without_logs(session)
    last = max(map(arrival, notes))
    spans, kept = assembler.spans(notes, session=session.id, now_ns=last + (GRACE_S - 2) * 10**9)
    assert spans == []
    spans, kept = assembler.spans(kept, session=session.id, now_ns=last + (GRACE_S + 1) * 10**9)
    assert told(spans) == Counter(TOLD["plain"])
    # What comes too late changes no id.
    some, _ = assembler.spans([*kept, *session.otlp], session=session.id, now_ns=last + (GRACE_S + 2) * 10**9)
    assert {span.span_type for span in some} <= {"hook"}


def test_a_wait_for_a_person_lies_beside_its_tool():
    """Lost: a tool that waited an hour for a person would look slow, or its wait be taken off twice."""
    session = sessions()["waiting"]
    spans = {f"{span.span_type}:{span.span_name}": span for span in made(session, session.otlp)}
    wait, tool = spans["wait:Bash"], spans[BASH]
    assert wait.parent_span_id == tool.parent_span_id == spans[PROMPT].span_id
    assert wait.duration_ms is not None
    assert tool.duration_ms is not None
    assert wait.duration_ms > 900
    assert tool.duration_ms < 600
    assert wait.start_time_ms + wait.duration_ms <= tool.start_time_ms + 2


def test_requests_keep_what_tells_slow_from_fast():
    """Lost: whether a model was slow to begin or slow to write, and what it was asked to do."""
    session = sessions()["api_error"]
    requests = [span for span in made(session, session.otlp) if span.span_type == "llm"]
    assert {span.span_name for span in requests} == {"claude-opus-5-5"}
    assert [span.attributes["status_code"] for span in requests if span.status == "ERROR"] == [400]
    answered = [span.attributes for span in requests if span.status == "OK"]
    assert {"ttft_ms", "input_tokens", "output_tokens", "effort", "attempt", "stop_reason"} <= set(answered[0])
    assert max(attributes["attempt"] for attributes in answered) == 2


def test_a_prompt_that_was_interrupted_has_no_end_by_any_way():
    """Lost: prompts that a person stopped are judged as if they had been answered."""
    session = sessions()["interrupted"]
    for notes in (session.hooks, session.otlp, session.both):
        prompts = [span for span in made(session, notes) if span.span_type == "handoff"]
        assert [span.duration_ms is None for span in prompts] == [True, False]


def test_a_wait_whose_tool_never_ended_is_named_by_its_log_event():
    """Lost: waits for a tool that a killed session never told of, under a name that all MCP tools share."""
    spans = made(sessions()["killed"], sessions()["killed"].otlp)
    waits = {span.span_name for span in spans if span.span_type == "wait"}
    assert waits == {"Bash", "ToolSearch", "mcp__shop__lookup"}


def test_compaction_built_in_commands_and_hooks_are_told_apart():
    """Lost: which hook, command or compaction a session waits for."""
    session = sessions()["compaction"]
    spans = made(session, session.otlp)
    names = {f"{span.span_type}:{span.span_name}" for span in spans}
    assert {"command:/compact", "compaction:manual", "hook:PreToolUse:Bash", "hook:Stop"} <= names
    [compaction] = [span for span in spans if span.span_type == "compaction"]
    assert compaction.attributes["pre_tokens"] > 0


def test_no_word_of_a_conversation_gets_into_a_note_or_a_span():
    """Lost: prompts, commands, answers and paths in files and tables that many may read."""
    for session in sessions().values():
        raw = json.dumps(session.raw)
        kept = json.dumps(session.both) + str(
            [[*map(repr, (span.attributes,))] for span in made(session, session.both)]
        )
        for word in ("<<", "sleep", "/home/user", "exit 3", "as planned", "done", "go on", "<REDACTED>", "user.id"):
            assert word not in kept, (session.name, word)
        assert "/home/user" in raw


@pytest.mark.parametrize(
    ("version", "untested"),
    [("2.1.332", False), ("2.1.333", True), ("2.2.0", True), ("3.0.0-beta.1", True), ("1.0.99", False), ("dev", False)],
)
def test_a_version_newer_than_the_newest_tested_one_is_known_as_such(version: str, untested: bool):
    """Lost: nobody learns that a new version may tell something else by the same names."""
    assert otel_notes.is_untested(version) is untested


def test_what_a_session_does_now_is_known_from_its_notes():
    """Lost: `running` shows nothing of a prompt that has worked for an hour."""
    session = sessions()["killed"]
    for notes in (session.hooks, session.otlp, session.both):
        [running, *tools] = open_operations([{**note, "session": session.id} for note in notes])
        assert (running.span_type, running.span_name) == ("handoff", "claude_code.interaction")
        assert running.session == session.id
        assert {operation.span_type for operation in tools} <= {"tool"}
    for name in ("parallel", "continued", "blocking_stop", "agent_error"):
        session = sessions()[name]
        assert open_operations(session.hooks) == open_operations(session.otlp) == []
        some = [note for note in session.hooks if note["event"] not in ("Stop", "SessionEnd")][:3]
        assert [operation.span_type for operation in open_operations(some)][:1] == ["handoff"]


@pytest.mark.parametrize("name", ["background_shell", "api_error", "slash", "compaction"])
def test_a_hook_that_is_overtaken_by_the_export_still_says_what_a_prompt_is(name: str):
    """Lost: a prompt for each notification, where the machine is busy while a session ends."""
    session = sessions()[name]
    kept, spans = session.otlp + [note for note in session.hooks if note["event"] == "SubagentStart"], []
    kept.insert(0, {"event": "Made", "ids": [], "hooked": True})
    last = max(map(arrival, session.both))
    for more, now_ns in (([], last), (session.hooks, last + 10**9)):
        some, kept = assembler.spans([*kept, *more], session=session.id, now_ns=now_ns)
        spans += some
    spans += assembler.spans(kept, session=session.id, final=True)[0]
    assert told(list(keys(spans).values())) == told(made(session, session.hooks))
