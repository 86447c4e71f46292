"""Charts as SVG geometry, computed on the server.

Belongs here: points and scales, as pure functions. Does not: reading values (pages), colours (the style sheet), the SVG
text itself (the templates).
"""

from collections.abc import Sequence
from dataclasses import dataclass

# Range of a sparkline as a ratio: smaller differences are noise and must look small.
_FLAT = 1.5


@dataclass(frozen=True)
class Sparkline:
    """Lines in a box of ``width`` by ``height``, one per stretch of days with values, as SVG point lists.

    ``level_y``: height of a horizontal line, such as the baseline; None without one. ``last``: end of the last line.
    """

    width: int
    height: int
    lines: tuple[str, ...]
    level_y: float | None
    last: tuple[float, float] | None


def sparkline(
    values: Sequence[float | None], level: float | None, *, width: int = 160, height: int = 36, margin: int = 3
) -> Sparkline:
    """Return a sparkline of daily values with a level, all in one unit."""
    known = [value for value in values if value is not None]
    if not known:
        return Sparkline(width, height, (), None, None)
    levels = [*known] if level is None else [*known, level]
    least = min(levels)
    reach = max(*levels, least * _FLAT) - least or 1.0

    def y_of(value: float) -> float:
        return round(height - margin - (value - least) / reach * (height - 2 * margin), 1)

    step = (width - 2 * margin) / max(1, len(values) - 1)
    stretches: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is not None:
            stretches[-1].append((round(margin + place * step, 1), y_of(value)))
        elif stretches[-1]:
            stretches.append([])
    lines = [stretch for stretch in stretches if stretch]
    return Sparkline(
        width,
        height,
        tuple(" ".join(f"{x:g},{y:g}" for x, y in _wide_enough(line)) for line in lines),
        None if level is None else y_of(level),
        lines[-1][-1],
    )


def _wide_enough(line: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return a line of at least one pixel, since a single point draws nothing."""
    return line if len(line) > 1 else (line[0], (line[0][0] + 1, line[0][1]))
