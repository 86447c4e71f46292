"""Critical path through trees of spans.

Belongs here: building trees, lost parents, the walk back from a span's end, selecting the spans of a dimension.
Does not: clock skew (clocks), comparing traces (attribution).

The walk is the usual one for call trees: from the end of a span to the child that ended last, from that child's start
to the one that ended last before it, and so on. Time not covered by a child is the span's own work, or queue wait if
the next child was ready.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from leo_telemetry_pipeline.analysis import services as calls
from leo_telemetry_pipeline.analysis.clocks import ROUNDING_MS, fit
from leo_telemetry_pipeline.dimension import Dimension

WAIT = "wait"
HANDOFF = "handoff"
EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Forest:
    """The spans of whole traces as trees; every field has one entry per span, times in ms.

    ``children``: rows, latest end first; ``parents`` and ``handoffs`` (of the trace): rows, -1 for none. ``start`` and
    ``end`` are by the clock of the root span's host, with an uncertainty of ``leeway``. ``services`` and ``callees``
    (the service that a span calls): empty for none. ``beside``: by row, children that ran concurrently with siblings.
    ``places``: of the spans in the input.
    ``sampled``: per dimension, the traces that represent it, if not all do; ``above_ms``: its spans above this judged
    time, if not all do.
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
    services: list[str]
    callees: list[str]
    beside: dict[int, list[int]]
    traces: list[Any]
    places: list[int]
    sampled: Mapping[Dimension, Collection[str]] = field(default_factory=dict)
    above_ms: Mapping[Dimension, float] = field(default_factory=dict)


class Step(NamedTuple):
    """One span below another: own time and queue wait in ms, and whether its parent had to wait for it."""

    row: int
    own_ms: float
    queue_ms: float
    is_awaited: bool


class TraceSpan(NamedTuple):
    """One span of the input; times in ms. The length is the duration, else end minus start, else unknown."""

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
        """The length, or None if unknown."""
        if self.duration_ms is not None:
            return self.duration_ms if self.duration_ms > 0 else 0.0
        return None if self.end_time_ms is None else max(self.end_time_ms - self.start_time_ms, 0.0)


def forest(spans: Iterable[TraceSpan]) -> Forest:
    """Build the trees of spans.

    Spans without a length are left out. Spans of type ``execution`` are merged into their parents. A span whose parent
    is lost becomes a child of the trace's longest root if their times overlap. Subtrees are corrected for clock skew.
    """
    spans = list(spans)
    lengths = [span.length_ms for span in spans]
    places = [place for place, span in enumerate(spans) if lengths[place] is not None and not _is_merged(span)]
    kept = [spans[place] for place in places]
    parent_ids = _without_execution(spans, kept)
    length = np.array([lengths[place] for place in places], dtype=float)
    start = np.array([span.start_time_ms for span in kept], dtype=float)
    traces, types = [span.trace_id for span in kept], [span.span_type for span in kept]
    parents = _parents(traces, [span.span_id for span in kept], parent_ids, start, start + length)
    attributes = [mapping(span.attributes) for span in kept]
    services = calls.once_each(attributes, calls.service_of)
    of_calls = calls.with_calls(traces, services, parents)
    # In a trace of several services, a span without a host is assumed to have its service's clock.
    named = calls.once_each(attributes, _host)
    hosts = [
        (span.host and text(span.host)) or named[row] or (services[row] if traces[row] in of_calls else "")
        for row, span in enumerate(kept)
    ]
    leeway = fit(start, length, parents, list(zip(traces, hosts, strict=True)))
    starts, end = start.tolist(), (start + length).tolist()
    is_known = [kept[above].span_id == given for above, given in zip(parents, parent_ids, strict=True)]
    parents = calls.below_clients(parents, is_known, services, starts, end)
    children: list[list[int]] = [[] for _ in kept]
    # Ties: of two spans that end together, the longer one explains more.
    for row in np.lexsort((start, -(start + length))).tolist():
        if parents[row] >= 0:
            children[parents[row]].append(row)
    concerned = [row for row in range(len(kept)) if traces[row] in of_calls] if of_calls else []
    among = {row: calls.beside(row, services, starts, end, children) for row in concerned}
    return Forest(
        types=types,
        keys=[f"{span.span_type}:{span.span_name}" for span in kept],
        start=starts,
        end=end,
        queue=[max(span.queue_wait_ms, 0.0) if span.queue_wait_ms else 0.0 for span in kept],
        leeway=leeway.tolist(),
        judged=_judged(length, types, parents),
        parents=parents,
        children=children,
        attributes=[span.attributes for span in kept],
        handoffs=_handoffs(traces, types, starts),
        services=services,
        callees=calls.callees(services, attributes, parents, children),
        beside={row: found for row, found in among.items() if found},
        traces=traces,
        places=places,
    )


def walk(trees: Forest, top: int, *, only_awaited: bool = False) -> Iterator[Step]:
    """Yield a step for every span of the tree below ``top``, itself included, parents before children.

    ``only_awaited`` leaves out what is below spans that were not awaited, which is most of a large trace.

    A span is on the critical path of ``top`` if it and all spans between them are awaited; their times sum up to the
    duration of ``top``. Times of other spans are hypothetical, as if they were awaited.
    """
    start, end, children, leeway = trees.start, trees.end, trees.children, trees.leeway
    waiting: list[tuple[int, float, float, float, float, bool]] = [(top, start[top], end[top], 0.0, 0.0, True)]
    while waiting:
        row, begin, finish, shift, queue, is_awaited = waiting.pop()
        own, cursor, play = finish - begin, finish, 0.0
        later: tuple[int, float, float, float] | None = None
        among, covered = trees.beside.get(row, ()), []
        for child in children[row]:
            if child in among:
                continue
            moved = shift
            over = end[child] + shift - cursor
            if ROUNDING_MS < over <= max(play, leeway[child]):
                moved -= over
            child_begin, child_end = max(start[child] + moved, begin), min(end[child] + moved, finish)
            if child_end < child_begin or child_end > cursor + ROUNDING_MS:
                # The child outlived its parent, or ran concurrently with a child that ended later.
                if not only_awaited:
                    waiting.append((child, child_begin, max(child_begin, child_end), moved, 0.0, False))
                continue
            child_end, child_begin = min(child_end, cursor), min(child_begin, cursor)
            own -= child_end - child_begin
            covered.append((child_begin, child_end))
            if later:
                own -= _put(waiting, covered, later, min(trees.queue[later[0]], cursor - child_end))
            later, cursor, play = (child, child_begin, child_end, moved), child_begin, max(play, leeway[child])
        if later:
            own -= _put(waiting, covered, later, min(trees.queue[later[0]], cursor - begin))
        steps = list(_between(trees, row, (begin, finish), shift, covered)) if among else []
        yield Step(row, own - sum(step.own_ms for step in steps), queue, is_awaited)
        yield from steps


def _between(
    trees: Forest, row: int, span: tuple[float, float], shift: float, covered: list[tuple[float, float]]
) -> Iterator[Step]:
    """Yield the children that ran concurrently with others, each with the time that no sibling covers."""
    free = _without([span], covered)
    for child in trees.beside[row]:
        if calls.outlives(child, row, trees.services, trees.end):
            yield Step(child, 0.0, 0.0, is_awaited=True)
            continue
        taken = (trees.start[child] + shift, trees.end[child] + shift)
        left = _without(free, [taken])
        yield Step(child, _length(free) - _length(left), 0.0, is_awaited=True)
        free = left


def _without(spans: list[tuple[float, float]], taken: list[tuple[float, float]]) -> list[tuple[float, float]]:
    for begin, end in taken:
        spans = [
            part
            for left, right in spans
            for part in ((left, min(right, begin)), (max(left, end), right))
            if part[0] < part[1]
        ]
    return spans


def _length(spans: list[tuple[float, float]]) -> float:
    return sum(end - begin for begin, end in spans)


def critical_path(trees: Forest, top: int) -> list[Step]:
    """Return the steps on the critical path of a span, itself first; their times sum up to its duration in ms."""
    awaited = {trees.parents[top]}
    path = []
    for step in walk(trees, top, only_awaited=True):
        if step.is_awaited and trees.parents[step.row] in awaited:
            awaited.add(step.row)
            path.append(step)
    return path


def rows_of(trees: Forest, dimension_type: str, dimension_key: str) -> list[int]:
    """Return the rows of the spans that represent a dimension."""
    rows = _rows_of(trees, dimension_type, dimension_key)
    name = dimension_type, dimension_key
    sampled, above_ms = trees.sampled.get(name), trees.above_ms.get(name)
    if sampled is not None:
        rows = [row for row in rows if trees.traces[row] in sampled]
    return rows if above_ms is None else [row for row in rows if trees.judged[row] > above_ms]


def _rows_of(trees: Forest, dimension_type: str, dimension_key: str) -> list[int]:
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
    """Return an attribute of a span, else of its trace's handoff, as text; empty if missing."""
    own = text(mapping(trees.attributes[row]).get(name))
    if own or trees.handoffs[row] < 0:
        return own
    return text(mapping(trees.attributes[trees.handoffs[row]]).get(name))


def mapping(attributes: Any) -> Mapping[str, Any]:
    """Return the attributes, or an empty mapping if they are not a mapping."""
    # Checking for a dictionary first takes a tenth of the time.
    return attributes if type(attributes) is dict or isinstance(attributes, Mapping) else {}


def text(value: Any) -> str:
    """Return a value as it appears in a dimension key: JSON without quotes; empty for nested values and None."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, (str, int, float)) and value == value else ""


def _is_merged(span: TraceSpan) -> bool:
    return span.span_type == EXECUTION and span.parent_span_id is not None


def _without_execution(spans: list[TraceSpan], kept: list[TraceSpan]) -> list[str | None]:
    """Return the parent id of each span that is kept, past ``execution`` spans that have a parent."""
    above: dict[Any, str | None] = {(one.trace_id, one.span_id): one.parent_span_id for one in spans if _is_merged(one)}
    parents = []
    for span in kept:
        seen, parent = set(), span.parent_span_id
        while parent is not None and (span.trace_id, parent) in above and parent not in seen:
            seen.add(parent)
            parent = above[span.trace_id, parent]
        parents.append(parent)
    return parents


def _put(waiting: list, covered: list, child: tuple[int, float, float, float], queue: float) -> float:
    # The queue wait is known only once the preceding child is known.
    waiting.append((*child, queue, True))
    covered.append((child[1] - queue, child[1]))
    return queue


def _parents(traces: list, ids: list, parent_ids: list, start: np.ndarray, end: np.ndarray) -> list[int]:
    pairs = [*zip(traces, ids, strict=True)]
    # Of several spans with one id, the first.
    rows = dict(zip(reversed(pairs), reversed(range(len(pairs))), strict=True))
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


def _host(attributes: Mapping[str, Any]) -> str:
    return text(attributes.get("host") or attributes.get("host.name") or attributes.get("pod"))


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
