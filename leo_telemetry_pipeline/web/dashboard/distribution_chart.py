"""Geometry of two distributions in one chart.

Belongs here: pure functions from shares to SVG coordinates. Does not: binning, colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 8, 26


@dataclass(frozen=True)
class Steps:
    """Outlines as SVG point lists: ``before`` is to be filled, ``now`` is a line. ``edges``: positions of the bins."""

    before: str
    now: str
    edges: list[float]
    bottom: int


def steps(before: Sequence[float], now: Sequence[float]) -> Steps:
    """Return the outlines of two distributions over the same bins."""
    most, bottom = max([*before, *now], default=0.0) or 1.0, HEIGHT - _BOTTOM
    width = (WIDTH - _LEFT - _RIGHT) / max(1, len(before))
    edges = [round(_LEFT + number * width, 1) for number in range(len(before) + 1)]

    def outline(shares: Sequence[float]) -> str:
        points = [(edges[0], float(bottom))]
        for number, share in enumerate(shares):
            y = round(bottom - share / most * (bottom - _TOP), 1)
            points += [(edges[number], y), (edges[number + 1], y)]
        return " ".join(f"{x:g},{y:g}" for x, y in [*points, (edges[-1], float(bottom))])

    return Steps(outline(before), outline(now), edges, bottom)
