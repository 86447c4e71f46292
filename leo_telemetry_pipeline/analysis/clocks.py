"""Clocks of several hosts as one: spans moved to where they must have been.

Belongs here: how far clocks are apart, told from children that do not lie in their parents. Does not: trees (the
caller's), what is on the critical path (critical_path).

A child on another host cannot begin before its parent or end after it. So each such pair says by how much one clock
is ahead of the other at most and at least; the middle of what suits all pairs of two hosts in a day is taken.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

# Times are cut and durations rounded to the millisecond, so that what followed each other may seem to overlap by one.
ROUNDING_MS = 1.0
DAY_MS = 86_400_000


def fit(start: np.ndarray, length: np.ndarray, parents: list[int], clocks: list[tuple[Any, str]]) -> np.ndarray:
    """Move spans that another clock measured into their parents, in place; return how far each may be off, in ms.

    One entry a span: start and length in ms, row of the parent (-1 for none), trace and host ("" for unknown).
    """
    leeway, ahead = np.zeros(len(start)), np.zeros(len(start))
    above = np.array(parents, dtype=np.int64)
    rows = np.flatnonzero(above >= 0)
    early = start[rows] - start[above[rows]]
    late = early + length[rows] - length[above[rows]]
    if not ((early < -ROUNDING_MS) | (late > ROUNDING_MS)).any():
        return leeway
    edges = zip(rows.tolist(), above[rows].tolist(), early.tolist(), late.tolist(), strict=True)
    for most, least, parent_ms, members in _clocks_apart(edges, start, length, clocks):
        offset, room = _offset(most, least, parent_ms)
        for row, sign in members:
            ahead[row], leeway[row] = sign * offset, room
    start -= _with_those_above(ahead.tolist(), parents)
    return leeway


def _clocks_apart(
    edges: Iterable[tuple[int, int, float, float]], start: np.ndarray, length: np.ndarray, clocks: list[tuple[Any, str]]
) -> Iterator[tuple[float, float, float | None, list[tuple[int, int]]]]:
    """Yield for each two clocks: by how much one is ahead of the other at most and at least, and whose rows that is.

    Two hosts of a trace are two clocks; what other traces of the day say of them counts too, unless they disagree.
    Where hosts are not known, a parent has one clock and its children another; ``parent_ms`` is its length then.
    """
    groups: dict[Any, tuple[list[float], list[float], list[tuple[int, int]]]] = {}
    for row, parent, first, last in edges:
        (trace, host), (_, other) = clocks[row], clocks[parent]
        if host == other and host:
            continue
        sign = 1 if not host or not other or host > other else -1
        name = (trace, int(start[parent] // DAY_MS), min(host, other), max(host, other)) if host and other else parent
        most, least, members = groups.setdefault(name, ([], [], []))
        most.append(first if sign > 0 else -last)
        least.append(last if sign > 0 else -first)
        members.append((row, sign))
    of_day: dict[Any, tuple[float, float]] = {}
    for name, (most, least, _) in groups.items():
        if isinstance(name, tuple):
            known = of_day.get(name[1:], (math.inf, -math.inf))
            of_day[name[1:]] = min(known[0], *most), max(known[1], *least)
    for name, (most, least, members) in groups.items():
        if isinstance(name, tuple):
            found = of_day[name[1:]]
            yield *(found if found[0] >= found[1] else (min(most), max(least))), None, members
        else:
            yield min(most), max(least), float(length[name]), members


def _offset(most: float, least: float, parent_ms: float | None) -> tuple[float, float]:
    """Return by how much one clock is ahead of another, and how sure that is, in ms; nothing where both may agree.

    Where hosts are not known, a child may outlive its parent, and only cannot begin outside of it.
    """
    is_late = least > ROUNDING_MS if parent_ms is None else most > parent_ms + ROUNDING_MS
    if most >= -ROUNDING_MS and not is_late:
        return 0.0, 0.0
    return ((most + least) / 2, (most - least) / 2) if least <= most else (most, 0.0)


def _with_those_above(values: list[float], parents: list[int]) -> np.ndarray:
    sums: list[float | None] = [None] * len(values)
    for row in range(len(values)):
        path, at = [], row
        while at >= 0 and sums[at] is None:
            path.append(at)
            at = parents[at]
        total = (sums[at] or 0.0) if at >= 0 else 0.0
        for below in reversed(path):
            total += values[below]
            sums[below] = total
    return np.array(sums, dtype=float)
