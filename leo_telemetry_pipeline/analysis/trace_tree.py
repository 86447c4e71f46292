"""One trace as a tree that people read: critical path, folded siblings, and a bounded number of lines.

Belongs here: which spans of a trace are shown, in which order and depth. Does not: the critical path itself
(critical_path), formats (web, cli, actions).
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leo_telemetry_pipeline.analysis.critical_path import WAIT, Forest, Step, TraceSpan, critical_path, forest

# More siblings of one type and name than this are shown as one line.
FOLDED_FROM = 20
# Steps whose times differ by less than this share of the longer trace are not compared.
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class TraceTree:
    """One trace. ``spans`` are those of the input; ``path`` holds the steps of the critical path by row of the forest.

    The path is that of the longest root. ``unended``: rows of spans without an end, which last as long as the trace.
    """

    forest: Forest
    spans: Sequence[TraceSpan]
    roots: list[int]
    path: dict[int, Step]
    unended: frozenset[int]

    @property
    def root(self) -> int:
        """The row of the longest root."""
        return self.roots[0]

    def span(self, row: int) -> TraceSpan:
        """Return the span of a row."""
        return self.spans[self.forest.places[row]]

    def length(self, row: int) -> float:
        """Return how long a span took, in ms."""
        return self.forest.end[row] - self.forest.start[row]

    def row_of(self, span_id: str) -> int | None:
        """Return the row of a span, None if the trace has no such span."""
        return next((row for row, at in enumerate(self.forest.places) if self.spans[at].span_id == span_id), None)


@dataclass(frozen=True)
class Line:
    """A span, several siblings of one type and name, or the siblings that are not shown; times in ms.

    ``rows``: of the spans, longest first. ``parent``: their parent's row, -1 for none. ``is_rest``: these siblings,
    which may have different names, are not shown; they follow ``after``, None if no sibling is shown.
    """

    depth: int
    rows: tuple[int, ...]
    parent: int
    start: float
    end: float
    sum_ms: float
    path_ms: float
    is_on_path: bool
    is_rest: bool = False
    after: int | None = None

    @property
    def row(self) -> int:
        """The row of the longest span."""
        return self.rows[0]

    @property
    def count(self) -> int:
        """The number of spans."""
        return len(self.rows)


@dataclass(frozen=True)
class Spent:
    """Where the time of a trace went, along its critical path, in ms."""

    working: float
    waiting: float
    queued: float

    @property
    def total(self) -> float:
        """The sum of all three."""
        return self.working + self.waiting + self.queued


@dataclass(frozen=True)
class StepTimes:
    """Time on the critical path that a step takes in two traces, in ms; 0 in a trace without it."""

    name: str
    here: float
    typical: float


def tree_of(spans: Sequence[TraceSpan], now_ms: float | None = None) -> TraceTree | None:
    """Return the tree of the spans of one trace, None without spans.

    A span without an end lasts until the latest moment of the trace, or until ``now_ms`` if that is given.
    """
    if not spans:
        return None
    unended = {place for place, span in enumerate(spans) if span.duration_ms is None and span.end_time_ms is None}
    ended = list(spans)
    if unended:
        latest = max(now_ms or 0.0, *(span.start_time_ms + (span.length_ms or 0.0) for span in spans))
        for place in unended:
            ended[place] = ended[place]._replace(end_time_ms=latest)
    trees = forest(ended)
    roots = [row for row, parent in enumerate(trees.parents) if parent < 0]
    roots.sort(key=lambda row: (trees.start[row] - trees.end[row], trees.start[row]))
    path = {step.row: step for step in critical_path(trees, roots[0])}
    return TraceTree(
        trees, ended, roots, path, frozenset(row for row, place in enumerate(trees.places) if place in unended)
    )


def spent(tree: TraceTree) -> Spent:
    """Return where the time of the trace's longest root went."""
    waiting = sum(step.own_ms for row, step in tree.path.items() if tree.forest.types[row] == WAIT)
    queued = sum(step.queue_ms for step in tree.path.values())
    return Spent(sum(step.own_ms for step in tree.path.values()) - waiting, waiting, queued)


def time_by_step(tree: TraceTree) -> dict[str, float]:
    """Return the time on the critical path by type and name, in ms; queue wait is a step of its own."""
    times: dict[str, float] = defaultdict(float)
    for row, step in tree.path.items():
        times[tree.forest.keys[row]] += step.own_ms
        if step.queue_ms:
            times[f"queue of {tree.forest.keys[row]}"] += step.queue_ms
    return dict(times)


def compared(tree: TraceTree, typical: TraceTree, most: int) -> list[StepTimes]:
    """Return the steps whose times differ, the largest added time first; together they explain the difference."""
    here, there = time_by_step(tree), time_by_step(typical)
    steps = [StepTimes(name, here.get(name, 0.0), there.get(name, 0.0)) for name in sorted(here.keys() | there.keys())]
    least = _LEAST_SHARE * max(tree.length(tree.root), typical.length(typical.root))
    differing = [step for step in steps if abs(step.here - step.typical) >= max(least, 1.0)]
    differing = sorted(differing, key=lambda step: -abs(step.here - step.typical))[:most]
    return sorted(differing, key=lambda step: step.typical - step.here)


def lines_of(
    tree: TraceTree, most: int, *, under: int | None = None, name: str | None = None, after: int | None = None
) -> list[Line]:
    """Return up to ``most`` lines, parents before children, siblings by their start.

    Chosen are spans on the critical path, and of the others the longest. ``under`` shows only this span and those below
    it. ``name`` (type and name) shows only the outermost of these with that name, unfolded. ``after`` leaves out those
    up to the one of that row, to show the rest.
    """
    below = tree.roots if under is None else tree.forest.children[under]
    if name is None:
        entries = _folded(tree, below)
    else:
        entries = _by_importance(tree, [(row,) for row in below if tree.forest.keys[row] == name])
    skipped = 1 + next((place for place, rows in enumerate(entries) if after in rows), -1)
    siblings = _Siblings(entries, skipped, skipped)
    families = {_NONE: siblings} if under is None else {_NONE: _Siblings([(under,)]), under: siblings}
    _choose(tree, families, most)
    return list(_lines(tree, families))


_NONE = -1


@dataclass
class _Siblings:
    """Children of one span, the most important first, of which those from ``first`` up to ``end`` are shown."""

    entries: list[tuple[int, ...]]
    first: int = 0
    end: int = 0


def _choose(tree: TraceTree, families: dict[int, _Siblings], most: int) -> None:
    """Show the most important entries; a span's children are offered once it is shown itself."""
    offers: list[tuple[tuple[bool, float, int], int]] = []

    def offer(parent: int) -> None:
        siblings = families[parent]
        if siblings.end < len(siblings.entries):
            heapq.heappush(offers, (_importance(tree, siblings.entries[siblings.end]), parent))

    offer(_NONE)
    while offers and most > 0:
        _, parent = heapq.heappop(offers)
        rows = families[parent].entries[families[parent].end]
        families[parent].end += 1
        most -= 1
        offer(parent)
        if len(rows) == 1:
            families.setdefault(rows[0], _Siblings(_folded(tree, tree.forest.children[rows[0]])))
            offer(rows[0])


def _lines(tree: TraceTree, families: dict[int, _Siblings]) -> Iterator[Line]:
    waiting = _below(tree, families[_NONE], _NONE, 0)
    while waiting:
        parent, depth, is_rest, rows = waiting.pop()
        siblings = families[parent]
        after = siblings.entries[siblings.end - 1][0] if is_rest and siblings.end else None
        yield _line(tree, rows, parent, depth, is_rest=is_rest, after=after)
        own = families.get(rows[0]) if len(rows) == 1 and not is_rest else None
        if own is not None:
            waiting += _below(tree, own, rows[0], depth + 1)


def _below(
    tree: TraceTree, siblings: _Siblings, parent: int, depth: int
) -> list[tuple[int, int, bool, tuple[int, ...]]]:
    """Return the lines of siblings, the last one first: those that are not shown, and the others by start."""
    rest = tuple(row for rows in siblings.entries[siblings.end :] for row in rows)
    shown = [(parent, depth, False, rows) for rows in _shown(tree, siblings)]
    return [(parent, depth, True, rest), *shown] if rest else shown


def _shown(tree: TraceTree, siblings: _Siblings) -> list[tuple[int, ...]]:
    """Return the entries that are shown, the last one to start first."""
    starts = tree.forest.start
    shown = siblings.entries[siblings.first : siblings.end]
    return sorted(shown, key=lambda rows: (-min(starts[row] for row in rows), -rows[0]))


def _folded(tree: TraceTree, rows: Sequence[int]) -> list[tuple[int, ...]]:
    by_name: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        by_name[tree.forest.keys[row]].append(row)
    entries: list[tuple[int, ...]] = []
    for same in by_name.values():
        if len(same) > FOLDED_FROM:
            entries.append(tuple(sorted(same, key=lambda row: (-tree.length(row), row))))
        else:
            entries += [(row,) for row in same]
    return _by_importance(tree, entries)


def _by_importance(tree: TraceTree, entries: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return sorted(entries, key=lambda rows: _importance(tree, rows))


def _importance(tree: TraceTree, rows: Sequence[int]) -> tuple[bool, float, int]:
    """Return the sort key of an entry, the smallest for the most important one."""
    start, end = tree.forest.start, tree.forest.end
    if len(rows) == 1:
        # Most entries of a large trace.
        return rows[0] not in tree.path, start[rows[0]] - end[rows[0]], rows[0]
    return tree.path.keys().isdisjoint(rows), -sum([end[row] - start[row] for row in rows]), rows[0]


def _line(tree: TraceTree, rows: tuple[int, ...], parent: int, depth: int, *, is_rest: bool, after: int | None) -> Line:
    steps = [tree.path[row] for row in rows if row in tree.path]
    return Line(
        depth,
        rows,
        parent,
        min(tree.forest.start[row] for row in rows),
        max(tree.forest.end[row] for row in rows),
        sum(map(tree.length, rows)),
        sum(step.own_ms + step.queue_ms for step in steps),
        bool(steps),
        is_rest,
        after,
    )
