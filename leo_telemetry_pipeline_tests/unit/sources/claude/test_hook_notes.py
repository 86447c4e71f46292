"""Spans from Claude Code's hook events: a recorded session, and events that lack fields in some versions."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from leo_telemetry_pipeline.sources.claude import assembler, hook_notes
from leo_telemetry_pipeline.span import Span

# A session of Claude Code 2.1.197 with two parallel tools and sub-agents in the foreground, in the background and
# nested; paths were replaced.
RECORDED = Path(__file__).parents[3] / "claude_code_hook_events.jsonl"
SESSION = "34d16b74-19b0-4e5e-8478-8384bc675ef4"
BEGAN_NS = 1_795_000_000_000_000_000
AGENT_EVENTS = ("SubagentStart", "SubagentStop")
OUTER, INNER, BACKGROUND = "ae4c95f0e32fd9e67", "a647043e6073cf7f0", "a46ffd79effb6a06d"


def recorded() -> list[dict]:
    """Return the note of each recorded event."""
    lines = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    notes = [noted(line["event"], line["at_ms"]) for line in lines]
    assert len(notes) == 18
    return notes


def noted(event: dict[str, Any], at_ms: int = 0) -> dict:
    """Return the note of an event ``at_ms`` after the start, as read back from JSON."""
    kept = hook_notes.note(event, BEGAN_NS + at_ms * 1_000_000, at_ms * 1_000_000)
    assert kept is not None
    return json.loads(json.dumps(kept))


def made(notes: list[dict], *, final: bool = False, project: str = "") -> list[Span]:
    """Build the spans of notes."""
    return assembler.spans(notes, session=SESSION, project=project, final=final)[0]


def names(spans: list[Span]) -> dict[str, str]:
    """Return the name of each span's parent."""
    by_id = {span.span_id: f"{span.span_type}:{span.span_name}" for span in spans}
    return {
        f"{span.span_type}:{span.span_name} {span.duration_ms}": by_id.get(span.parent_span_id or "", "-")
        for span in spans
    }


def test_a_recorded_session_becomes_a_tree_of_prompts_sub_agents_and_tools():
    """Lost: which sub-agent a slow tool ran in, and which sub-agent launched which."""
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
    """Lost: prompts, commands, file contents and paths in a database that many may read."""
    text = json.dumps(recorded())
    for word in ("Say what is slow", "sleep", "echo", "exit 3", "/home/user", "please", "all done", "background_tasks"):
        assert word in RECORDED.read_text()
        assert word not in text


def test_spans_built_incrementally_are_the_same_as_those_built_at_once():
    """Lost: operations that continue after the answer, such as background sub-agents, or earlier ones."""
    notes = recorded()
    at_once = sorted(made(notes, final=True), key=lambda span: span.span_id)
    collected, kept = [], []
    for item in notes:
        some, kept = assembler.spans([*kept, item], session=SESSION)
        collected += some
    # A later Stop of the prompt may still arrive, and a later end of the background sub-agent.
    assert {item["event"] for item in kept} == {"UserPromptSubmit", "Stop", *AGENT_EVENTS, "PostToolUse", "Made"}
    collected += made(kept, final=True)
    assert sorted(collected, key=lambda span: span.span_id) == at_once


@pytest.mark.parametrize("again_after", [0, 5, 25])
def test_an_event_delivered_twice_yields_one_span(again_after: int):
    """Lost: hooks installed for a project and for all projects count everything twice."""
    events = [(line["at_ms"], line["event"]) for line in map(json.loads, RECORDED.read_text().splitlines())]
    twice = [noted(event, at + late) for at, event in events for late in (0, again_after)]
    once = made(recorded(), final=True)
    assert made(twice, final=True) == once
    collected, kept = [], []
    for item in twice:
        some, kept = assembler.spans([*kept, item], session=SESSION)
        collected += some
    collected += made(kept, final=True)
    assert {span.span_id for span in collected} == {span.span_id for span in once}
    assert len(collected) == len(once)


def test_an_event_repeated_after_a_long_answer_yields_no_second_span():
    """Lost: durations of a long prompt are counted twice."""
    tools = [
        {"hook_event_name": "PostToolUse", "tool_name": "Read", "tool_use_id": f"t{n}", "duration_ms": n}
        for n in range(1_000)
    ]
    agents = [
        {"hook_event_name": name, "agent_id": f"a{n}", "agent_type": "Explore"}
        for n in range(300)
        for name in ("SubagentStart", "SubagentStop")
    ]
    told = [{"hook_event_name": "UserPromptSubmit"}, *tools, *agents, {"hook_event_name": "Stop"}]
    notes = [noted(event | {"prompt_id": "p"}, at) for at, event in enumerate(told)]
    once, kept = assembler.spans(notes, session=SESSION)
    assert len(once) == 1_000
    # A repeated event may name the prompt that is current by then.
    again = [noted(event | {"prompt_id": prompt}, 5_000) for event in tools for prompt in ("p", "next")]
    assert assembler.spans([*kept, *again], session=SESSION)[0] == []
    some, _ = assembler.spans([*kept, *(item | {"wall_ns": 0} for item in notes)], session=SESSION, final=True)
    assert Counter(span.span_type for span in some) == {"subagent": 300, "handoff": 1}


UNNAMED = {"hook_event_name": "PostToolUse", "tool_name": "Task", "tool_input": {"subagent_type": "Explore"}}
FAILED = UNNAMED | {"hook_event_name": "PostToolUseFailure"}


@pytest.mark.parametrize("bit_by_bit", [False, True])
@pytest.mark.parametrize(("result", "status"), [(UNNAMED, "OK"), (FAILED, "ERROR")], ids=["done", "failed"])
def test_a_sub_agent_whose_result_does_not_name_it_is_one_span(result: dict, status: str, bit_by_bit: bool):
    """Lost: sub-agents are counted twice or their tools have no parent, if a result omits the agent."""
    agents = [{"agent_id": name, "agent_type": "Explore"} for name in ("outer", "inner")]
    (outer, inner), begin, end = agents, {"hook_event_name": "SubagentStart"}, {"hook_event_name": "SubagentStop"}
    grep = {"hook_event_name": "PostToolUse", "tool_name": "Grep", "tool_use_id": "t1", "duration_ms": 5}
    told = [
        {"hook_event_name": "UserPromptSubmit"},
        begin | outer,
        begin | inner,
        grep | inner,
        end | inner,
        result | outer | {"tool_use_id": "t2", "duration_ms": 21},
        end | outer,
        result | {"tool_use_id": "t3", "duration_ms": 43},
        {"hook_event_name": "Stop"},
        {"hook_event_name": "SessionEnd"},
    ]
    collected, kept = [], []
    for at, event in enumerate(told):
        for late in (0, 1):
            last = event is told[-1] and late == 1
            kept.append(noted(event | {"prompt_id": "p"}, at * 10 + late))
            if bit_by_bit or last:
                some, kept = assembler.spans(kept, session=SESSION, final=last)
                collected += some
    assert names(collected) == {
        "handoff:claude_code.interaction 80": "-",
        "subagent:Explore 43": "handoff:claude_code.interaction",
        "subagent:Explore 21": "subagent:Explore",
        "tool:Grep 5": "subagent:Explore",
    }
    assert {span.status for span in collected if span.span_type == "subagent"} == {status}
    assert len(collected) == 4


def test_an_interrupted_sub_agent_is_one_span():
    """Lost: interrupted sub-agents, which report no end."""
    spans = made(
        [
            noted({"hook_event_name": "SubagentStart", "agent_id": "a", "agent_type": "Explore"}),
            noted(FAILED | {"tool_use_id": "t", "duration_ms": 70, "is_interrupt": True}, 70),
        ],
        final=True,
    )
    (span,) = spans
    assert (span.span_type, span.duration_ms, span.status) == ("subagent", 70, "ERROR")
    assert span.attributes["interrupted"] is True


@pytest.mark.parametrize(
    ("told", "goes_on"),
    [
        ((), False),
        ((("UserPromptSubmit", "one", 5),), False),
        ((("UserPromptSubmit", "one", 15),), True),
        ((("UserPromptSubmit", "one", 15), ("Stop", "one", 16)), False),
        ((("UserPromptSubmit", "one", 5), ("Stop", "one", 6), ("UserPromptSubmit", "two", 15)), True),
    ],
)
def test_a_prompt_after_the_end_of_a_session_resumes_it(told: tuple, goes_on: bool):
    """Lost: the end of the first prompt of a session that is resumed at once."""
    notes = [noted({"hook_event_name": name, "prompt_id": prompt}, at) for name, prompt, at in told]
    assert assembler.resumed(notes, 10_000_000) is goes_on


def test_an_end_noted_before_its_start_is_kept():
    """Lost: short prompts and sub-agents, whose hooks overtake each other."""
    notes = recorded()
    collected, kept = [], []
    for item in [*reversed(notes[1:-1]), notes[0], notes[-1]]:
        some, kept = assembler.spans([*kept, item], session=SESSION, final=item is notes[-1])
        collected += some
    assert names(collected) == names(made(notes, final=True))


def test_an_interrupted_prompt_has_no_end_and_keeps_its_children():
    """Lost: the parent of tools, or an interruption is judged like an answer."""
    notes = [item for item in recorded() if item["event"] != "Stop"]
    assert "handoff" not in {span.span_type for span in made(notes)}
    (root,) = (span for span in made(notes, final=True) if span.span_type == "handoff")
    assert (root.end_time_ms, root.duration_ms, root.status) == (None, None, None)


def test_a_failed_answer_is_an_error():
    """Lost: prompts that a provider refused count as fast ones."""
    begin = {"hook_event_name": "UserPromptSubmit", "prompt_id": "p"}
    (span,) = made([noted(begin), noted({"hook_event_name": "StopFailure", "prompt_id": "p"}, 70)])
    assert (span.status, span.duration_ms) == ("ERROR", 70)


def test_a_sub_agent_without_a_reported_launch_belongs_to_its_prompt():
    """Lost: sub-agents that Claude Code starts itself, or whose launch was interrupted."""
    notes = [item for item in recorded() if "agent" not in item]
    assert {span.span_name for span in made(notes) if span.span_type == "subagent"} == set()
    spans = made(notes, final=True)
    assert sorted(span.span_name for span in spans if span.span_type == "subagent") == [
        "Explore",
        "general-purpose",
        "general-purpose",
    ]
    assert "-" not in {above for name, above in names(spans).items() if "handoff" not in name}


def test_a_sub_agent_that_outlives_its_prompt_keeps_its_tools_in_its_trace():
    """Lost: tools in the trace of the next prompt, below a sub-agent of another trace."""
    begin = {"hook_event_name": "UserPromptSubmit"}
    agent = {"agent_id": "a1", "agent_type": "Explore"}
    launch = {"tool_response": {"status": "async_launched", "agentId": "a1"}, "tool_name": "Agent", "tool_use_id": "t0"}
    tool = {"hook_event_name": "PostToolUse", "tool_name": "Grep", "tool_use_id": "t1", "duration_ms": 5}
    spans = made(
        [
            noted(begin | {"prompt_id": "one"}),
            noted({"hook_event_name": "SubagentStart", "prompt_id": "one", **agent}, 10),
            noted({"hook_event_name": "PostToolUse", "prompt_id": "one", **launch}, 11),
            noted({"hook_event_name": "Stop", "prompt_id": "one"}, 20),
            noted(begin | {"prompt_id": "two"}, 30),
            noted(tool | {"prompt_id": "two", **agent}, 40),
            noted({"hook_event_name": "SubagentStop", "prompt_id": "two", **agent}, 50),
            noted({"hook_event_name": "Stop", "prompt_id": "two"}, 60),
        ],
        final=True,
    )
    first, second = (span for span in spans if span.span_type == "handoff")
    traces = {span.span_name: span.trace_id for span in spans if span.span_type != "handoff"}
    assert traces == {"Grep": first.trace_id, "Explore": first.trace_id}
    assert first.trace_id != second.trace_id
    assert names(spans)["tool:Grep 5"] == "subagent:Explore"


def test_each_prompt_has_a_trace_in_versions_without_prompt_ids():
    """Lost: all prompts of a day in one trace."""
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
    """Lost: a prompt that took minus an hour, or a day, after a clock synchronization."""
    begin = hook_notes.note({"hook_event_name": "UserPromptSubmit", "prompt_id": "p"}, BEGAN_NS, 5_000_000_000)
    end = hook_notes.note({"hook_event_name": "Stop", "prompt_id": "p"}, BEGAN_NS - 3_600 * 10**9, 5_070_400_000)
    assert begin is not None
    assert end is not None
    (span,) = made([begin, end], final=True)
    assert (span.duration_ms, span.start_time_ms) == (70, BEGAN_NS // 1_000_000)
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
    """Lost: durations that were never measured."""
    right = {"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_use_id": "t", "duration_ms": 5}
    assert len(made([noted(right)])) == 1
    assert made([noted(right | wrong)]) == []


def test_invalid_agents_do_not_affect_the_session():
    """Lost: the spans of a whole session because of one field."""
    odd = [None, 5, [], {"agentId": 5}, {"agentId": "a", "totalDurationMs": "x", "status": {}}]
    tool = {"hook_event_name": "PostToolUse", "tool_name": "Agent", "tool_use_id": "t", "duration_ms": 5}
    for response in odd:
        spans = made([*recorded(), noted(tool | {"tool_response": response, "tool_input": response})], final=True)
        assert len(spans) >= 10


def test_long_names_are_truncated():
    """Lost: a limit of the size of notes."""
    event = {"hook_event_name": "PostToolUse", "tool_name": "x" * 10_000, "tool_use_id": "y" * 10_000}
    assert len(json.dumps(noted(event))) < 1_000


CASES = Path(__file__).parents[3] / "cases" / "claude_hook_orders.jsonl"
ORDERS = [json.loads(line) for line in CASES.read_text().splitlines()]


def in_order(events: list) -> list[dict]:
    """Return the notes of events that are given as second, name and fields."""
    return [noted({"hook_event_name": name, "prompt_id": "p", **more}, round(1_000 * at)) for at, name, more in events]


@pytest.mark.parametrize("bit_by_bit", [False, True])
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order["case"])
def test_recorded_orders_of_events_yield_the_expected_spans(order: dict, bit_by_bit: bool):
    """Lost: prompts cut short by a blocking hook or a sub-agent's error, and second runs of sub-agents."""
    notes, spans = [], []
    for item in in_order(order["events"]):
        notes.append(item)
        if bit_by_bit:
            some, notes = assembler.spans(notes, session=SESSION)
            spans += some
    spans += made(notes, final=True)
    for wanted in order["want"]:
        start_ms = BEGAN_NS // 1_000_000 + 1_000 * wanted.pop("start_s")
        alike = [span for span in spans if span.start_time_ms == start_ms and span.span_type == wanted["span_type"]]
        assert [{name: getattr(span, name) for name in wanted} for span in alike] == [wanted]
        wanted["start_s"] = (start_ms - BEGAN_NS // 1_000_000) // 1_000
    assert len([span for span in spans if span.span_type == "handoff"]) == 1


AGENT = {"agent_id": "a1", "agent_type": "DESIGN"}
LAUNCH = {"tool_name": "Agent", "tool_use_id": "t1", "tool_response": {"status": "async_launched", "agentId": "a1"}}


@pytest.mark.parametrize(
    ("events", "want"),
    [
        # Blocked twice, in one prompt.
        (
            [[0, "UserPromptSubmit", {}], [3, "Stop", {}], [9, "Stop", {}], [20, "Stop", {}]],
            ["handoff 0 20000 OK"],
        ),
        # Blocked, then the provider fails.
        ([[0, "UserPromptSubmit", {}], [3, "Stop", {}], [9, "StopFailure", {}]], ["handoff 0 9000 ERROR"]),
        # Blocked, then interrupted at work: not answered.
        (
            [
                [0, "UserPromptSubmit", {}],
                [3, "Stop", {}],
                [9, "PostToolUse", {"tool_name": "Bash", "tool_use_id": "t", "duration_ms": 4_000}],
            ],
            ["handoff 0 None None", "tool 5 4000 OK"],
        ),
        # The end of a background sub-agent is blocked.
        (
            [
                [0, "UserPromptSubmit", {}],
                [1, "SubagentStart", AGENT],
                [1, "PostToolUse", LAUNCH],
                [4, "SubagentStop", AGENT],
                [8, "SubagentStop", AGENT],
                [9, "Stop", {}],
            ],
            ["handoff 0 9000 OK", "subagent 1 7000 OK"],
        ),
        # One of two sub-agents fails, in the background and after the answer to the prompt.
        (
            [
                [0, "UserPromptSubmit", {}],
                [1, "SubagentStart", AGENT],
                [1, "PostToolUse", LAUNCH],
                [2, "Stop", {}],
                [5, "StopFailure", AGENT],
            ],
            ["handoff 0 2000 OK", "subagent 1 4000 ERROR"],
        ),
        # Continued twice, the last time without an end.
        (
            [
                [0, "UserPromptSubmit", {}],
                *([at, name, AGENT] for at in (1, 5, 9) for name in ("SubagentStart", "SubagentStop")[: 2 - (at == 9)]),
                [20, "Stop", {}],
            ],
            ["handoff 0 20000 OK", "subagent 1 0 OK", "subagent 5 0 OK"],
        ),
        # A background sub-agent ends during its prompt: Claude Code is notified within that prompt.
        (
            [
                [0, "UserPromptSubmit", {"prompt": "go"}],
                [4, "UserPromptSubmit", {"prompt": "<task-notification> a1 has finished"}],
                [9, "Stop", {}],
            ],
            ["handoff 0 9000 OK"],
        ),
        (
            [[4, "UserPromptSubmit", {"prompt": "<task-notification> a1"}], [9, "Stop", {}]],
            ["operation 4 5000 OK"],
        ),
    ],
    ids=[
        "blocked twice",
        "blocked and failed",
        "blocked and interrupted",
        "sub-agent blocked",
        "sub-agent fails late",
        "continued twice",
        "told within a prompt",
        "told alone",
    ],
)
def test_further_orders_of_events_yield_the_expected_spans(events: list, want: list[str]):
    """Lost: prompts and sub-agents that end in unusual ways."""
    spans = made(in_order(events), final=True)
    begin = BEGAN_NS // 1_000_000
    assert (
        sorted(f"{s.span_type} {(s.start_time_ms - begin) // 1_000} {s.duration_ms} {s.status}" for s in spans) == want
    )


def test_an_answer_is_stored_once_nothing_can_change_it():
    """Lost: prompts cut short by a Stop hook that runs for a minute; or answers that are never stored."""
    notes = in_order([[0, "UserPromptSubmit", {}], [3, "Stop", {}]])
    now_ns = BEGAN_NS + 60 * 10**9
    assert assembler.spans(notes, session=SESSION, now_ns=now_ns)[0] == []
    # Made final by the next prompt, by the end of the session, or by a long silence.
    following = noted({"hook_event_name": "UserPromptSubmit", "prompt_id": "next"}, 60_000)
    for more, later_ns, final in (([following], now_ns, False), ([], now_ns, True), ([], now_ns + 300 * 10**9, False)):
        (span,) = assembler.spans([*notes, *more], session=SESSION, now_ns=later_ns, final=final)[0]
        assert (span.span_type, span.duration_ms) == ("handoff", 3_000)


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
    """Lost: which command is slow; or paths in a table that many may read."""
    event = {"hook_event_name": "UserPromptSubmit", "prompt_id": "p", "prompt": prompt}
    note = noted(event)
    assert set(note) <= {"event", "wall_ns", "monotonic_ns", "prompt_id", "command"}
    (span,) = made([note, noted({"hook_event_name": "Stop", "prompt_id": "p"}, 70)], final=True)
    assert (span.span_type, span.span_name) == ("handoff", name)


def test_mcp_tools_and_skills_are_distinguished():
    """Lost: which MCP server or skill is slow, without configuration."""
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
