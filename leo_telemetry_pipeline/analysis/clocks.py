"""Clock skew correction between hosts.

Belongs here: estimating skew from children that lie outside their parents. Does not: trees (the caller), the critical
path (critical_path).

A child cannot begin before its parent or end after it, so each pair on two hosts bounds their skew. The estimate is
the middle of the bounds of all pairs of two hosts in a day.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

# Starts are truncated and durations rounded to ms, so consecutive spans may seem to overlap by 1 ms.
ROUNDING_MS = 1.0
DAY_MS = 86_400_000


def fit(start: np.ndarray, length: np.ndarray, parents: list[int], clocks: list[tuple[Any, str]]) -> np.ndarray:
    """Correct ``start`` for clock skew in place; return the uncertainty of each span in ms.

    One entry per span: start and length in ms, row of the parent (-1 for none), trace and host ("" if unknown).
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
    """Yield, per pair of clocks, the upper and lower bound of the skew, ``parent_ms``, and the rows it applies to.

    Two hosts of a trace are two clocks; other traces of the day count too unless their bounds contradict. If hosts are
    unknown, a parent has one clock and its children another; ``parent_ms`` is then the parent's length.
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
    """Return the skew between two clocks and its uncertainty in ms; 0 if they may agree.

    If hosts are unknown, a child may outlive its parent but must begin within it.
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
