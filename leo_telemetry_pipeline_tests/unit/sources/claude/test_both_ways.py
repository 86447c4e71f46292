"""Sessions of Claude Code 2.1.332, recorded by hooks, by OpenTelemetry and by both, yield the same spans."""

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
    REPORTED,
    counted,
    keys,
    made,
    of_sessions,
    scenario,
    without_logs,
)


@scenario
@pytest.mark.parametrize("way", ["hooks", "otlp", "both"])
def test_all_sources_report_a_scenario_equally(name: str, way: str):
    """Lost: the result depends on the way of measuring, or spans are counted twice."""
    session = sessions()[name]
    assert counted(made(session, getattr(session, way))) == Counter(REPORTED[name])


@scenario
def test_hooks_and_receiver_on_two_machines_yield_one_row_per_span(name: str):
    """Lost: everything is counted twice if hooks and receiver run on different machines."""
    session = sessions()[name]
    by_hooks, by_otlp = (keys(made(session, notes)) for notes in (session.hooks, session.otlp))
    assert set(by_hooks) <= set(by_otlp)
    for key, span in by_hooks.items():
        other = by_otlp[key]
        assert (span.span_type, span.span_name, span.status) == (other.span_type, other.span_name, other.status)
        assert span.parent_span_id == other.parent_span_id
        # A hook's time is that of its process's start, up to 0.3 s later in these recordings.
        if span.duration_ms is not None and other.duration_ms is not None:
            assert abs(span.duration_ms - other.duration_ms) < 350


@scenario
def test_spans_built_as_notes_arrive_are_the_same(name: str):
    """Lost: spans of a session that lasts for hours are missing, or are stored twice."""
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
    assert counted(list(keys(ended).values())) == counted([span for span in at_once.values() if span.status])


@scenario
@pytest.mark.parametrize("seed", range(3))
def test_the_order_and_repetition_of_records_do_not_matter(name: str, seed: int):
    """Lost: spans whose logs arrive first or whose parents arrive last, or that an exporter sends again."""
    session = sessions()[name]
    once = sorted(map(str, keys(made(session, session.otlp))))
    notes = session.otlp * 3
    random.Random(seed).shuffle(notes)
    assert sorted(map(str, keys(made(session, notes)))) == once


def test_every_span_has_its_place_in_the_tree():
    """Lost: nobody sees which prompt or sub-agent took the time."""
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


def test_a_background_sub_agent_has_its_own_duration_not_that_of_its_launch():
    """Lost: a background sub-agent seems to end as soon as it is launched."""
    session = sessions()["background"]
    for notes in (session.hooks, session.otlp, without_logs(session)):
        [agent] = [span for span in made(session, notes) if span.span_type == "subagent"]
        assert agent.duration_ms is not None
        assert 1_500 < agent.duration_ms < 2_500


def test_traces_keep_their_own_ids_without_logs():
    """Lost: sessions without exported logs, or of versions without prompt ids."""
    session = sessions()["tools"]
    spans = made(session, without_logs(session))
    traces = {note["trace"] for note in session.otlp if note["trace"]}
    assert {span.trace_id.replace("-", "") for span in spans} == traces
    roots = {note["span"] for note in session.otlp if note.get("name") == "interaction"}
    assert {span.span_id for span in spans if span.span_type == "handoff"} == set(map(ids.uuid, roots))
    assert counted(spans) == Counter(REPORTED["tools"])


def test_hooks_identify_the_prompt_of_a_trace_without_logs():
    """Lost: everything is counted twice with hooks and traces but without logs."""
    session = sessions()["background_traces_only"]
    assert counted(made(session, session.both)) == counted(made(session, session.hooks))
    assert set(keys(made(session, session.hooks))) <= set(keys(made(session, session.both)))


def test_the_end_of_a_background_sub_agent_is_not_a_prompt_without_logs():
    """Lost: without exported logs, each background sub-agent becomes a prompt."""
    session = sessions()["background_traces_only"]
    assert counted(made(session, session.otlp)) == counted(made(session, session.hooks))


def test_the_docs_name_the_newest_tested_version():
    """Lost: people rely on an untested version."""
    docs = (Path(__file__).resolve().parents[4] / "docs" / "claude-code.md").read_text(encoding="utf-8")
    assert ".".join(map(str, otel_notes.TESTED_VERSION)) in docs


def test_the_prompt_of_a_trace_is_awaited_for_a_limited_time():
    """Lost: ids depend on the order of requests, or spans wait forever for missing logs."""
    session = sessions()["plain"]
    notes = without_logs(session)
    last = max(map(arrival, notes))
    spans, kept = assembler.spans(notes, session=session.id, now_ns=last + (GRACE_S - 2) * 10**9)
    assert spans == []
    spans, kept = assembler.spans(kept, session=session.id, now_ns=last + (GRACE_S + 1) * 10**9)
    assert counted(spans) == Counter(REPORTED["plain"])
    # Late records change no id.
    some, _ = assembler.spans([*kept, *session.otlp], session=session.id, now_ns=last + (GRACE_S + 2) * 10**9)
    assert {span.span_type for span in some} <= {"hook"}


def test_a_wait_for_a_person_is_a_sibling_of_its_tool():
    """Lost: a tool that waited an hour for a person looks slow, or its wait is subtracted twice."""
    session = sessions()["waiting"]
    spans = {f"{span.span_type}:{span.span_name}": span for span in made(session, session.otlp)}
    wait, tool = spans["wait:Bash"], spans[BASH]
    assert wait.parent_span_id == tool.parent_span_id == spans[PROMPT].span_id
    assert wait.duration_ms is not None
    assert tool.duration_ms is not None
    assert wait.duration_ms > 900
    assert tool.duration_ms < 600
    assert wait.start_time_ms + wait.duration_ms <= tool.start_time_ms + 2


def test_requests_keep_the_attributes_that_explain_their_duration():
    """Lost: nobody sees whether a model started late or wrote slowly, or how large its task was."""
    session = sessions()["api_error"]
    requests = [span for span in made(session, session.otlp) if span.span_type == "llm"]
    assert {span.span_name for span in requests} == {"claude-opus-5-5"}
    assert [span.attributes["status_code"] for span in requests if span.status == "ERROR"] == [400]
    answered = [span.attributes for span in requests if span.status == "OK"]
    assert {"ttft_ms", "input_tokens", "output_tokens", "effort", "attempt", "stop_reason"} <= set(answered[0])
    assert max(attributes["attempt"] for attributes in answered) == 2


def test_an_interrupted_prompt_has_no_end_from_any_source():
    """Lost: interrupted prompts are judged as if they had been answered."""
    session = sessions()["interrupted"]
    for notes in (session.hooks, session.otlp, session.both):
        prompts = [span for span in made(session, notes) if span.span_type == "handoff"]
        assert [span.duration_ms is None for span in prompts] == [True, False]


def test_a_wait_whose_tool_never_ended_is_named_by_its_log_event():
    """Lost: waits of a killed session are stored under a name that all MCP tools share."""
    spans = made(sessions()["killed"], sessions()["killed"].otlp)
    waits = {span.span_name for span in spans if span.span_type == "wait"}
    assert waits == {"Bash", "ToolSearch", "mcp__shop__lookup"}


def test_compactions_built_in_commands_and_hooks_are_distinguished():
    """Lost: nobody sees which hook, command or compaction a session waits for."""
    session = sessions()["compaction"]
    spans = made(session, session.otlp)
    names = {f"{span.span_type}:{span.span_name}" for span in spans}
    assert {"command:/compact", "compaction:manual", "hook:PreToolUse:Bash", "hook:Stop"} <= names
    [compaction] = [span for span in spans if span.span_type == "compaction"]
    assert compaction.attributes["pre_tokens"] > 0


def test_notes_and_spans_contain_no_words_of_a_conversation():
    """Lost: prompts, commands, answers and paths are in files and tables that many may read."""
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
def test_versions_newer_than_the_tested_one_are_recognized(version: str, untested: bool):
    """Lost: the hint that a new version may use the same names for other things."""
    assert otel_notes.is_untested(version) is untested


def test_current_operations_of_a_session_are_derived_from_its_notes():
    """Lost: `running` does not show a prompt that has been working for an hour."""
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
def test_a_late_hook_still_determines_the_kind_of_a_prompt(name: str):
    """Lost: one prompt per notification, if the machine is busy while a session ends."""
    session = sessions()[name]
    kept, spans = session.otlp + [note for note in session.hooks if note["event"] == "SubagentStart"], []
    kept.insert(0, {"event": "Made", "ids": [], "hooked": True})
    last = max(map(arrival, session.both))
    for more, now_ns in (([], last), (session.hooks, last + 10**9)):
        some, kept = assembler.spans([*kept, *more], session=session.id, now_ns=now_ns)
        spans += some
    spans += assembler.spans(kept, session=session.id, final=True)[0]
    assert counted(list(keys(spans).values())) == counted(made(session, session.hooks))


@pytest.mark.parametrize("is_notified", [True, False])
def test_a_notification_is_distinguished_from_a_prompt_on_a_machine_that_is_slower_than_a_person(is_notified: bool):
    """Lost: on a busy machine notifications count as a person's prompts, or the next prompt counts as one."""
    session = sessions()["background"]
    turns = {note["sequence"]: note for note in session.otlp if note["name"] == "interaction"}
    delayed = [note for note in session.otlp if note.get("start_ns", note.get("at_ns")) >= turns[2]["start_ns"]]
    missing = [] if is_notified else [note for note in delayed if note["trace"] == turns[2]["trace"]]
    times = {"start_ns", "end_ns", "at_ns", "arrived_ns"}
    notes = [note for note in session.otlp if note not in delayed]
    notes += [
        note | {time: note[time] + 5_000_000_000 for time in times & note.keys()}
        for note in delayed
        if note not in missing
    ]
    spans = counted(made(session, notes))
    assert (spans[PROMPT], spans[NOTIFICATION]) == (2, int(is_notified))
