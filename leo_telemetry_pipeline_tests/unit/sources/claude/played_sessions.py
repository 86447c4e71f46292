"""Spans of the recorded sessions, from every source in which Claude Code reports them."""

from collections import Counter

import pytest

from leo_telemetry_pipeline.sources.claude import assembler, otel_notes
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.claude_sessions import Session

# Reported by both. Requests, waits, executions, hooks and built-in commands are reported only by OpenTelemetry.
SHARED = ("handoff", "tool", "skill", "mcp_server", "subagent", "operation")
PROMPT, NOTIFICATION = "handoff:claude_code.interaction", "operation:claude_code.task_notification"
BASH, LOOKUP, SEARCH, READ = "tool:Bash", "tool:mcp__shop__lookup", "tool:ToolSearch", "tool:Read"
SHOP = "mcp_server:shop"
# All spans of each scenario that both sources report; failures are marked.
REPORTED: dict[str, dict[str, int]] = {
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
scenario = pytest.mark.parametrize("name", REPORTED)


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


def counted(spans: list[Span]) -> Counter[str]:
    """Count spans by type, name and failure."""
    shared = [span for span in spans if span.span_type in SHARED]
    ends = {"ERROR": " ERROR", "OK": "", None: " open"}
    return Counter(f"{span.span_type}:{span.span_name}{ends[span.status]}" for span in shared)


def keys(spans: list[Span]) -> dict[tuple[str, str], Span]:
    """Return spans by the key under which the store identifies them."""
    found = {(span.trace_id, span.span_id): span for span in spans}
    assert len(found) == len(spans)
    return found


def without_logs(session: Session) -> list[dict]:
    """Return the notes of a session without exported logs."""
    return [note for note in session.otlp if note["event"] == otel_notes.SPAN]
