"""Which spans a span had to wait for: trees of spans, and the path of time through them.

Belongs here: trees out of spans, lost parents, the walk back from a span's end, which spans a dimension is made of.
Does not: clocks that disagree (clocks), comparing traces with others (attribution).

Time on the path is a span's own work where none of its children is, and waiting in queue where a child was ready but
not yet begun. The walk is the usual one for call trees: from the end of a span to the child that ended last, from
that child's start to the one that ended last before it, and so on to the start.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from leo_telemetry_pipeline.analysis.clocks import ROUNDING_MS, fit

WAIT = "wait"
HANDOFF = "handoff"
EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Forest:
    """The spans of whole traces as trees; every field has one entry per span, times in ms.

    ``children`` are rows, those that ended last in front; ``parents`` are rows, -1 for none. ``start`` and ``end`` are
    as the host of the outermost span would have measured them, give or take ``leeway``.
    ``handoffs``: row of the trace's handoff, -1 for none.
    """

    types: list[str]
    keys: list[str]
    start: list[float]
    end: list[float]
    queue: list[float]
    judged: np.ndarray
    leeway: list[float]
    parents: list[int]
    children: list[list[int]]
    attributes: list[Any]
    handoffs: list[int]


class Step(NamedTuple):
    """One span below another: its own time, its wait in queue, and whether its parent had to wait for it; in ms."""

    row: int
    own_ms: float
    queue_ms: float
    is_awaited: bool


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """A span of which a tree is made; times in ms. Without a duration its end counts, without both it has no length."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    span_type: str
    span_name: str
    start_time_ms: float
    end_time_ms: float | None
    duration_ms: float | None
    queue_wait_ms: float | None = None
    attributes: Mapping[str, Any] | None = None
    host: str | None = None

    @property
    def length_ms(self) -> float | None:
        """How long it took, where that is known."""
        if self.duration_ms is not None:
            return max(self.duration_ms, 0.0)
        return None if self.end_time_ms is None else max(self.end_time_ms - self.start_time_ms, 0.0)


def forest(spans: Iterable[TraceSpan]) -> Forest:
    """Build the trees of spans.

    Spans without a length are left out, and so are spans of type ``execution``: what they do is their parent's own
    work, and what lies in them lies in that. A span whose parent is lost hangs on the trace's longest outermost span,
    if it lies in its time. A child that cannot lie where its clock says is moved into its parent, with all below it.
    """
    there, parent_ids = _without_execution([one for one in spans if one.length_ms is not None])
    length = np.array([one.length_ms for one in there], dtype=float)
    start = np.array([one.start_time_ms for one in there], dtype=float)
    traces, types = [one.trace_id for one in there], [one.span_type for one in there]
    parents = _parents(traces, [one.span_id for one in there], parent_ids, start, start + length)
    leeway = fit(start, length, parents, [(one.trace_id, _host(one)) for one in there])
    end = (start + length).tolist()
    children: list[list[int]] = [[] for _ in there]
    # Of two that end together the longer explains more.
    for row in np.lexsort((start, -(start + length))).tolist():
        if parents[row] >= 0:
            children[parents[row]].append(row)
    return Forest(
        types=types,
        keys=[f"{one.span_type}:{one.span_name}" for one in there],
        start=start.tolist(),
        end=end,
        queue=[max(one.queue_wait_ms or 0.0, 0.0) for one in there],
        leeway=leeway.tolist(),
        judged=_judged(length, types, parents),
        parents=parents,
        children=children,
        attributes=[one.attributes for one in there],
        handoffs=_handoffs(traces, types, start.tolist()),
    )


def walk(trees: Forest, top: int) -> Iterator[Step]:
    """Yield a step for every span of the tree below ``top``, itself included, parents before children.

    A span is on the critical path of ``top`` where it and all between them are awaited. The times of these sum up to
    the duration of ``top``; those of other spans are what they would be if they had been awaited.
    """
    start, end, children, leeway = trees.start, trees.end, trees.children, trees.leeway
    waiting: list[tuple[int, float, float, float, float, bool]] = [(top, start[top], end[top], 0.0, 0.0, True)]
    while waiting:
        row, begin, finish, shift, queue, is_awaited = waiting.pop()
        own, cursor, play = finish - begin, finish, 0.0
        later: tuple[int, float, float, float] | None = None
        for child in children[row]:
            moved = shift
            over = end[child] + shift - cursor
            if ROUNDING_MS < over <= max(play, leeway[child]):
                moved -= over
            child_begin, child_end = max(start[child] + moved, begin), min(end[child] + moved, finish)
            if child_end < child_begin or child_end > cursor + ROUNDING_MS:
                # It outlived its parent, or ran while another did that ended later.
                waiting.append((child, child_begin, max(child_begin, child_end), moved, 0.0, False))
                continue
            child_end, child_begin = min(child_end, cursor), min(child_begin, cursor)
            own -= child_end - child_begin
            if later:
                own -= _put(waiting, later, min(trees.queue[later[0]], cursor - child_end))
            later, cursor, play = (child, child_begin, child_end, moved), child_begin, max(play, leeway[child])
        if later:
            own -= _put(waiting, later, min(trees.queue[later[0]], cursor - begin))
        yield Step(row, own, queue, is_awaited)


def critical_path(trees: Forest, top: int) -> list[Step]:
    """Return the steps that a span had to wait for, itself first; own and queue times sum up to its duration in ms."""
    awaited = {trees.parents[top]}
    path = []
    for step in walk(trees, top):
        if step.is_awaited and trees.parents[step.row] in awaited:
            awaited.add(step.row)
            path.append(step)
    return path


def rows_of(trees: Forest, dimension_type: str, dimension_key: str) -> list[int]:
    """Return the rows of the spans that a dimension is made of, by the dimension grammar."""
    span_type, _, attribute = dimension_type.partition("+")
    if attribute:
        of_type = (row for row, found in enumerate(trees.types) if found == span_type)
        prefix = f"{span_type}:"
        return [
            row
            for row in of_type
            if f"{trees.keys[row]}:{attribute_of(trees, row, attribute)}" == prefix + dimension_key
        ]
    wanted = f"{dimension_type}:{dimension_key}"
    if rows := [row for row, key in enumerate(trees.keys) if key == wanted]:
        return rows
    handoffs = (row for row, found in enumerate(trees.types) if found == HANDOFF)
    return [row for row in handoffs if text(mapping(trees.attributes[row]).get(dimension_type)) == dimension_key]


def attribute_of(trees: Forest, row: int, name: str) -> str:
    """Return a span's attribute as text, else that of its trace's handoff, else nothing."""
    own = text(mapping(trees.attributes[row]).get(name))
    if own or trees.handoffs[row] < 0:
        return own
    return text(mapping(trees.attributes[trees.handoffs[row]]).get(name))


def mapping(attributes: Any) -> Mapping[str, Any]:
    """Return attributes, or none where a row has something else."""
    return attributes if isinstance(attributes, Mapping) else {}


def text(value: Any) -> str:
    """Write a value as a key has it: as JSON does, without quotes; nested values and none are nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, (str, int, float)) and value == value else ""


def _without_execution(spans: list[TraceSpan]) -> tuple[list[TraceSpan], list[str | None]]:
    """Return spans without those of type ``execution`` that have a parent, to which their children go; and parents."""
    above: dict[tuple[str, str | None], str] = {
        (one.trace_id, one.span_id): one.parent_span_id
        for one in spans
        if one.span_type == EXECUTION and one.parent_span_id is not None
    }
    there = [one for one in spans if one.span_type != EXECUTION or one.parent_span_id is None]
    parents = []
    for one in there:
        passed, left = set(), one.parent_span_id
        while (one.trace_id, left) in above and left not in passed:
            passed.add(left)
            left = above[one.trace_id, left]
        parents.append(left)
    return there, parents


def _put(waiting: list, child: tuple[int, float, float, float], queue: float) -> float:
    # Its wait in queue is known when the one that ended last before it is.
    waiting.append((*child, queue, True))
    return queue


def _parents(traces: list, ids: list, parent_ids: list, start: np.ndarray, end: np.ndarray) -> list[int]:
    rows = {pair: row for row, pair in reversed(list(enumerate(zip(traces, ids, strict=True))))}
    given = [bool(parent) for parent in parent_ids]
    outermost: dict[Any, int] = {}
    length = end - start
    for row, trace in enumerate(traces):
        if not given[row] and length[row] > length[outermost.get(trace, row)] - (trace not in outermost):
            outermost[trace] = row
    parents = []
    for row, (trace, parent) in enumerate(zip(traces, parent_ids, strict=True)):
        found = rows.get((trace, parent), -1) if given[row] else -1
        root = outermost.get(trace, -1)
        if given[row] and found < 0 and root >= 0 and start[row] < end[root] and end[row] > start[root]:
            found = root
        parents.append(found if found != row else -1)
    return _without_circles(parents)


def _without_circles(parents: list[int]) -> list[int]:
    seen = [-1] * len(parents)
    for row in range(len(parents)):
        at = row
        while at >= 0 and seen[at] < 0:
            seen[at] = row
            at = parents[at]
        if at >= 0 and seen[at] == row:
            parents[at] = -1
    return parents


def _host(span: TraceSpan) -> str:
    named = mapping(span.attributes)
    return text(span.host or named.get("host") or named.get("host.name") or named.get("pod"))


def _judged(length: np.ndarray, types: Iterable[str], parents: list[int]) -> np.ndarray:
    judged = length.copy()
    for row, span_type in enumerate(types):
        if span_type == WAIT and parents[row] >= 0:
            judged[parents[row]] -= length[row]
    return judged.clip(min=0)


def _handoffs(traces: list, types: list[str], start: list[float]) -> list[int]:
    first: dict[Any, int] = {}
    for row, (trace, span_type) in enumerate(zip(traces, types, strict=True)):
        if span_type == HANDOFF and (trace not in first or start[row] < start[first[trace]]):
            first[trace] = row
    return [first.get(trace, -1) for trace in traces]
