"""Charts of one dimension: values, marks and tooltips at their coordinates.

Belongs here: what the charts of the page show. Does not: axes (daily_chart), reading (dimension), SVG (templates).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from leo_telemetry_pipeline.actions.change_words import size
from leo_telemetry_pipeline.actions.items import milliseconds
from leo_telemetry_pipeline.analysis import distributions, forecast
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store.days import DAY
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.item_episodes import Episode
from leo_telemetry_pipeline.web.dashboard import daily_chart, distribution_chart
from leo_telemetry_pipeline.web.dashboard.daily_chart import Axes, Box
from leo_telemetry_pipeline.web.dashboard.distribution_chart import Bin, Steps
from leo_telemetry_pipeline.web.dashboard.pages.dimension_history import Day, DaysOfDimension


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

    ``forecast``: area of the expected P50, of probability ``certainty``. ``days``: invisible boxes, one per day, whose
    titles are tooltips.
    """

    axes: Axes
    p50: tuple[str, ...]
    p90: tuple[str, ...]
    other: tuple[str, ...]
    baseline_y: float | None
    threshold_y: float | None
    forecast: str
    forecast_line: tuple[str, ...]
    certainty: float
    changes: tuple[Mark, ...]
    episodes: tuple[Band, ...]
    days: tuple[Band, ...]
    times: tuple[tuple[float, str], ...]
    dates: tuple[tuple[float, date], ...]


@dataclass(frozen=True)
class DistributionChart:
    """Spans now beside those of the baseline. ``bins``: edges in ms and both shares, 0 to 1."""

    before: tuple[date, date]
    now: tuple[date, date]
    before_spans: int
    now_spans: int
    steps: Steps
    bins: tuple[Bin, ...]


def daily(
    history: DaysOfDimension,
    result: DimensionResult | None,
    expected: Sequence[Expected],
    episodes: Sequence[Episode],
    other: Sequence[Day],
) -> DailyChart:
    """Return the chart of days; the day of the analysis and forecast days follow the closed ones."""
    first, last = history.first, history.days[-1].day
    ahead = [one for one in expected if one.p50_ms and one.low_ms and one.high_ms and one.day > last]
    total = (max([last + DAY, *(one.day for one in ahead)]) - first).days + 1
    baseline = result.baseline_p50_ms if result else None
    threshold = baseline * result.multiplier if result and baseline and result.multiplier else None
    others: list[float | None] = [None] * total
    for day in other:
        if 0 <= (place := (day.day - first).days) < total:
            others[place] = day.p50_ms
    p50s, p90s = [day.p50_ms for day in history.days], [day.p90_ms for day in history.days]
    of_forecast = [value for one in ahead for value in (one.low_ms, one.high_ms)]
    axes = daily_chart.axes(total, [*p50s, *p90s, baseline, threshold, *others, *of_forecast])
    low, middle, high = _ahead(history, ahead)
    return DailyChart(
        axes,
        tuple(axes.lines(p50s)),
        tuple(axes.lines(p90s)),
        tuple(axes.lines(others)),
        axes.y(baseline) if baseline else None,
        axes.y(threshold) if threshold else None,
        axes.area(low, high) if ahead else "",
        (axes.area(middle, ()),) if ahead else (),
        forecast.INTERVAL,
        tuple(
            Mark(round(axes.x((one.onset - first).days) - axes.step / 2, 1), f"{size(one)} since {one.onset}")
            for one in history.changes
            if one.onset >= first
        ),
        tuple(_bands(axes, episodes, first, last + DAY)),
        tuple(_tooltips(axes, history.days, other)),
        tuple((tick.at, milliseconds(tick.value)) for tick in axes.times()),
        tuple((tick.at, first + int(tick.value) * DAY) for tick in axes.day_ticks()),
    )


def distribution(history: DaysOfDimension, base: date, now: date, end: date) -> DistributionChart | None:
    """Return the distribution from ``now`` on beside that from ``base`` to before it; None if either has no spans."""
    before, since = history.part(base, now), history.part(now, end)
    if before is None or since is None:
        return None
    found = distributions.distributions([before, since], GAMMA)
    return DistributionChart(
        (max(base, history.first), now - DAY),
        (now, end - DAY),
        before.count,
        since.count,
        distribution_chart.steps(found.shares, len(found.edges_ms) - 1),
        tuple(map(Bin, found.edges_ms, found.edges_ms[1:], *found.shares)),
    )


def _ahead(history: DaysOfDimension, ahead: Sequence[Expected]) -> tuple[list[tuple[float, float]], ...]:
    """Return the low, middle and high line of a forecast, from the P50 of the last day with spans."""
    first = history.first
    known = [day for day in history.days if day.p50_ms]
    start = [((known[-1].day - first).days, known[-1].p50_ms)] if known and known[-1].p50_ms else []
    return tuple(
        [*start, *((float((one.day - first).days), value) for one in ahead if (value := getattr(one, name)))]
        for name in ("low_ms", "p50_ms", "high_ms")
    )


def _bands(axes: Axes, episodes: Sequence[Episode], first: date, today: date) -> list[Band]:
    bands = []
    for one in episodes:
        ended = one.closed_at.date() if one.closed_at else today
        box = axes.box((one.opened_at.date() - first).days, (ended - first).days)
        until = f"to {ended}" if one.closed_at else "and still open"
        if box:
            bands.append(Band(box, f"Item, episode {one.number}: from {one.opened_at:%Y-%m-%d} {until}"))
    return bands


def _tooltips(axes: Axes, days: Sequence[Day], other: Sequence[Day]) -> list[Band]:
    of_other = {day.day: day for day in other}
    bands = []
    for place, day in enumerate(days):
        if (box := axes.box(place, place)) is None:
            continue
        words = "no spans"
        if day.p50_ms is not None and day.p90_ms is not None:
            words = f"P50 {milliseconds(day.p50_ms)}, P90 {milliseconds(day.p90_ms)}, {day.spans} spans"
        if (there := of_other.get(day.day)) and there.p50_ms is not None:
            words += f"; compared: P50 {milliseconds(there.p50_ms)}"
        bands.append(Band(box, f"{day.day:%a %Y-%m-%d}: {words}"))
    return bands
