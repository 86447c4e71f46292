"""A trace in the JSON trace event format, which the Perfetto viewer opens.

Belongs here: events and lanes, as pure functions. Does not: files (cli), OTLP.

The viewer draws the events of one lane inside each other, so a lane holds only spans that lie within their parents.
Others get a lane of their own, with an arrow from their parent. Times are in microseconds.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

from leo_telemetry_pipeline.analysis.trace_tree import TraceTree
from leo_telemetry_pipeline.span import Span

_COLUMNS = ("trace_id", "span_id", "parent_span_id", "sd_id", "project", "status", "queue_wait_ms")
_US = 1000


def events_of(tree: TraceTree, spans: Iterable[Span]) -> Iterator[dict[str, Any]]:
    """Yield the events of a trace; ``spans`` are its stored spans, for their attributes.

    Spans are in one group per service, on as few lanes as possible.
    """
    services = {name: number for number, name in enumerate(sorted(set(tree.forest.services)), 1)}
    lanes = lanes_of(tree)
    for name, number in services.items():
        yield _name("process_name", number, 0, name or "spans")
        used = {lane for row, lane in enumerate(lanes) if tree.forest.services[row] == name}
        for lane in sorted(used):
            yield _name("thread_name", number, lane, f"lane {lane}")
            yield {"ph": "M", "name": "thread_sort_index", "pid": number, "tid": lane, "args": {"sort_index": lane}}
    places = [(services[service], lane) for service, lane in zip(tree.forest.services, lanes, strict=True)]
    for row, stored in _with_rows(tree, spans):
        yield _event(tree, row, places[row], stored)
        parent = tree.forest.parents[row]
        if parent >= 0 and places[parent] != places[row]:
            yield from _arrow(tree, row, places[parent], places[row])


def _with_rows(tree: TraceTree, spans: Iterable[Span]) -> Iterator[tuple[int, Span | None]]:
    """Yield each row with its stored span, read one by one; spans in progress are not stored yet."""
    rows: dict[tuple[str, float], int] = {}
    for row in range(len(tree.forest.places)):
        span = tree.span(row)
        rows[span.span_id, span.start_time_ms] = row
    for span in spans:
        row = rows.pop((span.span_id, span.start_time_ms), None)
        if row is not None:
            yield row, span
    yield from ((row, None) for row in rows.values())


def lanes_of(tree: TraceTree) -> list[int]:
    """Return the lane of each row, from 1 on; a lane belongs to one service."""
    forest = tree.forest
    depth = _depths(tree)
    order = sorted(range(len(depth)), key=lambda row: (_us(forest.start[row]), depth[row], -_us(forest.end[row]), row))
    lanes = [0] * len(order)
    # By lane: the spans that have not ended, outermost first. By service: lanes, the first to be free first.
    stacks: dict[int, list[tuple[int, int]]] = {}
    free: dict[str, list[tuple[int, int]]] = {}
    for row in order:
        service, begin, end = forest.services[row], _us(forest.start[row]), _us(forest.end[row])
        parent = forest.parents[row]
        lane = lanes[parent] if parent >= 0 and forest.services[parent] == service else 0
        stack = stacks.get(lane, [])
        while stack and stack[-1][0] <= begin:
            stack.pop()
        if not stack or stack[-1][1] != parent or stack[-1][0] < end:
            waiting = free.setdefault(service, [])
            lane = heapq.heappop(waiting)[1] if waiting and waiting[0][0] <= begin else len(stacks) + 1
            stack = stacks[lane] = []
            heapq.heappush(waiting, (end, lane))
        stack.append((end, row))
        lanes[row] = lane
    return lanes


def _depths(tree: TraceTree) -> list[int]:
    depths = [0] * len(tree.forest.parents)
    waiting = list(tree.roots)
    while waiting:
        row = waiting.pop()
        for child in tree.forest.children[row]:
            depths[child] = depths[row] + 1
            waiting.append(child)
    return depths


def _event(tree: TraceTree, row: int, place: tuple[int, int], stored: Span | None) -> dict[str, Any]:
    span, forest, step = tree.span(row), tree.forest, tree.path.get(row)
    arguments: dict[str, Any] = {"span_id": span.span_id}
    if stored:
        arguments = {name: value for name in _COLUMNS if (value := getattr(stored, name)) not in (None, "")}
        arguments["attributes"] = stored.attributes
    if step:
        arguments["on_critical_path_ms"] = round(step.own_ms + step.queue_ms, 3)
    if row in tree.unended:
        arguments["has_no_end"] = True
    begin = _us(forest.start[row])
    return {
        "ph": "X",
        "name": span.span_name,
        "cat": f"{span.span_type},critical path" if step else span.span_type,
        "pid": place[0],
        "tid": place[1],
        "ts": begin,
        "dur": _us(forest.end[row]) - begin,
        "args": arguments,
    }


def _arrow(tree: TraceTree, row: int, above: tuple[int, int], own: tuple[int, int]) -> Iterator[dict[str, Any]]:
    forest, parent = tree.forest, tree.forest.parents[row]
    begin = _us(forest.start[row])
    left = min(max(begin, _us(forest.start[parent])), _us(forest.end[parent]))
    common = {"name": "child", "cat": "child", "id": row + 1}
    yield {"ph": "s", **common, "pid": above[0], "tid": above[1], "ts": left}
    yield {"ph": "f", "bp": "e", **common, "pid": own[0], "tid": own[1], "ts": begin}


def _name(what: str, pid: int, lane: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": pid, "tid": lane, "args": {"name": name}}


def _us(ms: float) -> int:
    return round(ms * _US)
