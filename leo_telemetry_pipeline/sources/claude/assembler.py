"""Span assembler: merges hook and OpenTelemetry notes of one Claude Code session into spans, each once.

Belongs here: the order in which spans are built, and whether a session has resumed. Pure functions.
Does not: which notes form which span (tools, agents, prompts, exported), files (notebook).
"""

from leo_telemetry_pipeline.sources.claude.agents import make_agents
from leo_telemetry_pipeline.sources.claude.evidence import Evidence
from leo_telemetry_pipeline.sources.claude.exported import (
    forget_logs,
    make_events,
    make_executions,
    make_requests,
    make_waits,
)
from leo_telemetry_pipeline.sources.claude.maker import Maker
from leo_telemetry_pipeline.sources.claude.prompts import make_prompts
from leo_telemetry_pipeline.sources.claude.tools import make_tools
from leo_telemetry_pipeline.span import Span


def spans(
    notes: list[dict], *, session: str, project: str = "", final: bool = False, now_ns: int = 0
) -> tuple[list[Span], list[dict]]:
    """Return the spans that a session's notes complete, and the notes that are still needed.

    ``final``: the session has ended, so open operations stay open. ``now_ns``: wall time, for giving up on missing
    notes; 0 disables timeouts. OpenTelemetry's records may arrive after the end of a session: only ``final`` with
    ``now_ns`` 0 means that no more records will. Notes that form an invalid span are left out.
    """
    maker = Maker(session, project, Evidence(notes, final=final, now_ns=now_ns))
    for make in (make_tools, make_agents, make_prompts, make_requests, make_waits, make_executions, make_events):
        make(maker)
    forget_logs(maker)
    return maker.spans, maker.evidence.needed()


def resumed(notes: list[dict], since_ns: float) -> bool:
    """Return whether the session's last prompt began after ``since_ns`` (monotonic clock) and is unanswered."""
    last = next((note for note in reversed(notes) if note["event"] == "UserPromptSubmit"), None)
    if last is None or last["monotonic_ns"] <= since_ns:
        return False
    answered = [note for note in notes if note["event"] in ("Stop", "StopFailure") and "agent_id" not in note]
    return not any(note.get("prompt_id") == last.get("prompt_id") for note in answered)
