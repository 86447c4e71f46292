"""Claude Code's records in a file become spans at its end, when nothing more of a session comes.

Belongs here: gathering notes by session while a file is read, within bounded memory. Does not: files (files), which
spans notes make (assembler).
"""

from collections.abc import Iterator

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.claude import assembler, otel_notes, otlp_logs
from leo_telemetry_pipeline.sources.otlp import conventions
from leo_telemetry_pipeline.span import Span

# With more of them the sessions that were told of longest ago are over. A note takes some 2 KB.
MOST_NOTES = 100_000


class Gathered:
    """The notes of the sessions of one file."""

    def __init__(self) -> None:
        self._sessions: dict[str, list[dict]] = {}
        self._count = 0

    def add(self, note: dict) -> None:
        """Keep a note for its session, which is the one told of last then."""
        notes = self._sessions.pop(note["session"], [])
        notes.append(note)
        self._sessions[note["session"]] = notes
        self._count += 1

    def add_logs(self, request: dict, policy: redact.Policy) -> int:
        """Keep the log events of Claude Code in a log request: how many."""
        before = self._count
        for resource, record in otlp_logs.records_of(request):
            columns, ours, others = conventions.split(resource)
            kept = policy.resource(others, {}, conventions.RESOURCE_KEYS) | policy.own(ours, {})
            if otel_notes.session_of(record.name, record.attributes):
                note = otel_notes.of_log(record, otel_notes.sender(columns, kept), 0)
                if note is not None:
                    self.add(note)
        return self._count - before

    def surplus(self, project: str) -> Iterator[Span]:
        """Yield the spans of sessions for which there is no room any more."""
        while self._count > MOST_NOTES and len(self._sessions) > 1:
            yield from self._finish(next(iter(self._sessions)), project)

    def rest(self, project: str) -> Iterator[Span]:
        """Yield the spans of all sessions, of which nothing more comes."""
        while self._sessions:
            yield from self._finish(next(iter(self._sessions)), project)

    def _finish(self, session: str, project: str) -> Iterator[Span]:
        notes = self._sessions.pop(session)
        self._count -= len(notes)
        spans, _ = assembler.spans(notes, session=session, project=project, final=True)
        yield from map(redact.clean, spans)
