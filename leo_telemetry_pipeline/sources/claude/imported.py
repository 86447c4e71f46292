"""Spans from a file's Claude Code records, built once no more records of a session follow.

Belongs here: collecting notes by session, within bounded memory. Does not: files, which spans notes form (assembler).
"""

from collections.abc import Iterator

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.claude import assembler, otel_notes, otlp_logs
from leo_telemetry_pipeline.span import Span

# Beyond this, the sessions with the oldest last note are finished. A note takes about 2 KB.
MOST_NOTES = 100_000


class SessionNotes:
    """The notes of the sessions of one file."""

    def __init__(self) -> None:
        self._sessions: dict[str, list[dict]] = {}
        self._count = 0

    def add(self, note: dict) -> None:
        """Add a note to its session, which becomes the most recent session."""
        notes = self._sessions.pop(note["session"], [])
        notes.append(note)
        self._sessions[note["session"]] = notes
        self._count += 1

    def add_logs(self, request: dict, policy: redact.Policy) -> int:
        """Add the Claude Code log events of a log request; return how many."""
        before = self._count
        for note in otel_notes.of_logs(otlp_logs.records_of(request), policy, 0):
            self.add(note)
        return self._count - before

    def surplus(self, project: str) -> Iterator[Span]:
        """Yield the spans of the oldest sessions beyond MOST_NOTES."""
        while self._count > MOST_NOTES and len(self._sessions) > 1:
            yield from self._finish(next(iter(self._sessions)), project)

    def rest(self, project: str) -> Iterator[Span]:
        """Yield the spans of all remaining sessions, at the end of the file."""
        while self._sessions:
            yield from self._finish(next(iter(self._sessions)), project)

    def _finish(self, session: str, project: str) -> Iterator[Span]:
        notes = self._sessions.pop(session)
        self._count -= len(notes)
        spans, _ = assembler.spans(notes, session=session, project=project, final=True)
        yield from map(redact.clean, spans)
