"""Spans from Claude Code's hook events: a recorded session, and events that lack fields in some versions."""

import json
from collections import Counter

import pytest

from leo_telemetry_pipeline.sources.claude import assembler, hook_notes
from leo_telemetry_pipeline_tests.unit.sources.claude.hook_events import (
    BEGAN_NS,
    RECORDED,
    SESSION,
    made,
    names,
    noted,
    recorded,
)


def test_a_recorded_session_becomes_a_tree_of_prompts_sub_agents_and_tools():
    """Lost: nobody sees which sub-agent a slow tool ran in, or which sub-agent launched which."""
    spans = made(recorded(), final=True, project="shop")
    assert names(spans) == {
        "handoff:claude_code.interaction 3550": "-",
        "tool:Bash 405": "handoff:claude_code.interaction",
        "tool:Bash 16": "handoff:claude_code.interaction",
        "tool:Bash 2023": "handoff:claude_code.interaction",
        "subagent:nope 0": "handoff:claude_code.interaction",
        "subagent:general-purpose 641": "handoff:claude_code.interaction",
        "subagent:Explore 1206": "handoff:claude_code.interaction",
        "tool:Bash 1019": "subagent:Explore",
        "subagent:general-purpose 444": "subagent:general-purpose",
        "tool:Bash 228": "subagent:general-purpose",
    }
    assert len({span.span_id for span in spans}) == len(spans)
    assert {span.trace_id for span in spans} == {spans[0].trace_id}
    assert {span.project for span in spans} == {"shop"}
    assert [f"{span.span_name} {span.duration_ms}" for span in spans if span.status != "OK"] == ["Bash 16", "nope 0"]
    assert all(span.span_id.startswith("00000000-0000-0000-") for span in spans)


def test_notes_contain_nothing_of_a_conversation_or_of_a_tool_s_data():
    """Lost: prompts, commands, file contents and paths are in a database that many may read."""
    text = json.dumps(recorded())
    for word in ("Say what is slow", "sleep", "echo", "exit 3", "/home/user", "please", "all done", "background_tasks"):
        assert word in RECORDED.read_text()
        assert word not in text


def test_each_prompt_has_a_trace_in_versions_without_prompt_ids():
    """Lost: all prompts of a day are in one trace."""
    tool = {"hook_event_name": "PostToolUse", "tool_name": "Read", "duration_ms": 3}
    spans = made(
        [
            noted({"hook_event_name": "UserPromptSubmit"}),
            noted(tool | {"tool_use_id": "t1"}, 10),
            noted({"hook_event_name": "Stop"}, 20),
            noted({"hook_event_name": "UserPromptSubmit"}, 30),
            noted(tool | {"tool_use_id": "t2"}, 40),
            noted({"hook_event_name": "Stop"}, 55),
        ],
        final=True,
    )
    assert [span.duration_ms for span in spans if span.span_type == "handoff"] == [20, 25]
    assert len({span.trace_id for span in spans}) == 2
    assert set(names(spans).values()) == {"-", "handoff:claude_code.interaction"}


def test_a_step_of_the_wall_clock_does_not_affect_durations():
    """Lost: after a clock synchronization, a prompt takes minus an hour, or a day."""
    begin = hook_notes.note({"hook_event_name": "UserPromptSubmit", "prompt_id": "p"}, BEGAN_NS, 5_000_000_000)
    end = hook_notes.note({"hook_event_name": "Stop", "prompt_id": "p"}, BEGAN_NS - 3_600 * 10**9, 5_070_400_001)
    assert begin is not None
    assert end is not None
    (span,) = made([begin, end], final=True)
    assert (span.duration_ms, span.duration_rest_us) == (70, 400)
    assert span.start_time_ms == BEGAN_NS // 1_000_000
    assert span.end_time_ms == span.start_time_ms + 70


@pytest.mark.parametrize(
    "event",
    [None, [], "x", {}, {"hook_event_name": "PreToolUse"}, {"hook_event_name": 7}, {"hook_event_name": ["Stop"]}],
    ids=str,
)
def test_other_events_yield_no_note(event: object):
    """Lost: all spans, when a newer version sends other events."""
    assert hook_notes.note(event, BEGAN_NS, 0) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"duration_ms": "5"},
        {"duration_ms": -1},
        {"duration_ms": float("nan")},
        {"duration_ms": 1e300},
        {"duration_ms": True},
        {"tool_name": ""},
        {"tool_name": ["Bash"]},
        {"tool_use_id": None},
    ],
    ids=str,
)
def test_a_tool_without_required_fields_yields_no_span(wrong: dict):
    """Lost: durations that were never measured are stored."""
    right = {"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_use_id": "t", "duration_ms": 5}
    assert len(made([noted(right)])) == 1
    assert made([noted(right | wrong)]) == []


def test_long_names_are_truncated():
    """Lost: a limit on the size of notes."""
    event = {"hook_event_name": "PostToolUse", "tool_name": "x" * 10_000, "tool_use_id": "y" * 10_000}
    assert len(json.dumps(noted(event))) < 1_000


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("/deploy", "/deploy"),
        ("/deploy the shop to production", "/deploy"),
        ("/team:review-it x", "/team:review-it"),
        ("/mcp__shop__order", "/mcp__shop__order"),
        ("/home/anna/secret.txt is broken", "claude_code.interaction"),
        ("/", "claude_code.interaction"),
        ("/ deploy", "claude_code.interaction"),
        ("/tmp.txt", "claude_code.interaction"),
        ("/" + "x" * 100, "claude_code.interaction"),
        ("deploy /it", "claude_code.interaction"),
        ("", "claude_code.interaction"),
    ],
)
def test_only_the_slash_command_of_a_prompt_is_kept(prompt: str, name: str):
    """Lost: nobody sees which command is slow; or paths are in a table that many may read."""
    event = {"hook_event_name": "UserPromptSubmit", "prompt_id": "p", "prompt": prompt}
    note = noted(event)
    assert set(note) <= {"event", "wall_ns", "monotonic_ns", "prompt_id", "command"}
    (span,) = made([note, noted({"hook_event_name": "Stop", "prompt_id": "p"}, 70)], final=True)
    assert (span.span_type, span.span_name) == ("handoff", name)


def test_mcp_tools_and_skills_are_distinguished():
    """Lost: without configuration, nobody sees which MCP server or skill is slow."""
    tool = {"hook_event_name": "PostToolUse", "duration_ms": 5, "prompt_id": "p"}
    spans = made(
        [
            noted(tool | {"tool_name": "mcp__shop__lookup", "tool_use_id": "t1"}),
            noted(tool | {"tool_name": "mcp__my_shop__look_up", "tool_use_id": "t2"}),
            noted(tool | {"tool_name": "mcp__odd", "tool_use_id": "t3"}),
            noted(tool | {"tool_name": "Skill", "tool_use_id": "t4", "tool_input": {"skill": "tidy", "args": "x"}}),
            noted(tool | {"tool_name": "Skill", "tool_use_id": "t5"}),
        ]
    )
    assert Counter(f"{span.span_type}:{span.span_name}" for span in spans) == {
        "tool:mcp__shop__lookup": 1,
        "mcp_server:shop": 1,
        "tool:mcp__my_shop__look_up": 1,
        "mcp_server:my_shop": 1,
        "tool:mcp__odd": 1,
        "skill:tidy": 1,
        "skill:Skill": 1,
    }
    above = {span.span_name: span.parent_span_id for span in spans}
    ids = {span.span_name: span.span_id for span in spans}
    assert above["shop"] == ids["mcp__shop__lookup"]


def test_spans_have_the_project_of_their_hook_regardless_of_their_builder():
    """Lost: the project of a session whose spans are built by the receiver or another session's hook."""
    tool = {"hook_event_name": "PostToolUse", "tool_name": "Read", "tool_use_id": "t", "duration_ms": 3}
    first, kept = assembler.spans([noted(tool) | {"project": "shop"}], session=SESSION, project="else")
    second, _ = assembler.spans([*kept, noted(tool | {"tool_use_id": "u"})], session=SESSION, project="else")
    assert [span.project for span in first + second] == ["shop", "shop"]
