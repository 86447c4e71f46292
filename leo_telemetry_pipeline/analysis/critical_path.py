"""Which spans a span had to wait for: trees of spans, and the path of time through them.

Belongs here: trees out of rows, lost parents, the walk back from a span's end, which spans a dimension is made of.
Does not: clocks that disagree (clocks), comparing traces with others (attribution).

Time on the path is a span's own work where none of its children is, and waiting in queue where a child was ready but
not yet begun. The walk is the usual one for call trees: from the end of a span to the child that ended last, from
that child's start to the one that ended last before it, and so on to the start.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leo_telemetry_pipeline.analysis.clocks import ROUNDING_MS, fit

WAIT = "wait"
HANDOFF = "handoff"
EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Forest:
    """The spans of whole traces as trees; every field has one entry a span, times in ms.

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


def forest(spans: pd.DataFrame) -> Forest:
    """Build the trees of a frame of spans.

    Columns: trace_id, span_id, parent_span_id, span_type, span_name, start_time_ms, end_time_ms, duration_ms,
    queue_wait_ms; host and attributes (dicts) where there are any. Rows without a length are left out, and so are spans
    of type ``execution``: what they do is their parent's own work, and what lies in them lies in that.
    A span whose parent is lost hangs on the trace's longest outermost span, if it lies in its time. A child that
    cannot lie where its clock says is moved into its parent, with all below it.
    """
    measured = spans["duration_ms"].astype("float64")
    length = measured.fillna(spans["end_time_ms"].astype("float64") - spans["start_time_ms"].astype("float64"))
    there = length.notna() & spans["start_time_ms"].notna()
    spans, length = spans.loc[there], length.loc[there].clip(lower=0)
    spans = _without_execution(spans)
    length = length.loc[spans.index].to_numpy()
    start = spans["start_time_ms"].to_numpy(dtype="float64").copy()
    traces, ids = spans["trace_id"].tolist(), spans["span_id"].tolist()
    types, names = spans["span_type"].tolist(), spans["span_name"].tolist()
    parents = _parents(traces, ids, spans["parent_span_id"].tolist(), start, start + length)
    attributes = spans["attributes"].tolist() if "attributes" in spans else [None] * len(ids)
    leeway = fit(start, length, parents, list(zip(traces, _hosts(spans, attributes), strict=True)))
    end = (start + length).tolist()
    children: list[list[int]] = [[] for _ in ids]
    # Of two that end together the longer explains more.
    for row in np.lexsort((start, -(start + length))).tolist():
        if parents[row] >= 0:
            children[parents[row]].append(row)
    return Forest(
        types=types,
        keys=[f"{span_type}:{name}" for span_type, name in zip(types, names, strict=True)],
        start=start.tolist(),
        end=end,
        queue=spans["queue_wait_ms"].astype("float64").fillna(0.0).clip(lower=0).tolist(),
        leeway=leeway.tolist(),
        judged=_judged(length, types, parents),
        parents=parents,
        children=children,
        attributes=attributes,
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


def _without_execution(spans: pd.DataFrame) -> pd.DataFrame:
    """Return the spans without those of type ``execution`` that have a parent, to which their children go."""
    is_left_out = (spans["span_type"] == EXECUTION) & spans["parent_span_id"].notna()
    if not is_left_out.any():
        return spans
    left_out = spans.loc[is_left_out]
    above = dict(
        zip(zip(left_out["trace_id"], left_out["span_id"], strict=True), left_out["parent_span_id"], strict=True)
    )
    parents = []
    for trace, parent in zip(spans["trace_id"], spans["parent_span_id"], strict=True):
        passed, left = set(), parent
        while (trace, left) in above and left not in passed:
            passed.add(left)
            left = above[trace, left]
        parents.append(left)
    return spans.assign(parent_span_id=pd.Series(parents, index=spans.index, dtype="object")).loc[~is_left_out]


def _put(waiting: list, child: tuple[int, float, float, float], queue: float) -> float:
    # Its wait in queue is known when the one that ended last before it is.
    waiting.append((*child, queue, True))
    return queue


def _parents(traces: list, ids: list, parent_ids: list, start: np.ndarray, end: np.ndarray) -> list[int]:
    rows = {pair: row for row, pair in reversed(list(enumerate(zip(traces, ids, strict=True))))}
    given = [(isinstance(parent, str) and parent != "") or _is_id(parent) for parent in parent_ids]
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


def _is_id(value: Any) -> bool:
    return value is not None and not isinstance(value, (str, float)) and value is not pd.NA


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


def _hosts(spans: pd.DataFrame, attributes: Sequence[Any]) -> list[str]:
    if "host" in spans:
        return [text(host) for host in spans["host"].tolist()]
    named = (mapping(given) for given in attributes)
    return [text(given.get("host") or given.get("host.name") or given.get("pod")) for given in named]


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
