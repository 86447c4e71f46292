"""Simulated traces with known causes: random trees of spans with planted slowdowns.

Belongs here: families of traces as frames, and their true shares, computed without the analysis. Does not: running
the analysis (bench_causes). Arrays are nodes x traces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
import pandas as pd

from leo_telemetry_pipeline.analysis.critical_path import Forest, TraceSpan, forest

SIGMA = 0.25
DEEPEST = 5
LOST = 0.01
ROOT = 0
QUEUE_OF = "queue"


@dataclass(frozen=True)
class Node:
    """One node of the tree; nodes may share a ``key``. Medians in ms; ``chance``: probability that a trace has it."""

    key: str
    parent: int
    depth: int
    own_ms: float
    queue_ms: float
    chance: float
    host: str


@dataclass(frozen=True)
class Family:
    """A tree of spans; ``is_parallel``: whether the children of each node run concurrently."""

    nodes: tuple[Node, ...]
    is_parallel: tuple[bool, ...]
    skew_ms: Mapping[str, float]

    @property
    def dimension(self) -> tuple[str, str]:
        """Dimension type and key of the root span."""
        span_type, _, name = self.nodes[ROOT].key.partition(":")
        return span_type, name


@dataclass(frozen=True)
class Draw:
    """The random factors of some traces."""

    own: np.ndarray
    queue: np.ndarray
    is_there: np.ndarray
    sd_type: np.ndarray


@dataclass(frozen=True)
class Slowdown:
    """``added_ms`` per call in a key's own time, or in its queue wait (``what`` = queue)."""

    key: str
    added_ms: float
    what: str = "own"
    sd_type: str | None = None


@dataclass(frozen=True)
class Laid:
    """Start, end and queue wait of each span in ms."""

    start: np.ndarray
    end: np.ndarray
    queue: np.ndarray = field(repr=False)


SD_TYPES = ("feature", "bugfix", "refactor", "docs")


def family(rng: np.random.Generator, types: int = 20, twice: int = 3) -> Family:
    """Return a random tree of ``types`` span types, ``twice`` of which occur at a second node."""
    nodes = [Node("handoff:LEAD-TO-PLAN", -1, 0, float(rng.lognormal(9, 0.5)), 0.0, 1.0, "a")]
    words = ("phase", "gate", "subagent", "tool")
    skew = {"a": 0.0, "b": float(rng.choice([0.0, rng.normal(0, 60_000)], p=[0.7, 0.3]))}
    for number in range(1, types + twice):
        parents = [index for index, node in enumerate(nodes) if node.depth < DEEPEST]
        parent = int(rng.choice(parents))
        depth = nodes[parent].depth + 1
        key = f"{words[min(depth, 4) - 1]}:N{number}"
        if number >= types:
            depths = [node.key for node in nodes[1:types] if node.depth >= depth]
            key = str(rng.choice(depths)) if depths else key
        queue = float(rng.lognormal(6.5, 0.5)) if rng.random() < 0.4 else 0.0
        chance = 1.0 if rng.random() < 0.7 else float(rng.uniform(0.3, 0.9))
        host = str(rng.choice(["a", "b"], p=[0.8, 0.2]))
        nodes.append(Node(key, parent, depth, float(rng.lognormal(9, 0.7)), queue, chance, host))
    return Family(tuple(nodes), tuple(bool(rng.random() < 0.4) for _ in nodes), skew)


def draw(rng: np.random.Generator, made: Family, traces: int) -> Draw:
    """Draw log-normal factors of times, and which optional spans each trace has."""
    size = (len(made.nodes), traces)
    is_there = rng.random(size) < np.array([[node.chance] for node in made.nodes])
    for index, node in enumerate(made.nodes[1:], 1):
        is_there[index] &= is_there[node.parent]
    return Draw(rng.lognormal(0, SIGMA, size), rng.lognormal(0, 0.5, size), is_there, rng.choice(SD_TYPES, size=traces))


def lay(made: Family, drawn: Draw, slowdowns: Sequence[Slowdown] = ()) -> Laid:
    """Lay out the spans of all traces with these slowdowns; roots start at 0."""
    own = drawn.own * np.array([[node.own_ms] for node in made.nodes])
    queue = drawn.queue * np.array([[node.queue_ms] for node in made.nodes])
    for slow in slowdowns:
        rows = [index for index, node in enumerate(made.nodes) if node.key == slow.key]
        is_slow = drawn.is_there[rows] & ((drawn.sd_type == slow.sd_type) | (slow.sd_type is None))
        (own if slow.what == "own" else queue)[rows] += slow.added_ms * is_slow * drawn.own[rows]
    own, queue = own * drawn.is_there, queue * drawn.is_there
    children: list[list[int]] = [[] for _ in made.nodes]
    for index, node in enumerate(made.nodes[1:], 1):
        children[node.parent].append(index)
    length = _lengths(made, children, own, queue)
    start = np.zeros_like(own)
    for index, below in enumerate(children):
        segment = own[index] / (len(below) + 1)
        at = start[index] + segment
        for child in below:
            start[child] = at + queue[child]
            if not made.is_parallel[index]:
                at = start[child] + length[child] + segment
    return Laid(start, start + length, queue)


def _lengths(made: Family, children: list[list[int]], own: np.ndarray, queue: np.ndarray) -> np.ndarray:
    length = own.copy()
    for index in range(len(made.nodes) - 1, -1, -1):
        if below := children[index]:
            inside = queue[below] + length[below]
            length[index] += inside.max(axis=0) if made.is_parallel[index] else inside.sum(axis=0)
    return length


def frame(
    rng: np.random.Generator, made: Family, drawn: Draw, laid: Laid, first: int = 0, lost: float = LOST
) -> pd.DataFrame:
    """Return the spans as rows, in whole ms, with clock skew and lost spans."""
    count, traces = drawn.is_there.shape
    kept = drawn.is_there & ((rng.random((count, traces)) > lost) | (np.arange(count)[:, None] == ROOT))
    node, trace = np.nonzero(kept)
    skew = np.array([made.skew_ms[place.host] for place in made.nodes])
    at = 1_750_000_000_000 + (trace + first) * 60_000.0 + skew[node]
    parent = np.array([place.parent for place in made.nodes])[node]
    start = np.floor(at + laid.start[node, trace])
    end = np.floor(at + laid.end[node, trace])
    keys = np.array([place.key for place in made.nodes], dtype=object)[node]
    sd_types = drawn.sd_type[trace]
    return pd.DataFrame(
        {
            "trace_id": trace + first,
            "span_id": [f"{first + t}-{n}" for t, n in zip(trace, node, strict=True)],
            "parent_span_id": [None if p < 0 else f"{first + t}-{p}" for t, p in zip(trace, parent, strict=True)],
            "span_type": [key.partition(":")[0] for key in keys],
            "span_name": [key.partition(":")[2] for key in keys],
            "start_time_ms": start,
            "end_time_ms": end,
            "duration_ms": end - start,
            "queue_wait_ms": np.round(laid.queue[node, trace]),
            "host": np.array([place.host for place in made.nodes], dtype=object)[node],
            "attributes": [
                {"sd_type": str(kind)} if number == ROOT else {} for number, kind in zip(node, sd_types, strict=True)
            ],
        }
    )


def spans_of(rows: pd.DataFrame) -> list[TraceSpan]:
    """Return rows as the input of an analysis."""
    names = set(TraceSpan._fields)
    records = rows.astype("object").where(rows.notna(), None).to_dict("records")
    return [TraceSpan(**{str(name): value for name, value in row.items() if name in names}) for row in records]


def forest_of(rows: pd.DataFrame) -> Forest:
    """Return the trees of rows."""
    return forest(spans_of(rows))


def truth(made: Family, drawn: Draw, slowdowns: Sequence[Slowdown]) -> list[float]:
    """Return the share of each slowdown in the time added to the root span.

    The Shapley value: the mean marginal time over all orders, because in concurrent spans it depends on the others.
    """
    lengths = {
        chosen: float(lay(made, drawn, [slowdowns[index] for index in chosen]).end[ROOT].mean())
        for order in permutations(range(len(slowdowns)))
        for chosen in (tuple(sorted(order[:size])) for size in range(len(order) + 1))
    }
    orders = list(permutations(range(len(slowdowns))))
    added = np.zeros(len(slowdowns))
    for order in orders:
        for size, index in enumerate(order):
            added[index] += lengths[tuple(sorted(order[: size + 1]))] - lengths[tuple(sorted(order[:size]))]
    return (added / added.sum()).tolist()


def disagreement(made: Family, drawn: Draw, slowdowns: Sequence[Slowdown]) -> float:
    """Return the largest difference between what a slowdown adds alone and as the last, relative to what all add."""

    def length(chosen: Sequence[Slowdown]) -> float:
        return float(lay(made, drawn, chosen).end[ROOT].mean())

    without, whole = length([]), length(slowdowns)
    apart = [
        (length([slow]) - without) - (whole - length([other for other in slowdowns if other is not slow]))
        for slow in slowdowns
    ]
    return max(map(abs, apart)) / (whole - without)
