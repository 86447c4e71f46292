"""``leo-telemetry running``: show operations in progress, of programs and of Claude Code.

Belongs here: the command's output. Does not: reading open spans (store.open_spans), notes of sessions (sources.claude).
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import click

from leo_telemetry_pipeline.analysis.time_outs import SPANS_MOST, time_out_ms
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources.claude import notebook
from leo_telemetry_pipeline.sources.claude import running as claude
from leo_telemetry_pipeline.store import folded_names, open_spans
from leo_telemetry_pipeline.store.history import longest_spans
from leo_telemetry_pipeline.store.open_spans import OpenSpan
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database

# A process sends a heartbeat every five seconds and may be late once; a session is silent while it thinks or waits for
# an answer.
_SILENT_S, _SILENT_SESSION_S = open_spans.LOST_AFTER_S, 3600.0
_MOST_SHOWN = 50
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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def running(as_json: bool) -> None:
    """Show operations in progress, also prompts and sub-agents of Claude Code, and which are overdue."""
    settings = Settings()
    with database.ready(settings) as target, closing(Database(target, read_only=True)) as connection:
        operations = with_time_outs(connection, open_spans.running(connection))
    operations += of_sessions(notebook.notes_of(str(settings.home)), settings.project, time.time())
    operations.sort(key=lambda operation: -operation.open_s)
    if as_json:
        text.as_json([asdict(operation) for operation in operations])
        return
    if not operations:
        click.echo(f"No operation has been running for longer than {text.lasted(settings.open_after)}.")
        return
    click.echo(table_of(operations))


def with_time_outs(database: Database, opened: Sequence[OpenSpan]) -> list[RunningOperation]:
    """Return open spans as operations, with their time-outs."""
    names = {(span.span_type, span.span_name) for span in opened}
    dimensions = {name: folded_names.folded(database, name) or name for name in names}
    longest = longest_spans.of(database, set(dimensions.values()), SPANS_MOST)
    time_outs = {
        name: time_out_ms(longest[dimension].spans, longest[dimension].longest_ms)
        for name, dimension in dimensions.items()
        if dimension in longest
    }
    limits = [time_outs.get((span.span_type, span.span_name)) for span in opened]
    return [
        RunningOperation(**vars(span), time_out_s=None if limit is None else limit / 1000)
        for span, limit in zip(opened, limits, strict=True)
    ]


def of_sessions(notes: Sequence[list[dict]], project: str, now: float) -> list[RunningOperation]:
    """Return the open operations in the notes of each Claude Code session; ``now`` in seconds since the epoch."""
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


def table_of(operations: Sequence[RunningOperation]) -> str:
    """Format operations as a table, truncated to a readable size."""
    header = ("RUNNING FOR", "TIME-OUT", "OPERATION", "SD", "PROJECT", "PROCESS", "HEARD FROM")
    lines = [
        (
            text.lasted(row.open_s),
            None if row.time_out_s is None else text.lasted(row.time_out_s) + (", overdue" if _is_overdue(row) else ""),
            text.cut(f"{row.span_type}:{row.span_name}"),
            text.cut(row.sd_id) if row.sd_id else None,
            text.cut(row.project) if row.project else None,
            text.cut(f"session {row.session}" if row.session is not None else f"{row.pid} on {row.host}"),
            f"{text.lasted(row.silent_s)} ago" + (", gone?" if _seems_gone(row) else ""),
        )
        for row in operations[:_MOST_SHOWN]
    ]
    more = len(operations) - len(lines)
    return text.table(header, lines) + (f"\n... and {more} more (--json)" if more else "")


def _is_overdue(operation: RunningOperation) -> bool:
    return operation.time_out_s is not None and operation.open_s - operation.waited_s > operation.time_out_s


def _seems_gone(operation: RunningOperation) -> bool:
    return operation.silent_s > (_SILENT_S if operation.session is None else _SILENT_SESSION_S)


def _last_word(notes: Sequence[dict]) -> float:
    return max((note.get(name) or 0 for note in notes for name in _MOMENTS), default=0)
