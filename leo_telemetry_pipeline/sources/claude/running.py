"""Open operations of Claude Code sessions, from their notes.

Belongs here: which prompts, sub-agents and tools have started but not ended.
Does not: files of notes (notebook), spans of finished operations (assembler), output (cli).
"""

from typing import NamedTuple

from leo_telemetry_pipeline.sources.claude.names import prompt_name, tool_kind
from leo_telemetry_pipeline.sources.claude.notebook import session_of

_STOPS = ("Stop", "StopFailure")
_TOOL_ENDS = ("PostToolUse", "PostToolUseFailure")


class OpenOperation(NamedTuple):
    """An operation that has started but not ended; times are UTC epoch milliseconds."""

    span_type: str
    span_name: str
    start_time_ms: int
    session: str


def open_operations(notes: list[dict]) -> list[OpenOperation]:
    """Return the open prompts, sub-agents and tools of one session's notes, oldest first.

    Hooks report the start of prompts and sub-agents; running tools are known only from OpenTelemetry's log events.
    """
    session = session_of(notes)
    running: dict[tuple[str, str], OpenOperation] = {}
    over: dict[tuple[str, str], OpenOperation] = {}
    prompts = {note["trace"]: note["prompt_id"] for note in notes if "trace" in note and "prompt_id" in note}
    for note in sorted(notes, key=_moment):
        for key in _ended(note, prompts) & running.keys():
            over[key] = running.pop(key)
        # A user's Stop hook prevented the stop, so the prompt goes on.
        for key in _goes_on(note) & over.keys():
            running[key] = over.pop(key)
        for key, span_type, span_name in _begun(note):
            # If two installations deliver the same event, the first one counts. Only a sub-agent can start again after
            # its end.
            if key not in running and (key not in over or key[0] == "agent"):
                running[key] = OpenOperation(span_type, span_name, _moment(note) // 1_000_000, session)
    return sorted(running.values(), key=lambda operation: operation.start_time_ms)


def _moment(note: dict) -> int:
    return note.get("wall_ns") or note.get("end_ns") or note.get("at_ns") or 0


def _begun(note: dict) -> list[tuple[tuple[str, str], str, str]]:
    kind, event = note["event"], note.get("name")
    if kind == "UserPromptSubmit" or (kind, event) == ("OtelLog", "user_prompt"):
        if note.get("synthetic"):
            return []
        return [(("prompt", note.get("prompt_id", "")), "handoff", prompt_name(note))]
    if kind == "SubagentStart" and "agent_id" in note:
        return [(("agent", note["agent_id"]), "subagent", note.get("agent_type", "Agent"))]
    if (kind, event) == ("OtelLog", "tool_decision") and note.get("decision") == "accept":
        return [(("tool", note.get("tool_use_id", "")), *tool_kind(note))]
    return []


def _goes_on(note: dict) -> set[tuple[str, str]]:
    return {("prompt", note.get("prompt_id", ""))} if note["event"] in _TOOL_ENDS and "agent_id" not in note else set()


def _ended(note: dict, prompts: dict[str, str]) -> set[tuple[str, str]]:
    kind = (note["event"], note.get("name"))
    agent, prompt = ("agent", note.get("agent_id", "")), ("prompt", note.get("prompt_id", ""))
    if note["event"] in _STOPS:
        return {agent if "agent_id" in note else prompt}
    if note["event"] == "SubagentStop" or kind == ("OtelLog", "subagent_completed"):
        return {agent}
    if note["event"] in _TOOL_ENDS or kind == ("OtelLog", "tool_result"):
        return {("tool", note.get("tool_use_id", "")), *_foreground(note)}
    if kind == ("OtelSpan", "interaction"):
        return {("prompt", prompts.get(note["trace"], ""))}
    return set()


def _foreground(note: dict) -> set[tuple[str, str]]:
    result = note.get("agent", {})
    return {("agent", result["agentId"])} if result.get("status") == "completed" and "agentId" in result else set()
