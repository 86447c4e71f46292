"""One trace: its waterfall with the critical path, and a typical trace beside it.

Belongs here: the model of the page. Does not: which lines are shown (analysis.trace_tree), finding traces
(actions.traces).
"""

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

from leo_telemetry_pipeline.actions import traces as action
from leo_telemetry_pipeline.actions.traces import Trace
from leo_telemetry_pipeline.analysis.critical_path import WAIT
from leo_telemetry_pipeline.analysis.trace_tree import Line, StepTimes, TraceTree, lines_of, spent
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import traces
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard.page import Asked, Missing

QUERY = {
    "under": "The id of a span: only it and the spans below it",
    "name": "A type and name, such as tool:Read: only these",
    "after": "The id of a span: only those that are less important",
}
# Lines of the waterfall; the most important of them with their attributes.
SHOWN, ATTRIBUTED = 500, 60
MOST_ATTRIBUTES, LONGEST_VALUE = 30, 120
# Ticks of the time axis.
_TICKS = 4
# A tree takes a second and 100 MB at worst: one at once keeps the server small.
_one_at_once = Lock()


@dataclass(frozen=True)
class About:
    """What is stored of a span. ``more``: number of further attributes."""

    span_id: str
    parent_span_id: str | None
    status: str | None
    sd_id: str | None
    project: str
    began: datetime | None
    attributes: tuple[tuple[str, str], ...]
    more: int


@dataclass(frozen=True)
class Row:
    """Line of the waterfall: a span, ``count`` spans of one name, or ``count`` that are not shown (``is_rest``).

    ``ms``: in all; ``longest_ms``: of the longest. ``adds_ms``: on the critical path, None beside it. ``offset``,
    ``width`` and ``queue`` (before it): parts of the time shown, 0 to 1. ``under``, ``name`` and ``after``: the query
    of the page that shows more of it.
    """

    depth: int
    name: str
    count: int
    is_rest: bool
    is_wait: bool
    has_end: bool
    ms: float
    longest_ms: float
    queue_ms: float
    adds_ms: float | None
    offset: float
    width: float
    queue: float
    under: str | None
    of_name: str | None
    after: str | None
    about: About | None


@dataclass(frozen=True)
class Beside:
    """Typical trace, and the steps whose times differ."""

    trace_id: str
    ms: float
    normal_ms: float
    steps: tuple[StepTimes, ...]


@dataclass(frozen=True)
class TracePage:
    """Everything on the page. ``subject``: the span whose subtree is shown, None for the whole trace."""

    trace_id: str
    name: str
    ms: float
    began: datetime | None
    root: About | None
    spans: int
    is_part: bool
    is_running: bool
    working_ms: float
    waiting_ms: float
    queued_ms: float
    subject: str | None
    ticks_ms: tuple[float, ...]
    rows: tuple[Row, ...]
    beside: Beside | None


def read(database: Database, asked: Asked) -> TracePage:
    """Read the page of a trace, or of a part of it."""
    try:
        word = asked.path["trace_id"]
        trace_id = action.whole_id(word) or action.find(database, word)
        with _one_at_once, _uncollected():
            trace = action.read(database, trace_id)
            lines = _lines(trace.tree, asked.query)
            is_whole = not asked.query.get("under") and not asked.query.get("name")
            normal = action.typical(database, trace) if is_whole else None
            return _page(database, trace, lines, asked.query, normal and _beside(normal))
    except UserError as error:
        raise Missing(error.message) from None


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the garbage collector: it would go through all spans again and again while they are read."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _lines(tree: TraceTree, query: Mapping[str, str]) -> list[Line]:
    under, after = (_row(tree, query.get(name)) for name in ("under", "after"))
    lines = lines_of(tree, SHOWN, under=under, name=query.get("name") or None, after=after)
    if not lines:
        raise Missing("This part of the trace has no spans")
    return lines


def _row(tree: TraceTree, span_id: str | None) -> int | None:
    if not span_id:
        return None
    row = tree.row_of(span_id)
    if row is None:
        raise Missing("This trace has no such span: open the whole trace instead")
    return row


def _page(
    database: Database, trace: Trace, lines: Sequence[Line], query: Mapping[str, str], beside: Beside | None
) -> TracePage:
    tree, times = trace.tree, spent(trace.tree)
    begin, end = min(line.start for line in lines), max(line.end for line in lines)
    chosen = sorted((line for line in lines if line.count == 1 and not line.is_rest), key=_importance)[:ATTRIBUTED]
    rows = [line.row for line in chosen]
    root = tree.span(tree.root).span_id
    starts = {span.span_id: span.start_time_ms for span in (tree.span(row) for row in {*rows, tree.root})}
    known = {span.span_id: _about(span) for span in traces.some_spans(database, trace.trace_id, starts)}
    subject = tree.row_of(query["under"]) if query.get("under") else None
    return TracePage(
        trace.trace_id,
        trace.name,
        trace.ms,
        _moment(tree.forest.start[tree.root]),
        known.get(root),
        len(tree.forest.start),
        trace.is_part,
        trace.is_running,
        times.working,
        times.waiting,
        times.queued,
        query.get("name") or (None if subject is None else tree.forest.keys[subject]),
        tuple((end - begin) * tick / _TICKS for tick in range(_TICKS + 1)),
        tuple(_of_line(tree, line, (begin, end), query.get("name") or None, known) for line in lines),
        beside,
    )


def _importance(line: Line) -> tuple[bool, float]:
    return not line.is_on_path, -line.sum_ms


def _of_line(
    tree: TraceTree, line: Line, shown: tuple[float, float], opened: str | None, known: Mapping[str, About]
) -> Row:
    begin, whole = shown[0], max(shown[1] - shown[0], 1e-9)
    span, is_group = tree.span(line.row), line.count > 1 and not line.is_rest
    parent = tree.span(line.parent).span_id if line.parent >= 0 else None
    queue_ms = 0.0 if line.count > 1 else tree.forest.queue[line.row]
    offset = (line.start - begin) / whole
    return Row(
        line.depth,
        "" if line.is_rest else tree.forest.keys[line.row],
        line.count,
        line.is_rest,
        tree.forest.types[line.row] == WAIT,
        line.row not in tree.unended,
        line.sum_ms,
        tree.length(line.row),
        queue_ms,
        line.path_ms if line.is_on_path else None,
        round(offset, 4),
        round((line.end - line.start) / whole, 4),
        round(min(queue_ms / whole, offset), 4),
        parent if line.count > 1 or line.is_rest else span.span_id,
        tree.forest.keys[line.row] if is_group else opened if line.is_rest and line.depth <= 1 else None,
        None if line.after is None else tree.span(line.after).span_id,
        None if line.count > 1 or line.is_rest else known.get(span.span_id),
    )


def _about(span: Span) -> About:
    pairs = [(name, _short(value)) for name, value in list(span.attributes.items())[:MOST_ATTRIBUTES]]
    return About(
        span.span_id,
        span.parent_span_id,
        span.status,
        span.sd_id,
        span.project,
        _moment(span.start_time_ms),
        tuple(pairs),
        max(0, len(span.attributes) - MOST_ATTRIBUTES),
    )


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _beside(normal: action.Typical) -> Beside:
    return Beside(normal.trace.trace_id, normal.trace.ms, normal.normal_ms, tuple(normal.steps))


def _moment(ms: float) -> datetime | None:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    except OverflowError:
        return None
