"""Sub-agents as hooks report them: one span each, below the span that launched it."""

import pytest

from leo_telemetry_pipeline.sources.claude import assembler
from leo_telemetry_pipeline_tests.unit.sources.claude.hook_events import SESSION, made, names, noted, recorded

UNNAMED = {"hook_event_name": "PostToolUse", "tool_name": "Task", "tool_input": {"subagent_type": "Explore"}}
FAILED = UNNAMED | {"hook_event_name": "PostToolUseFailure"}


@pytest.mark.parametrize("bit_by_bit", [False, True])
@pytest.mark.parametrize(("result", "status"), [(UNNAMED, "OK"), (FAILED, "ERROR")], ids=["done", "failed"])
def test_a_sub_agent_whose_result_does_not_name_it_is_one_span(result: dict, status: str, bit_by_bit: bool):
    """Lost: sub-agents are counted twice or their tools have no parent, if a result omits the agent."""
    agents = [{"agent_id": name, "agent_type": "Explore"} for name in ("outer", "inner")]
    (outer, inner), begin, end = agents, {"hook_event_name": "SubagentStart"}, {"hook_event_name": "SubagentStop"}
    grep = {"hook_event_name": "PostToolUse", "tool_name": "Grep", "tool_use_id": "t1", "duration_ms": 5}
    events = [
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
    for at, event in enumerate(events):
        for late in (0, 1):
            last = event is events[-1] and late == 1
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
    """Lost: tools are stored in the trace of the next prompt, below a sub-agent of another trace."""
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


def test_invalid_agents_do_not_affect_the_session():
    """Lost: the spans of a whole session because of one field."""
    odd = [None, 5, [], {"agentId": 5}, {"agentId": "a", "totalDurationMs": "x", "status": {}}]
    tool = {"hook_event_name": "PostToolUse", "tool_name": "Agent", "tool_use_id": "t", "duration_ms": 5}
    for response in odd:
        spans = made([*recorded(), noted(tool | {"tool_response": response, "tool_input": response})], final=True)
        assert len(spans) >= 10
