"""Spans from events in any order, at once or incrementally."""

import json
from collections import Counter
from pathlib import Path

import pytest

from leo_telemetry_pipeline.sources.claude import assembler
from leo_telemetry_pipeline_tests.unit.sources.claude.hook_events import (
    AGENT_EVENTS,
    BEGAN_NS,
    RECORDED,
    SESSION,
    in_order,
    made,
    names,
    noted,
    recorded,
)


def test_spans_built_incrementally_are_the_same_as_those_built_at_once():
    """Lost: operations that end before or after the answer, such as background sub-agents."""
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
    session = [{"hook_event_name": "UserPromptSubmit"}, *tools, *agents, {"hook_event_name": "Stop"}]
    notes = [noted(event | {"prompt_id": "p"}, at) for at, event in enumerate(session)]
    once, kept = assembler.spans(notes, session=SESSION)
    assert len(once) == 1_000
    # A repeated event may name the prompt that is current by then.
    again = [noted(event | {"prompt_id": prompt}, 5_000) for event in tools for prompt in ("p", "next")]
    assert assembler.spans([*kept, *again], session=SESSION)[0] == []
    some, _ = assembler.spans([*kept, *(item | {"wall_ns": 0} for item in notes)], session=SESSION, final=True)
    assert Counter(span.span_type for span in some) == {"subagent": 300, "handoff": 1}


@pytest.mark.parametrize(
    ("events", "goes_on"),
    [
        ((), False),
        ((("UserPromptSubmit", "one", 5),), False),
        ((("UserPromptSubmit", "one", 15),), True),
        ((("UserPromptSubmit", "one", 15), ("Stop", "one", 16)), False),
        ((("UserPromptSubmit", "one", 5), ("Stop", "one", 6), ("UserPromptSubmit", "two", 15)), True),
    ],
)
def test_a_prompt_after_the_end_of_a_session_resumes_it(events: tuple, goes_on: bool):
    """Lost: the end of the first prompt of a session that is resumed at once."""
    notes = [noted({"hook_event_name": name, "prompt_id": prompt}, at) for name, prompt, at in events]
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


CASES = Path(__file__).parents[3] / "cases" / "claude_hook_orders.jsonl"
ORDERS = [json.loads(line) for line in CASES.read_text().splitlines()]


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
        # A hook blocks the end of the prompt twice.
        (
            [[0, "UserPromptSubmit", {}], [3, "Stop", {}], [9, "Stop", {}], [20, "Stop", {}]],
            ["handoff 0 20000 OK"],
        ),
        # A hook blocks the end; then the provider fails.
        ([[0, "UserPromptSubmit", {}], [3, "Stop", {}], [9, "StopFailure", {}]], ["handoff 0 9000 ERROR"]),
        # A hook blocks the end; then a person interrupts the work, so the prompt is not answered.
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
        # A sub-agent is continued twice, the last time without an end.
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
        "notified within a prompt",
        "notified alone",
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
    # The answer becomes final with the next prompt, the end of the session, or a long silence.
    following = noted({"hook_event_name": "UserPromptSubmit", "prompt_id": "next"}, 60_000)
    for more, later_ns, final in (([following], now_ns, False), ([], now_ns, True), ([], now_ns + 300 * 10**9, False)):
        (span,) = assembler.spans([*notes, *more], session=SESSION, now_ns=later_ns, final=final)[0]
        assert (span.span_type, span.duration_ms) == ("handoff", 3_000)
