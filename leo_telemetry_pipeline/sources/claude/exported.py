"""Spans of operations that only OpenTelemetry reports: model requests, waits, executions, hooks, compactions.

Belongs here: which exported record becomes which span. Does not: operations that hooks report too (prompts, tools,
agents), which fields are kept (otel_notes).
"""

from leo_telemetry_pipeline.sources.claude import ids
from leo_telemetry_pipeline.sources.claude.evidence import QUIET_S
from leo_telemetry_pipeline.sources.claude.maker import Maker
from leo_telemetry_pipeline.sources.claude.otel_notes import HOOKS
from leo_telemetry_pipeline.sources.claude.runs import is_launch

_REQUEST = (
    *("ttft_ms", "input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens"),
    *("effort", "attempt", "stop_reason", "speed", "query_source", "status_code"),
)
_KNOWN = {"interaction", "llm_request", "tool", "tool.execution", "tool.blocked_on_user", "hook"}
# Longer than any tool or prompt, which may take days.
_NO_END = 10**9


def make_requests(maker: Maker) -> None:
    """Add a span for each request to a model."""
    for note in maker.evidence.of("llm_request"):
        status = "ERROR" if note.get("success") is False else "OK"
        attributes = {name: note[name] for name in _REQUEST if name in note}
        maker.exported(note, ("llm", note.get("model", "llm_request")), status=status, attributes=attributes)


def make_waits(maker: Maker) -> None:
    """Add a span for each wait for a person, as a sibling of its tool, so that it is subtracted only once."""
    tools = {note["span"]: note for note in maker.evidence.tools.values()}
    decisions = {note["span"]: note for note in maker.evidence.logs.get("tool_decision", [])}
    for note in maker.evidence.of("tool.blocked_on_user"):
        tool = tools.get(note["parent"])
        if tool is None and maker.evidence.may_wait(note):
            continue
        tool = tool or decisions.get(note["span"], {})
        attributes = {name: note[name] for name in ("decision", "source") if name in note}
        kind = ("wait", tool.get("tool_name", "claude_code.tool.blocked_on_user"))
        maker.exported(note, kind, agent=tool.get("agent_id"), attributes=attributes)


def make_executions(maker: Maker) -> None:
    """Add a span for each execution of a tool, below that tool or the sub-agent that it launched."""
    for key, note in maker.evidence.executions.items():
        run = maker.by_tool.get(key)
        if run and run.tool and is_launch(run.tool):
            number = maker.runs[run.agent].index(run) + 1
            above = maker.id_of("agent", ids.run_key(run.agent, number))
        elif maker.is_built("tool", key) or not maker.evidence.may_wait(note, QUIET_S):
            above = maker.id_of("tool", key)
        else:
            continue
        status = "ERROR" if note.get("success") is False else "OK"
        kind = ("execution", "claude_code.tool.execution")
        maker.exported(note, kind, parent=above, status=status, attributes={"tool_use_id": key})


def make_events(maker: Maker) -> None:
    """Add spans for hooks, compactions, and operations that only newer versions export."""
    logs, memory = maker.evidence.logs.get(HOOKS, []), maker.evidence.memory
    memory.hooks_logged = memory.hooks_logged or bool(logs)
    for note in logs:
        maker.logged(note, _hook(note), "ERROR" if note.get("failed") else "OK", _hook_attributes(note))
    for note in maker.evidence.of("hook"):
        if memory.hooks_logged:
            # With some settings, Claude Code also exports the same hooks as spans.
            maker.evidence.use(note)
        elif not maker.evidence.may_wait(note):
            status = "ERROR" if note.get("failed") else "OK"
            above = None if note["parent"] else ""
            maker.exported(note, _hook(note), parent=above, status=status, attributes=_hook_attributes(note))
    for note in maker.evidence.logs.get("compaction", []):
        attributes = {name: note[name] for name in ("pre_tokens", "post_tokens") if name in note}
        status = "ERROR" if note.get("success") is False else "OK"
        maker.logged(note, ("compaction", note.get("trigger", "compaction")), status, attributes)
    for kind in sorted(maker.evidence.spans.keys() - _KNOWN):
        for note in maker.evidence.of(kind):
            maker.exported(note, ("operation", f"claude_code.{kind}"), attributes={})


def forget_logs(maker: Maker) -> None:
    """Release log events that only supplement other notes, once those notes have been used."""
    for note in maker.evidence.logs.get("user_prompt", []):
        if maker.is_built("prompt", note.get("prompt_id", "")) or not maker.evidence.may_wait(note, _NO_END):
            maker.evidence.use(note)
    for kind in ("tool_result", "tool_decision"):
        for note in maker.evidence.logs.get(kind, []):
            if maker.is_built("tool", note.get("tool_use_id", "")) or not maker.evidence.may_wait(note, _NO_END):
                maker.evidence.use(note)


def _hook(note: dict) -> tuple[str, str]:
    return "hook", note.get("hook_name") or note.get("hook_event") or "claude_code.hook"


def _hook_attributes(note: dict) -> dict:
    return {name: note[name] for name in ("hook_event", "hooks", "blocking", "failed", "cancelled") if note.get(name)}
