"""Operations in progress, of programs and of Claude Code sessions, and which of them are overdue.

Belongs here: reading them, with their time-outs. Does not: open spans (store.open_spans), notes of sessions
(sources.claude), alerts about overdue ones (slow_spans).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from leo_telemetry_pipeline.analysis.time_outs import SPANS_MOST, time_out_ms
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources.claude import notebook
from leo_telemetry_pipeline.sources.claude import running as claude
from leo_telemetry_pipeline.store import folded_names, open_spans
from leo_telemetry_pipeline.store.history import longest_spans
from leo_telemetry_pipeline.store.server.database import Database

# A process sends a heartbeat every five seconds and may be late once; a session is silent while it thinks or waits for
# an answer.
_SILENT_S, _SILENT_SESSION_S = open_spans.LOST_AFTER_S, 3600.0
_MOMENTS = ("wall_ns", "end_ns", "at_ns")


@dataclass(frozen=True, kw_only=True)
class RunningOperation:
    """Operation in progress, of a process on a host or of a Claude Code session, which has no span ids yet.

    ``time_out_s``: how long it may work, judged by the longest of its recent spans; None if it has too few.
    """

    span_type: str
    span_name: str
    started_at: datetime
    open_s: float
    silent_s: float
    waited_s: float = 0.0
    time_out_s: float | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    sd_id: str | None = None
    project: str = ""
    host: str | None = None
    pid: int | None = None
    session: str | None = None

    @property
    def worked_s(self) -> float:
        """Time that it has been open without waiting for a person."""
        return self.open_s - self.waited_s

    @property
    def is_overdue(self) -> bool:
        """Whether it has worked longer than its time-out."""
        return self.time_out_s is not None and self.worked_s > self.time_out_s

    @property
    def seems_gone(self) -> bool:
        """Whether its process or session has been silent for so long that it may have ended."""
        return self.silent_s > (_SILENT_S if self.session is None else _SILENT_SESSION_S)


def read(database: Database, settings: Settings, now: float) -> list[RunningOperation]:
    """Return all operations in progress; ``now`` in seconds since the epoch."""
    notes = notebook.notes_of(str(settings.home))
    opened = [RunningOperation(**vars(span)) for span in open_spans.running(database)]
    return with_time_outs(database, [*opened, *of_sessions(notes, settings.project, now)])


def with_time_outs(database: Database, operations: Sequence[RunningOperation]) -> list[RunningOperation]:
    """Return operations with their time-outs."""
    names = {_name(one) for one in operations if not _may_wait(one)}
    if not names:
        return list(operations)
    folded = folded_names.folded_ones(database, names)
    longest = longest_spans.of(database, {folded.get(name, name) for name in names}, SPANS_MOST)
    limits = {}
    for name in names:
        if of_name := longest.get(folded.get(name, name)):
            limits[name] = time_out_ms(of_name.spans, of_name.longest_ms)
    known = [None if _may_wait(one) else limits.get(_name(one)) for one in operations]
    return [
        replace(one, time_out_s=None if limit is None else limit / 1000)
        for one, limit in zip(operations, known, strict=True)
    ]


def of_sessions(notes: Iterable[list[dict]], project: str, now: float) -> list[RunningOperation]:
    """Return the open operations in the notes of each Claude Code session, without time-outs."""
    return [
        RunningOperation(
            span_type=operation.span_type,
            span_name=operation.span_name,
            started_at=datetime.fromtimestamp(operation.start_time_ms / 1000, UTC),
            open_s=max(0.0, now - operation.start_time_ms / 1000),
            silent_s=max(0.0, now - _last_word(of_session) / 1e9),
            project=project,
            session=operation.session,
        )
        for of_session in notes
        for operation in claude.open_operations(of_session)
    ]


def _name(operation: RunningOperation) -> tuple[str, str]:
    return operation.span_type, operation.span_name


def _may_wait(operation: RunningOperation) -> bool:
    """Return whether an operation may just wait for a person: a wait, or a prompt, whose notes do not tell."""
    return operation.span_type == "wait" or (operation.session is not None and operation.span_type == "handoff")


def _last_word(notes: Sequence[dict]) -> float:
    return max((note.get(name) or 0 for note in notes for name in _MOMENTS), default=0)
