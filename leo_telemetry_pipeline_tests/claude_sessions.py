"""Recorded sessions of Claude Code 2.1.332 as notes, by hooks and by OpenTelemetry.

Recorded from the real program against a fake of its API (leo_telemetry_pipeline_tests/claude). Paths and plans were
replaced, and log events that no test reads were left out.
"""

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from leo_telemetry_pipeline.sources.claude import hook_notes, otel_notes, otlp_logs
from leo_telemetry_pipeline.sources.claude.otel_notes import Record
from leo_telemetry_pipeline.sources.otlp import otlp_json

_FILE = Path(__file__).parent / "cases" / "claude_code_2_1_332_sessions.jsonl.gz"
_NS = 1_000_000_000


@dataclass(frozen=True)
class Session:
    """A scenario: ``hooks`` and ``otlp`` are notes in order of arrival, ``raw`` is the recording."""

    name: str
    id: str
    hooks: list[dict]
    otlp: list[dict]
    raw: dict[str, Any]

    @property
    def both(self) -> list[dict]:
        """The notes from both ways in order of arrival."""
        return sorted(self.hooks + self.otlp, key=arrival)


def arrival(note: dict) -> int:
    """Return when a note arrived, as epoch ns."""
    return note.get("arrived_ns") or note["wall_ns"]


@cache
def sessions() -> dict[str, Session]:
    """Return all recorded sessions by name."""
    with gzip.open(_FILE, "rt", encoding="utf-8") as file:
        return {session.name: session for session in map(_session, file)}


def _session(line: str) -> Session:
    raw = json.loads(line)
    hooks = []
    for told in raw["hooks"]:
        moment = round(told["at"] * _NS)
        note = hook_notes.note(told["event"], moment, moment)
        assert note is not None
        hooks.append(note)
    otlp = [note for post in raw["otlp"] for note in _notes(post["body"], round(post["at"] * _NS))]
    # In the form in which a file of notes returns them.
    hooks, otlp = json.loads(json.dumps([hooks, otlp]))
    return Session(raw["name"], raw["hooks"][0]["event"]["session_id"], hooks, otlp, raw)


def _notes(body: dict, arrived_ns: int) -> list[dict]:
    sender = otel_notes.sender({}, {"service.version": "2.1.332"})
    found = [otel_notes.of_log(record, sender, arrived_ns) for _, record in otlp_logs.records_of(body)]
    for part in body.get("resourceSpans", []):
        for span in (span for scope in part["scopeSpans"] for span in scope["spans"]):
            given = otlp_json.decode(span)
            ids = (given.name, given.trace_id, given.span_id, given.parent_id)
            record = Record(*ids, given.start_ns, given.end_ns, given.attributes, given.status == "ERROR")
            found.append(otel_notes.of_span(record, sender, arrived_ns))
    return [note for note in found if note is not None]
