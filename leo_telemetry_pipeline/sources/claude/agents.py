"""Spans of sub-agents, one per run.

Belongs here: which notes form the span of a run, its name and its parent. Does not: when runs start and end (runs).
"""

from leo_telemetry_pipeline.sources.claude import ids
from leo_telemetry_pipeline.sources.claude.evidence import QUIET_S
from leo_telemetry_pipeline.sources.claude.maker import Maker, chosen, interrupted
from leo_telemetry_pipeline.sources.claude.runs import SubagentRun, duration_of
from leo_telemetry_pipeline.sources.otlp.conventions import SUBAGENT_TOOLS


def make_agents(maker: Maker) -> None:
    """Add a span for each finished run of a sub-agent, once its launcher is known."""
    for agent, runs in maker.runs.items():
        for number, run in enumerate(runs, 1):
            if not run.built:
                _agent(maker, agent, number, run)


def _agent(maker: Maker, agent: str, number: int, run: SubagentRun) -> None:
    evidence = maker.evidence
    duration = duration_of(run, evidence)
    source = run.start or run.launch or run.completed or run.tool or (run.ends or run.inside or [None])[0]
    assert source is not None
    if duration is None or run.prompt is None or _lacks_launch(maker, run):
        if duration is None and not any(evidence.may_wait(note, 10**9) for note in [*run.notes, *run.inside]):
            evidence.use(*run.notes)
        return
    start = run.start_ms
    if run.ends and not (run.start or run.completed or run.inside):
        # Only the end of this run was reported.
        start = (run.end_ms or start) - duration[0]
    result = run.launch.get("agent", {}) if run.launch else {}
    failed = _failed(maker, run)
    error = next((note["error_type"] for note in run.ends if "error_type" in note), None) if failed else None
    above = run.launch or run.tool or {}
    attributes = {**chosen(run.tool), "agent_id": agent, **_of_agent(result, run.completed)} | interrupted(run.launch)
    attributes |= {"run": number} if number > 1 else {}
    attributes |= {"error.type": error} if error else {}
    maker.add(
        source,
        run.prompt,
        ("agent", ids.run_key(agent, number)),
        ("subagent", _agent_type(run, result)),
        agent=above.get("agent_id"),
        start_time_ms=start,
        duration=duration,
        status="ERROR" if failed else "OK",
        attributes=attributes,
    )
    evidence.memory.runs.setdefault(agent, []).append([start, start + duration[0], run.prompt])
    for launch in (run.launch, run.tool):
        if launch and launch.get("tool_name") in SUBAGENT_TOOLS and "tool_use_id" in launch:
            maker.forget("tool", launch["tool_use_id"])
    evidence.use(*run.notes)


def _lacks_launch(maker: Maker, run: SubagentRun) -> bool:
    """Return whether the launch of a run, which is its parent, may still be reported."""
    if run.launch or run.tool:
        return False
    latest = run.completed or run.start or (run.ends or run.inside)[0]
    patience = {} if run.completed else {"patience_s": QUIET_S}
    return maker.evidence.may_wait(latest, **patience)


def _failed(maker: Maker, run: SubagentRun) -> bool:
    if run.launch and run.launch["event"] == "PostToolUseFailure":
        return True
    if any(note["event"] == "StopFailure" for note in run.ends[-1:]):
        return True
    execution = maker.evidence.executions.get(run.tool.get("tool_use_id", "")) if run.tool else None
    return execution is not None and execution.get("success") is False


def _agent_type(run: SubagentRun, result: dict) -> str:
    notes = (run.start, *run.ends, run.completed)
    known = [note["agent_type"] for note in notes if note and note.get("agent_type")]
    tool = [run.tool["subagent_type"]] if run.tool and "subagent_type" in run.tool else []
    return next(iter([*known, *(result[key] for key in ("agentType",) if key in result), *tool]), "Agent")


def _of_agent(result: dict, completed: dict | None) -> dict:
    names_of = {"resolvedModel": "model", "totalTokens": "total_tokens", "totalToolUseCount": "tool_uses"}
    attributes = {name: result[key] for key, name in names_of.items() if key in result}
    if completed:
        attributes |= {name: completed[name] for name in names_of.values() if name in completed}
    background = result.get("status") == "async_launched" or (completed or {}).get("background")
    return attributes | ({"background": True} if background else {})
