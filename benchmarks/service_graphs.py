"""Simulated traces of services that call each other, with one service delayed.

Belongs here: random call graphs, their spans as an instrumented system would send them, and the delay. Does not:
running the analysis (bench_causes).

A request is a server span with filters and a controller, which computes, queries databases and calls other services
through client spans. Between a client span and its server span is a gap. What makes it hard: generic names, filters
without children that outlast the controller, parallel calls, asynchronous siblings, clocks that disagree, server spans
that are lost or sent as siblings of their client spans, pods instead of service names.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from leo_telemetry_pipeline.analysis.critical_path import Forest, TraceSpan, forest

DEEPEST = 6
SIGMA = 0.3
LEAST_GAIN = 1.25
LOST = 0.02
TYPE = "operation"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
DELAYS = ("network", "accept", "work")
FILTER, CLIENT = "OncePerRequestFilter.doFilter", "HTTP POST"
DAY_MS = 86_400_000
BEGAN_MS = 1_750_000_000_000.0


@dataclass(frozen=True)
class Handling:
    """How one service handles a request; ``calls`` run one after the other, or at once if ``is_parallel``.

    ``filter``: ``around`` the controller, or, without children, ``beside`` it or ``outside`` the server span.
    """

    service: str
    depth: int
    work_ms: float
    is_parallel: bool
    calls: tuple["Handling", ...]
    queries: int
    filter: str
    has_async: bool
    number: int


@dataclass(frozen=True)
class Graph:
    """A call graph and how its spans look. ``named_by``: attribute with the service, ``service.name`` or ``pod``.

    ``is_flat``: server spans are sent as siblings of their client spans.
    """

    root: Handling
    services: tuple[str, ...]
    named_by: str
    has_routes: bool
    has_kinds: bool
    is_flat: bool
    skew_ms: dict[str, float]
    pods: dict[str, tuple[str, ...]]

    @property
    def dimension(self) -> tuple[str, str]:
        """The server span of the whole request."""
        return TYPE, _server_name(self, self.root)


@dataclass(frozen=True)
class Delay:
    """A delay of one service: of what it sends (``network``), of requests to it (``accept``), or of its ``work``."""

    service: str
    what: str
    ms: float


@dataclass
class _Trace:
    number: int
    rng: np.random.Generator
    graph: Graph
    delay: Delay | None
    spans: list[TraceSpan] = field(default_factory=list)

    def put(self, parent: str | None, service: str, name: str, start: float, end: float, kind: str = "internal") -> str:
        span_id = f"{self.number}-{len(self.spans)}"
        attributes = {self.graph.named_by: service}
        if self.graph.named_by == "pod":
            pods = self.graph.pods[service]
            attributes = {"pod": pods[self.number % len(pods)]}
        if self.graph.has_kinds:
            attributes["span.kind"] = kind
        at = BEGAN_MS + self.number * 600_000 + self.graph.skew_ms[service]
        begin, finish = np.floor(at + start), np.floor(at + end)
        made = TraceSpan(str(self.number), span_id, parent, TYPE, name, begin, finish, finish - begin, 0.0, attributes)
        self.spans.append(made)
        return span_id

    def drawn(self, median_ms: float) -> float:
        return float(median_ms * self.rng.lognormal(0, SIGMA))

    def late(self, service: str, *kinds: str) -> float:
        delay = self.delay
        if delay is None or delay.service != service or delay.what not in kinds:
            return 0.0
        return delay.ms * float(self.rng.lognormal(0, 0.1))


def graph(rng: np.random.Generator) -> Graph:
    """Return a random call graph of 5 to 15 services, up to DEEPEST calls deep."""
    services = tuple(f"ts-{word}-service" for word in rng.permutation(WORDS)[: int(rng.integers(5, 16))])
    count = [0]
    root = _handling(rng, services, 0, services[0], count)
    is_skewed = rng.random() < 0.3
    skew = {service: float(rng.normal(0, 2_000)) if is_skewed else 0.0 for service in services}
    pods = {service: tuple(_pod(rng, service) for _ in range(int(rng.integers(1, 3)))) for service in services}
    return Graph(
        root,
        services,
        "service.name" if rng.random() < 0.7 else "pod",
        bool(rng.random() < 0.6),
        bool(rng.random() < 0.5),
        bool(rng.random() < 0.2),
        skew,
        pods,
    )


def _handling(
    rng: np.random.Generator, services: tuple[str, ...], depth: int, service: str, count: list[int]
) -> Handling:
    number = count[0]
    count[0] += 1
    most = 0 if depth >= DEEPEST or count[0] > 20 else int(rng.integers(2 if depth == 0 else 0, 4))
    # Calls go to services further down, so that a graph has no cycles.
    below = services[services.index(service) + 1 :]
    calls = []
    for other in rng.choice(below, min(most, len(below)), replace=False) if below else ():
        calls.append(_handling(rng, services, depth + 1, str(other), count))
    return Handling(
        service,
        depth,
        float(rng.lognormal(3, 0.7)),
        bool(rng.random() < 0.3),
        tuple(calls),
        int(rng.integers(0, 3)),
        str(rng.choice(["none", "around", "beside", "outside"], p=[0.2, 0.3, 0.3, 0.2])),
        bool(rng.random() < 0.3),
        number,
    )


def handlings(root: Handling) -> Iterator[Handling]:
    """Yield a handling and all below it."""
    yield root
    for call in root.calls:
        yield from handlings(call)


def traces(rng: np.random.Generator, made: Graph, count: int, delay: Delay | None = None) -> list[TraceSpan]:
    """Return the spans of ``count`` requests, some of them lost."""
    spans: list[TraceSpan] = []
    for number in range(count):
        trace = _Trace(number, rng, made, delay)
        _handled(trace, made.root, None, 0.0)
        spans += [span for span in trace.spans if span.parent_span_id is None or not _is_lost(rng, span)]
    return spans


def forest_of(rng: np.random.Generator, made: Graph, count: int, delay: Delay | None = None) -> Forest:
    """Return the trees of ``count`` requests."""
    return forest(traces(rng, made, count, delay))


def _is_lost(rng: np.random.Generator, span: TraceSpan) -> bool:
    return not span.span_name.startswith(CLIENT) and rng.random() < LOST


def _handled(trace: _Trace, handling: Handling, parent: str | None, start: float) -> float:
    """Lay out a server span that begins at ``start``, with all below it, and return its end."""
    service = handling.service
    # Reserve the id: the span is written once its end is known.
    ids = len(trace.spans)
    trace.spans.append(None)  # type: ignore[arg-type]
    server = f"{trace.number}-{ids}"
    at, above = start + trace.drawn(0.5), server
    outer = None
    if handling.filter == "around":
        outer = len(trace.spans)
        trace.spans.append(None)  # type: ignore[arg-type]
        above, at = f"{trace.number}-{outer}", at + trace.drawn(0.5)
    inner = len(trace.spans)
    trace.spans.append(None)  # type: ignore[arg-type]
    controller = f"{trace.number}-{inner}"
    began = at + trace.drawn(1.0)
    end = _worked(trace, handling, controller, began)
    last = end + trace.drawn(0.5)
    _set(trace, inner, above, service, f"Controller{handling.number}.handle", began, end)
    if outer is not None:
        _set(trace, outer, server, service, FILTER, at, last)
    if handling.filter == "beside":
        # Begins before the controller and ends after it, without being its parent.
        trace.put(server, service, FILTER, began - 0.3, last)
    last += trace.drawn(1.0)
    if handling.filter == "outside" and parent:
        trace.put(parent, service, FILTER, start - 0.2, last + 0.2)
    _set(trace, ids, parent, service, _server_name(trace.graph, handling), start, last, "server")
    return last


def _worked(trace: _Trace, handling: Handling, controller: str, start: float) -> float:
    service = handling.service
    share = handling.work_ms / (len(handling.calls) + handling.queries + 1)
    at = start + trace.drawn(share) + trace.late(service, "work")
    if handling.has_async:
        trace.put(controller, service, "AsyncLogger.append", at, at + trace.drawn(handling.work_ms * 8))
    for _ in range(handling.queries):
        end = at + trace.drawn(3.0) + trace.late(service, "network")
        trace.put(controller, service, "SELECT", at, end, "client")
        at = end + trace.drawn(share)
    ends = [at]
    for call in handling.calls:
        end = _called(trace, handling, call, controller, at)
        ends.append(end)
        if not handling.is_parallel:
            at = end + trace.drawn(share)
    return max(*ends, at) + trace.drawn(share)


def _called(trace: _Trace, caller: Handling, callee: Handling, parent: str, at: float) -> float:
    row = len(trace.spans)
    trace.spans.append(None)  # type: ignore[arg-type]
    to = at + trace.drawn(1.5) + trace.late(caller.service, "network") + trace.late(callee.service, "accept")
    back = _handled(trace, callee, parent if trace.graph.is_flat else f"{trace.number}-{row}", to)
    end = back + trace.drawn(1.5) + trace.late(callee.service, "network")
    _set(trace, row, parent, caller.service, CLIENT, at, end, "client")
    return end


def _set(
    trace: _Trace,
    row: int,
    parent: str | None,
    service: str,
    name: str,
    start: float,
    end: float,
    kind: str = "internal",
) -> None:
    trace.put(parent, service, name, start, end, kind)
    made = trace.spans.pop()
    trace.spans[row] = TraceSpan(
        made.trace_id,
        f"{trace.number}-{row}",
        parent,
        made.span_type,
        made.span_name,
        made.start_time_ms,
        made.end_time_ms,
        made.duration_ms,
        made.queue_wait_ms,
        made.attributes,
    )


def _server_name(made: Graph, handling: Handling) -> str:
    return f"POST /api/v1/{handling.service}/{handling.number}" if made.has_routes or handling is made.root else "POST"


def _pod(rng: np.random.Generator, service: str) -> str:
    letters = ["".join(rng.choice(list(LETTERS), size)) for size in (10, 5)]
    return f"{service}-{letters[0]}-{letters[1]}"


WORDS = (
    "travel", "order", "station", "train", "route", "price", "seat", "config", "food", "contacts", "user", "auth",
    "basic", "ticket", "security", "payment", "notice", "preserve", "consign", "rebook",
)  # fmt: skip


def delayed(rng: np.random.Generator) -> tuple[Graph, Delay, Forest, Forest]:
    """Return a graph, a delay that slows its requests by a quarter or more, and traces before and since.

    The root's service is never delayed, because the callers of the root are outside the traces.
    """
    while True:
        made = graph(rng)
        called = sorted({each.service for each in handlings(made.root)} - {made.root.service})
        if not called:
            continue
        what = str(rng.choice(DELAYS))
        before = forest_of(rng, made, int(rng.integers(60, 120)))
        normal = _median(before)
        delay = Delay(str(rng.choice(called)), what, normal * float(rng.uniform(0.3, 1.5)))
        after = forest_of(rng, made, int(rng.integers(60, 120)), delay)
        if _median(after) > LEAST_GAIN * normal:
            return made, delay, before, after


def _median(trees: Forest) -> float:
    tops = [row for row, parent in enumerate(trees.parents) if parent < 0]
    return float(np.median(trees.judged[tops]))
