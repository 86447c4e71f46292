"""Geometry of a chart of daily values on a logarithmic axis of time.

Belongs here: pure functions from values to SVG coordinates. Does not: reading values (pages), colours (the
style sheet), the SVG text itself (the templates).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log, log10

WIDTH, HEIGHT = 960, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 26, 28
_DAY_LABELS = 9
# The axis spans at least this ratio, so that noise looks flat.
_LEAST_RATIO = 3.0


@dataclass(frozen=True)
class Tick:
    """Label of an axis at a position."""

    at: float
    value: float | int


@dataclass(frozen=True)
class Box:
    """Rectangle over some days."""

    x: float
    width: float


@dataclass(frozen=True)
class Axes:
    """Both axes: ``days`` of a chart, and the shortest and longest time in ms."""

    days: int
    low_ms: float
    high_ms: float

    @property
    def bottom(self) -> int:
        """Height of the axis of days."""
        return HEIGHT - _BOTTOM

    @property
    def left(self) -> int:
        """Position of the axis of time."""
        return _LEFT

    @property
    def top(self) -> int:
        """Height of the upper end."""
        return _TOP

    @property
    def right(self) -> int:
        """Position of the right end."""
        return WIDTH - _RIGHT

    @property
    def step(self) -> float:
        """Width of a day."""
        return (self.right - _LEFT) / max(1, self.days)

    def x(self, day: float) -> float:
        """Return the position of the middle of a day, counted from 0."""
        return round(_LEFT + (day + 0.5) * self.step, 1)

    def y(self, value_ms: float) -> float:
        """Return the height of a time; times outside are at the edge."""
        inside = min(max(value_ms, self.low_ms), self.high_ms)
        share = log(inside / self.low_ms) / log(self.high_ms / self.low_ms)
        return round(self.bottom - share * (self.bottom - _TOP), 1)

    def box(self, first: int, last: int) -> Box | None:
        """Return the rectangle over the days from ``first`` to ``last``, cut to the chart; None outside of it."""
        first, last = max(0, first), min(self.days - 1, last)
        if first > last:
            return None
        return Box(self.before(first), round((last - first + 1) * self.step, 1))

    def lines(self, values: Sequence[float | None]) -> list[str]:
        """Return point lists of SVG lines, one per stretch of days with values."""
        stretches: list[list[str]] = [[]]
        for day, value in enumerate(values):
            if value is not None:
                stretches[-1].append(f"{self.x(day):g},{self.y(value):g}")
            elif stretches[-1]:
                stretches.append([])
        # A single point draws nothing: make it a short line.
        return [" ".join(line) if len(line) > 1 else _short(line[0]) for line in stretches if line]

    def before(self, day: int) -> float:
        """Return the position of the start of a day."""
        return round(self.x(day) - self.step / 2, 1)

    def points(self, line: Sequence[tuple[float, float]]) -> str:
        """Return the point list of a line or area, whose points are a day and a time."""
        return " ".join(f"{self.x(day):g},{self.y(value):g}" for day, value in line)

    def times(self) -> list[Tick]:
        """Return ticks of times: 1, 2 and 5 times powers of ten, fewer over many powers."""
        powers = range(floor(log10(self.low_ms)), floor(log10(self.high_ms)) + 1)
        leading = (1, 2, 5) if len(powers) <= 3 else (1,)
        values = [digit * 10.0**power for power in powers for digit in leading]
        return [Tick(self.y(value), value) for value in values if self.low_ms <= value <= self.high_ms]

    def day_ticks(self) -> list[Tick]:
        """Return ticks of days, a whole number of weeks apart, the last at the last day."""
        apart = max(1, -(-self.days // _DAY_LABELS))
        apart = apart if apart < 7 else -(-apart // 7) * 7
        return [Tick(self.x(day), day) for day in range((self.days - 1) % apart, self.days, apart)]


def axes(days: int, values_ms: Iterable[float | None]) -> Axes:
    """Return axes on which all values fit."""
    known = [value for value in values_ms if value is not None and value > 0]
    low, high = (min(known), max(known)) if known else (1.0, 1.0)
    spare = max(1.12, (_LEAST_RATIO / (high / low)) ** 0.5)
    return Axes(days, low / spare, high * spare)


def _short(point: str) -> str:
    x, _, y = point.partition(",")
    return f"{float(x) - 1.5:g},{y} {float(x) + 1.5:g},{y}"
