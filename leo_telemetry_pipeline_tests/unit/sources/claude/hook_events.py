"""Events that Claude Code tells its hooks: a recorded session, and ways to note others."""

import json
from pathlib import Path
from typing import Any

from leo_telemetry_pipeline.sources.claude import assembler, hook_notes
from leo_telemetry_pipeline.span import Span

# One session of Claude Code 2.1.197 with two parallel tools, sub-agents in the foreground, in the background and
# inside another; paths were replaced.
RECORDED = Path(__file__).parents[3] / "claude_code_hook_events.jsonl"
SESSION = "34d16b74-19b0-4e5e-8478-8384bc675ef4"
BEGAN_NS = 1_795_000_000_000_000_000
AGENT_EVENTS = ("SubagentStart", "SubagentStop")
OUTER, INNER, BACKGROUND = "ae4c95f0e32fd9e67", "a647043e6073cf7f0", "a46ffd79effb6a06d"


def recorded() -> list[dict]:
    """Note each event of the recording at its time."""
    lines = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    notes = [noted(line["event"], line["at_ms"]) for line in lines]
    assert len(notes) == 18
    return notes


def noted(event: dict[str, Any], at_ms: int = 0) -> dict:
    """Note an event some milliseconds after the beginning, which JSON must bring back as it was."""
    kept = hook_notes.note(event, BEGAN_NS + at_ms * 1_000_000, at_ms * 1_000_000)
    assert kept is not None
    return json.loads(json.dumps(kept))


def made(notes: list[dict], *, final: bool = False, project: str = "") -> list[Span]:
    """Make the spans of notes."""
    return assembler.spans(notes, session=SESSION, project=project, final=final)[0]


def names(spans: list[Span]) -> dict[str, str]:
    """Say of each span what is above it."""
    by_id = {span.span_id: f"{span.span_type}:{span.span_name}" for span in spans}
    return {
        f"{span.span_type}:{span.span_name} {span.duration_ms}": by_id.get(span.parent_span_id or "", "-")
        for span in spans
    }


def in_order(events: list) -> list[dict]:
    """Note events that are written as second, name and fields."""
    return [noted({"hook_event_name": name, "prompt_id": "p", **more}, round(1_000 * at)) for at, name, more in events]
