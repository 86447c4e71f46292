"""Sessions of Claude Code 2.1.332, recorded by hooks, by OpenTelemetry and by both, yield the same spans."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.settings import bundled
from leo_telemetry_pipeline.sources.claude import assembler, ids, otel_notes
from leo_telemetry_pipeline.sources.claude import imported as gathered
from leo_telemetry_pipeline.sources.claude.evidence import GRACE_S, QUIET_S
from leo_telemetry_pipeline.sources.claude.running import open_operations
from leo_telemetry_pipeline.sources.files import reader
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.claude_sessions import Session, arrival, sessions

# Reported by both. Requests, waits, executions, hooks and built-in commands are reported only by OpenTelemetry.
SHARED = ("handoff", "tool", "skill", "mcp_server", "subagent", "operation")
PROMPT, NOTIFICATION = "handoff:claude_code.interaction", "operation:claude_code.task_notification"
BASH, LOOKUP, SEARCH, READ = "tool:Bash", "tool:mcp__shop__lookup", "tool:ToolSearch", "tool:Read"
SHOP = "mcp_server:shop"
# Each scenario with all spans that both sources report; failures are marked.
TOLD: dict[str, dict[str, int]] = {
    "plain": {PROMPT: 2},
    "tools": {PROMPT: 3, BASH: 3, READ: 2, BASH + " ERROR": 1, READ + " ERROR": 1},
    "mcp": {PROMPT: 1, SEARCH: 1, LOOKUP: 1, SHOP: 1, LOOKUP + " ERROR": 1, SHOP + " ERROR": 1},
    "skills": {PROMPT: 1, "skill:tidy": 1, BASH: 1},
    "slash": {"handoff:/deploy": 1, "handoff:/tidy": 1, BASH: 1},
    "foreground": {PROMPT: 1, "subagent:reader": 1, BASH: 1},
    "background": {PROMPT: 2, "subagent:reader": 1, BASH: 1, NOTIFICATION: 1},
    "parallel": {PROMPT: 1, "subagent:reader": 2, "subagent:writer": 1, BASH: 4},
    "nested": {PROMPT: 1, "subagent:general-purpose": 1, "subagent:writer": 1, BASH: 1},
    "continued": {PROMPT: 1, "subagent:reader": 2, BASH: 2, SEARCH: 1, "tool:SendMessage": 1, NOTIFICATION: 1},
    "agent_error": {PROMPT: 1, "subagent:reader ERROR": 1, BASH: 2},
    "unknown_agent": {PROMPT: 1, "subagent:nobody ERROR": 1, BASH: 1},
    "api_error": {PROMPT: 2, PROMPT + " ERROR": 1, BASH: 1},
    "refused": {PROMPT: 2},
    "waiting": {PROMPT: 1, BASH: 1},
    "compaction": {PROMPT: 2, BASH: 1},
    "blocking_stop": {PROMPT: 1, BASH: 1},
    "killed": {PROMPT: 1, PROMPT + " open": 1, BASH: 2, SEARCH: 1},
    "notified_early": {PROMPT: 1, "subagent:writer": 1, BASH: 3},
    "two_at_once": {PROMPT: 2, BASH: 2},
    "queued": {PROMPT: 1, BASH: 2},
}
scenario = pytest.mark.parametrize("name", TOLD)


def made(session: Session, notes: list[dict]) -> list[Span]:
    """Build all spans of notes at once."""
    spans = []
    for number, own in of_sessions(session, notes).items():
        some, left = assembler.spans(own, session=number, final=True)
        assert left == []
        spans += some
    return spans


def of_sessions(session: Session, notes: list[dict]) -> dict[str, list[dict]]:
    """Return notes by session: a scenario may have two at once, which the recorded hooks distinguish by prompt."""
    owner = {note["prompt_id"]: note["session"] for note in session.otlp if "prompt_id" in note}
    found: dict[str, list[dict]] = {}
    for note in notes:
        number = note.get("session") or owner.get(note.get("prompt_id", ""), session.id)
        found.setdefault(number, []).append(note)
    return found


def told(spans: list[Span]) -> Counter[str]:
    """Count spans by type, name and failure."""
    shared = [span for span in spans if span.span_type in SHARED]
    ends = {"ERROR": " ERROR", "OK": "", None: " open"}
    return Counter(f"{span.span_type}:{span.span_name}{ends[span.status]}" for span in shared)


def keys(spans: list[Span]) -> dict[tuple[str, str], Span]:
    """Return spans by the key under which the store identifies them."""
    found = {(span.trace_id, span.span_id): span for span in spans}
    assert len(found) == len(spans)
    return found


@scenario
@pytest.mark.parametrize("way", ["hooks", "otlp", "both"])
def test_all_sources_report_a_scenario_equally(name: str, way: str):
    """Lost: the result depends on the way of measuring, or spans are counted twice."""
    session = sessions()[name]
    assert told(made(session, getattr(session, way))) == Counter(TOLD[name])


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
    """Lost: spans of a session that lasts for hours, or the same ones twice."""
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
def test_the_order_and_repetition_of_records_do_not_matter(name: str, seed: int):
    """Lost: spans whose logs arrive first or whose parents arrive last, or that an exporter sends again."""
    session = sessions()[name]
    once = sorted(map(str, keys(made(session, session.otlp))))
    notes = session.otlp * 3
    random.Random(seed).shuffle(notes)
    assert sorted(map(str, keys(made(session, notes)))) == once


def test_every_span_has_its_place_in_the_tree():
    """Lost: which prompt or sub-agent took the time."""
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
    """Lost: 366 ms are stored instead of 4,567."""
    session = sessions()["background"]
    for notes in (session.hooks, session.otlp, without_logs(session)):
        [agent] = [span for span in made(session, notes) if span.span_type == "subagent"]
        assert agent.duration_ms is not None
        assert 1_500 < agent.duration_ms < 2_500


def without_logs(session: Session) -> list[dict]:
    """Return the notes of a session without exported logs."""
    return [note for note in session.otlp if note["event"] == otel_notes.SPAN]


def test_traces_keep_their_own_ids_without_logs():
    """Lost: sessions without exported logs, or of versions without prompt ids."""
    session = sessions()["tools"]
    spans = made(session, without_logs(session))
    traces = {note["trace"] for note in session.otlp if note["trace"]}
    assert {span.trace_id.replace("-", "") for span in spans} == traces
    roots = {note["span"] for note in session.otlp if note.get("name") == "interaction"}
    assert {span.span_id for span in spans if span.span_type == "handoff"} == set(map(ids.uuid, roots))
    assert told(spans) == Counter(TOLD["tools"])


def test_hooks_identify_the_prompt_of_a_trace_without_logs():
    """Lost: everything is counted twice with hooks and traces but without logs."""
    session = sessions()["background_traces_only"]
    assert told(made(session, session.both)) == told(made(session, session.hooks))
    assert set(keys(made(session, session.hooks))) <= set(keys(made(session, session.both)))


def test_the_end_of_a_background_sub_agent_is_not_a_prompt_without_logs():
    """Lost: without exported logs, each background sub-agent becomes a prompt."""
    session = sessions()["background_traces_only"]
    assert told(made(session, session.otlp)) == told(made(session, session.hooks))


def test_the_docs_name_the_newest_tested_version():
    """Lost: people rely on an untested version."""
    docs = (Path(__file__).resolve().parents[4] / "docs" / "claude-code.md").read_text(encoding="utf-8")
    assert ".".join(map(str, otel_notes.TESTED_VERSION)) in docs


def test_the_prompt_of_a_trace_is_awaited_for_a_limited_time():
    """Lost: ids that depend on the order of requests; or spans that wait forever for missing logs."""
    session = sessions()["plain"]
    notes = without_logs(session)
    last = max(map(arrival, notes))
    spans, kept = assembler.spans(notes, session=session.id, now_ns=last + (GRACE_S - 2) * 10**9)
    assert spans == []
    spans, kept = assembler.spans(kept, session=session.id, now_ns=last + (GRACE_S + 1) * 10**9)
    assert told(spans) == Counter(TOLD["plain"])
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
    """Lost: whether a model started late or wrote slowly, and the size of its task."""
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
    """Lost: waits of a killed session, under a name that all MCP tools share."""
    spans = made(sessions()["killed"], sessions()["killed"].otlp)
    waits = {span.span_name for span in spans if span.span_type == "wait"}
    assert waits == {"Bash", "ToolSearch", "mcp__shop__lookup"}


def test_compactions_built_in_commands_and_hooks_are_distinguished():
    """Lost: which hook, command or compaction a session waits for."""
    session = sessions()["compaction"]
    spans = made(session, session.otlp)
    names = {f"{span.span_type}:{span.span_name}" for span in spans}
    assert {"command:/compact", "compaction:manual", "hook:PreToolUse:Bash", "hook:Stop"} <= names
    [compaction] = [span for span in spans if span.span_type == "compaction"]
    assert compaction.attributes["pre_tokens"] > 0


def test_notes_and_spans_contain_no_words_of_a_conversation():
    """Lost: prompts, commands, answers and paths in files and tables that many may read."""
    for session in sessions().values():
        raw = json.dumps(session.raw)
        kept = json.dumps(session.both) + str(
            [[*map(repr, (span.attributes,))] for span in made(session, session.both)]
        )
        for word in ("<<", "sleep", "/home/user", "exit 3", "as planned", "done", "go on", "<REDACTED>", "user.id"):
            assert word not in kept, (session.name, word)
        assert "/home/user" in raw


def test_exported_contents_of_a_conversation_are_not_kept():
    """Lost: the privacy of users who set OTEL_LOG_USER_PROMPTS or the like for another tool."""
    attributes = {"session.id": "s", "prompt.id": "p", "prompt": "fire Anna", "command_name": "fire Anna now"}
    attributes |= {"user_prompt": "fire Anna", "full_command": "rm -rf /home/anna", "tool_input": "fire Anna"}
    attributes |= {
        "tool_name": "Bash",
        "tool_use_id": "t",
        "error": "no /home/anna",
        "skill_name": "x",
        "hook_name": "Stop",
    }
    sender = otel_notes.sender({}, {})
    for kind in ("interaction", "tool", "tool.execution", "llm_request", "hook", "unknown"):
        record = otel_notes.Record(f"claude_code.{kind}", "a" * 32, "b" * 16, "", 1, 2, attributes)
        assert "nna" not in json.dumps(otel_notes.of_span(record, sender, 3))
    for kind in ("user_prompt", "tool_result", "tool_decision", "subagent_completed", "hook_execution_complete"):
        record = otel_notes.Record(f"claude_code.{kind}", "a" * 32, "b" * 16, "", 1, 2, attributes)
        assert "nna" not in json.dumps(otel_notes.of_log(record, sender, 3))


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
    want = sum((Counter(TOLD[name]) for name in names), Counter())
    assert told(imported(path)) == want


def test_records_without_a_session_keep_their_own_ids(tmp_path: Path):
    """Lost: spans of a version or a proxy that omits the session."""
    session = sessions()["plain"]
    path = tmp_path / "requests.jsonl"
    text = "\n".join(json.dumps(post) for post in session.raw["otlp"])
    path.write_text(text.replace('"session.id"', '"session.was"'))
    spans = imported(path)
    assert Counter(span.span_type for span in spans) == {"handoff": 2, "llm": 2}
    assert {span.span_name for span in spans if span.span_type == "handoff"} == {"claude_code.interaction"}


def test_the_attributes_of_the_resource_are_on_every_span():
    """Lost: the project, SD and deployment that a user configured for Claude Code's export."""
    attributes = {"session.id": "s", "tool_name": "Bash", "tool_use_id": "t"}
    sender = otel_notes.sender({"project": "shop", "sd_id": 17}, {"sd_type": "feature", "service.version": "2.1.332"})
    notes = [
        otel_notes.of_span(
            otel_notes.Record(f"claude_code.{kind}", "a" * 32, digit * 16, "", 10**15, 2 * 10**15, given), sender, 1
        )
        for kind, digit, given in (
            ("interaction", "1", {"session.id": "s"}),
            ("tool", "2", attributes),
            ("tool.execution", "3", attributes),
        )
    ]
    spans, _ = assembler.spans([note for note in notes if note], session="s", project="else", final=True)
    assert len(spans) == 3
    assert {(span.project, span.sd_id, span.attributes["sd_type"]) for span in spans} == {("shop", "17", "feature")}


@pytest.mark.parametrize("logged", [True, False])
def test_hooks_reported_by_spans_and_log_events_count_once(logged: bool):
    """Lost: users who export detailed traces see each hook twice."""
    given = {"session.id": "s", "prompt.id": "p", "hook_event": "Stop", "hook_name": "Stop", "num_hooks": 2}
    sender, trace, root = otel_notes.sender({}, {}), "a" * 32, "1" * 16
    records = [
        otel_notes.of_span(
            otel_notes.Record("claude_code.interaction", trace, root, "", 10**15, 9 * 10**15, given), sender, 1
        ),
        otel_notes.of_span(
            otel_notes.Record("claude_code.hook", trace, "2" * 16, root, 2 * 10**15, 3 * 10**15, given), sender, 1
        ),
    ]
    log = otel_notes.Record(
        "claude_code.hook_execution_complete", trace, root, "", 0, 3 * 10**15, given | {"total_duration_ms": "7"}
    )
    notes = [note for note in [*records, *([otel_notes.of_log(log, sender, 1)] if logged else [])] if note]
    random.Random(3).shuffle(notes)
    [hook] = [span for span in assembler.spans(notes, session="s", final=True)[0] if span.span_type == "hook"]
    assert (hook.span_name, hook.attributes["hooks"], hook.duration_ms) == ("Stop", 2, 7 if logged else 10**9)


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
    assert told(list(keys(spans).values())) == told(made(session, session.hooks))


@pytest.mark.parametrize(
    ("keys_to_keep", "kept"),
    [
        ((), {}),
        (("full_command",), {"tool:Bash": "sleep 0.3; echo r"}),
        (("full_*", "user.id"), {"tool:Bash": "sleep 0.3; echo r"}),
        (("anthropic.provider",), {}),
    ],
)
def test_attributes_that_a_user_chose_to_keep_are_kept(keys_to_keep: tuple[str, ...], kept: dict[str, str]):
    """Lost: LEO_TELEMETRY_KEEP_KEYS has no effect on Claude Code, or keeps too much."""
    attributes = {"session.id": "s", "tool_use_id": "t1", "tool_name": "Bash", "full_command": "sleep 0.3; echo r"}
    attributes |= {"user.id": "somebody", "anthropic.provider": "firstParty"}
    notes = []
    for name, number in (("tool", 1), ("tool.execution", 2)):
        request = span_request(
            f"claude_code.{name}", number, attributes if number == 1 else {**attributes, "success": "true"}
        )
        for part in otlp.parts_of_json(request, policy=redact.Policy(keys_to_keep), divert=otel_notes.note_of):
            notes += part.notes
    spans, _ = assembler.spans(notes, session="s", final=True)
    found = {f"{span.span_type}:{span.span_name}": span.attributes for span in spans}
    assert {key: found[key]["full_command"] for key in kept} == kept
    assert all(("full_command" in own) == bool(kept) for name, own in found.items() if name == "tool:Bash")
    assert not any("user.id" in own for own in found.values())
    assert any("anthropic.provider" in own for own in found.values()) == ("anthropic.provider" in keys_to_keep)


def span_request(name: str, number: int, attributes: dict[str, str]) -> bytes:
    """Return a request with one span of Claude Code."""
    pairs = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    span = {"traceId": "a" * 32, "spanId": f"{number:016x}", "name": name, "attributes": pairs}
    span |= {"startTimeUnixNano": "1795955340000000000", "endTimeUnixNano": "1795955341000000000"}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
