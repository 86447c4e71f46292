"""Charts of one dimension: values, marks and tooltips at their coordinates.

Belongs here: what the charts of the page show. Does not: axes (daily_chart), reading (dimension), SVG (the templates).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from leo_telemetry_pipeline.actions.items import milliseconds
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store.days import DAY
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.item_episodes import Episode
from leo_telemetry_pipeline.web.dashboard import daily_chart
from leo_telemetry_pipeline.web.dashboard.daily_chart import Axes, Box
from leo_telemetry_pipeline.web.dashboard.pages.dimension_history import Day, LevelChange, values

_Line = list[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """Vertical line at a day, with its label."""

    x: float
    label: str


@dataclass(frozen=True)
class Band:
    """Days under one title."""

    box: Box
    title: str


@dataclass(frozen=True)
class DailyChart:
    """P50 and P90 per day; lines are SVG point lists, levels are heights or None.

    ``other``: P50 of what it is compared with. ``forecast``: area of the expected P50, empty without. ``days``:
    invisible boxes, one per day, whose titles are tooltips.
    """

    axes: Axes
    p50: list[str]
    p90: list[str]
    other: list[str]
    baseline_y: float | None
    threshold_y: float | None
    forecast: str
    forecast_line: str
    changes: list[Mark]
    episodes: list[Band]
    days: list[Band]
    times: list[tuple[float, str]]
    dates: list[tuple[float, date]]


def daily(
    days: Sequence[Day],
    result: DimensionResult | None,
    changes: Sequence[LevelChange],
    expected: Sequence[Expected],
    episodes: Sequence[Episode],
    other: Sequence[Day],
) -> DailyChart:
    """Return the chart of closed days; the day of the analysis and those of the forecast follow them."""
    first, today = days[0].day, days[-1].day + DAY
    ahead = [one for one in expected if one.p50_ms and one.low_ms and one.high_ms and one.day >= today]
    count = (max([today, *(one.day for one in ahead)]) - first).days + 1
    baseline = result.baseline_p50_ms if result else None
    threshold = baseline * result.multiplier if result and baseline and result.multiplier else None
    p50s, p90s, others = [day.p50_ms for day in days], [day.p90_ms for day in days], values(other, first, count)
    low, middle, high = (_ahead(days, ahead, name) for name in ("low_ms", "p50_ms", "high_ms"))
    axes = daily_chart.axes(
        count, [*p50s, *p90s, *others, baseline, threshold, *(ms for _, ms in [*low, *high] if ahead)]
    )
    return DailyChart(
        axes,
        axes.lines(p50s),
        axes.lines(p90s),
        axes.lines(others),
        axes.y(baseline) if baseline else None,
        axes.y(threshold) if threshold else None,
        axes.points([*low, *reversed(high)]) if ahead else "",
        axes.points(middle) if ahead else "",
        [
            Mark(axes.before((one.onset - first).days), f"{one.size} since {one.onset}")
            for one in changes
            if one.onset >= first
        ],
        list(_bands(axes, episodes, first, today)),
        list(_tooltips(axes, days, others)),
        [(tick.at, milliseconds(tick.value)) for tick in axes.times()],
        [(tick.at, first + int(tick.value) * DAY) for tick in axes.day_ticks()],
    )


def _ahead(days: Sequence[Day], ahead: Sequence[Expected], name: str) -> _Line:
    """Return a line of a forecast, from the P50 of the last day with spans on."""
    first = days[0].day
    known: _Line = [((day.day - first).days, day.p50_ms) for day in days if day.p50_ms]
    return [*known[-1:], *(((one.day - first).days, getattr(one, name)) for one in ahead)]


def _bands(axes: Axes, episodes: Sequence[Episode], first: date, today: date) -> list[Band]:
    bands = []
    for one in episodes:
        ended = one.closed_at.date() if one.closed_at else today
        box = axes.box((one.opened_at.date() - first).days, (ended - first).days)
        until = f"to {ended}" if one.closed_at else "and still open"
        if box:
            bands.append(Band(box, f"Item, episode {one.number}: from {one.opened_at:%Y-%m-%d} {until}"))
    return bands


def _tooltips(axes: Axes, days: Sequence[Day], others: Sequence[float | None]) -> list[Band]:
    bands = []
    for place, day in enumerate(days):
        if (box := axes.box(place, place)) is None:
            continue
        words = "no spans"
        if day.p50_ms is not None and day.p90_ms is not None:
            words = f"P50 {milliseconds(day.p50_ms)}, P90 {milliseconds(day.p90_ms)}, {day.spans} spans"
        if (other := others[place]) is not None:
            words += f"; compared: P50 {milliseconds(other)}"
        bands.append(Band(box, f"{day.day:%a %Y-%m-%d}: {words}"))
    return bands
