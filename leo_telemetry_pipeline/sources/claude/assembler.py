"""The spans that the notes of one session of Claude Code make, each once: where hooks and OpenTelemetry meet.

Belongs here: the order in which spans are made, and whether a session that ended goes on. Pure functions.
Does not: which notes make which span (tools, agents, prompts, exported), files (notebook).
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
    """Return the spans that the notes of a session complete, each once, and the notes still needed for others.

    ``final`` says that the session has ended: what has no end gets none. ``now_ns`` is the wall time, by which what
    is missing stops being waited for; without it nothing is decided by time. OpenTelemetry's records of an ended
    session may still be on their way; only with ``final`` and no time it is certain that none come. Notes that make
    no valid span are left out.
    """
    maker = Maker(session, project, Evidence(notes, final=final, now_ns=now_ns))
    for make in (make_tools, make_agents, make_prompts, make_requests, make_waits, make_executions, make_events):
        make(maker)
    forget_logs(maker)
    return maker.spans, maker.evidence.needed()


def resumed(notes: list[dict], since_ns: float) -> bool:
    """Tell whether the session's last prompt began after a moment of the monotonic clock, and is not answered yet."""
    last = next((note for note in reversed(notes) if note["event"] == "UserPromptSubmit"), None)
    if last is None or last["monotonic_ns"] <= since_ns:
        return False
    answered = [note for note in notes if note["event"] in ("Stop", "StopFailure") and "agent_id" not in note]
    return not any(note.get("prompt_id") == last.get("prompt_id") for note in answered)
