"""Hook events of Claude Code: a recorded session, and functions that build notes of others."""

import json
from pathlib import Path
from typing import Any

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


def in_order(events: list) -> list[dict]:
    """Return the notes of events that are given as second, name and fields."""
    return [noted({"hook_event_name": name, "prompt_id": "p", **more}, round(1_000 * at)) for at, name, more in events]
