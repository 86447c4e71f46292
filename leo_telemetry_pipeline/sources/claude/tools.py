"""Spans of tools: duration, status, and the MCP server of each.

Belongs here: which notes form the span of a tool, and which tools launch a sub-agent. Does not: spans of sub-agents
(agents), waits for a person (exported).
"""

from leo_telemetry_pipeline.sources.claude import ids, names
from leo_telemetry_pipeline.sources.claude.evidence import QUIET_S
from leo_telemetry_pipeline.sources.claude.maker import Maker, chosen, interrupted
from leo_telemetry_pipeline.sources.claude.runs import SubagentRun, is_launch
from leo_telemetry_pipeline.span import Lasted, lasted_between


def make_tools(maker: Maker) -> None:
    """Add a span for each tool that was used; its duration excludes waits for a person."""
    evidence = maker.evidence
    for key in evidence.used_tools | evidence.tools:
        used, tool = evidence.used_tools.get(key), evidence.tools.get(key)
        if maker.is_built("tool", key):
            evidence.use(used, tool)
        elif not _launches(maker, key, used, tool):
            _tool(maker, key, used, tool)


def _launches(maker: Maker, key: str, used: dict | None, tool: dict | None) -> bool:
    """Return whether a tool launches a sub-agent; if so, only the sub-agent gets a span."""
    if used is None and tool is not None and key in maker.by_tool:
        return is_launch(tool)
    wanted = used.get("agent", {}).get("subagent_type") if used else None
    if used is None or not wanted:
        return False
    if key in maker.by_tool:
        _take_result(maker, maker.by_tool[key], used)
        return True
    # A failed result does not name its sub-agent: take the first one of that prompt and type that ends.
    for runs in maker.runs.values():
        run = runs[0] if runs else None
        first = (run.start or (run.ends[0] if run.ends else None)) if run else None
        if run is None or first is None or run.built or run.launch or run.agent == used.get("agent_id"):
            continue
        if (first["prompt_id"], first.get("agent_type")) != (used["prompt_id"], wanted):
            continue
        if run.ends or not maker.evidence.may_wait(used, QUIET_S):
            maker.by_tool[key] = run
            _take_result(maker, run, used)
        return True
    return False


def _take_result(maker: Maker, run: SubagentRun, used: dict) -> None:
    """Assign the result of a launching tool, which does not name its sub-agent, to a run."""
    if run.launch is None:
        run.launch = used | {"agent": {"status": "completed"} | used["agent"]}
        maker.evidence.use(used)


def _tool(maker: Maker, key: str, used: dict | None, tool: dict | None) -> None:
    source = used or tool
    assert source is not None
    interval, prompt = _ran(maker, used, tool), maker.prompt_of(used, tool)
    if interval is None or prompt is None:
        return
    status, error = _outcome(maker, key, used, tool)
    common = {"start_time_ms": interval[0], "duration": interval[1], "status": status}
    attributes = chosen(tool) | {"tool_use_id": key} | interrupted(used) | error
    kind = names.tool_kind(source)
    maker.add(source, prompt, ("tool", key), kind, agent=source.get("agent_id"), attributes=attributes, **common)
    if server := names.mcp_server(source.get("tool_name", "")):
        above = ids.span_id(maker.session, "tool", key)
        attributes = {"tool_name": kind[1]}
        maker.add(source, prompt, ("mcp", key), ("mcp_server", server), parent=above, attributes=attributes, **common)
    maker.evidence.use(used, tool)


def _outcome(maker: Maker, key: str, used: dict | None, tool: dict | None) -> tuple[str, dict]:
    """Return the status of a tool, and its ``error.type`` attribute, if any."""
    result, execution = maker.evidence.results.get(key, {}), maker.evidence.executions.get(key, {})
    failed = any(note.get("success") is False for note in (execution, tool or {}, result))
    if not failed and not (used is not None and used["event"] == "PostToolUseFailure"):
        return "OK", {}
    error = result.get("error_type") or execution.get("error_type")
    return "ERROR", {"error.type": error} if error else {}


def _ran(maker: Maker, used: dict | None, tool: dict | None) -> tuple[int, Lasted] | None:
    """Return start in ms and duration of a tool's execution, None if unknown or if it never ran."""
    evidence = maker.evidence
    execution = evidence.executions.get((used or tool or {})["tool_use_id"])
    if execution and tool and used is None and _is_only_launch(maker, tool, execution):
        return None
    if execution:
        return execution["start_ns"] // 1_000_000, lasted_between(execution["start_ns"], execution["end_ns"])
    if used:
        if "tool_name" in used and "duration_ms" in used:
            return used["wall_ns"] // 1_000_000 - used["duration_ms"], (used["duration_ms"], None)
        evidence.use(used)
        return None
    return _ran_by_waits(maker, tool) if tool else None


def _is_only_launch(maker: Maker, tool: dict, execution: dict) -> bool:
    """Return whether a tool has launched a sub-agent that is not reported yet."""
    return is_launch(tool) and execution.get("success") is not False and maker.evidence.may_wait(tool, QUIET_S)


def _ran_by_waits(maker: Maker, tool: dict) -> tuple[int, Lasted] | None:
    """Return start in ms and duration of a tool without a reported execution, None if refused or if one may follow."""
    waits = [wait for wait in maker.evidence.of("tool.blocked_on_user") if wait["parent"] == tool["span"]]
    if any(wait.get("decision") == "reject" for wait in waits):
        maker.forget("tool", tool["tool_use_id"])
        if not maker.evidence.may_wait(tool):
            maker.evidence.use(tool)
        return None
    if maker.evidence.may_wait(tool):
        return None
    start = max([tool["start_ns"], *(wait["end_ns"] for wait in waits)])
    return start // 1_000_000, lasted_between(start, max(start, tool["end_ns"]))
