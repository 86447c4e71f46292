"""Geometry of two distributions in one chart.

Belongs here: pure functions from shares to SVG coordinates. Does not: binning (analysis.distributions), colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 8, 26


@dataclass(frozen=True)
class Bin:
    """Bin of durations with the share of spans, 0 to 1, before and now."""

    from_ms: float
    to_ms: float
    before: float
    now: float


@dataclass(frozen=True)
class Steps:
    """Outlines as SVG point lists: ``before`` is closed, to be filled, ``now`` is a line. ``edges``: of the bins."""

    before: str
    now: str
    edges: tuple[float, ...]
    bottom: int


def steps(shares: Sequence[Sequence[float]], bins: int) -> Steps:
    """Return the outlines of two distributions over the same bins."""
    most = max(max(of) for of in shares) or 1.0
    bottom = HEIGHT - _BOTTOM
    edges = [round(_LEFT + number * (WIDTH - _LEFT - _RIGHT) / bins, 1) for number in range(bins + 1)]

    def outline(of: Sequence[float]) -> str:
        points = [(edges[0], float(bottom))]
        for number, share in enumerate(of):
            y = round(bottom - share / most * (bottom - _TOP), 1)
            points += [(edges[number], y), (edges[number + 1], y)]
        return " ".join(f"{x:g},{y:g}" for x, y in [*points, (edges[-1], float(bottom))])

    before, now = map(outline, shares)
    return Steps(before, now, tuple(edges), bottom)
