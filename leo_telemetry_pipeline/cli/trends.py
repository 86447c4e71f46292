"""``leo-telemetry trends``: show durations per day, and when they changed.

Belongs here: options and output. Does not: reading days (store.history.daily), percentiles and changes
(analysis.trends), measures other than duration (trend_measures).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import click

from leo_telemetry_pipeline.actions import mixed
from leo_telemetry_pipeline.actions.change_words import change_in_words, percent, size
from leo_telemetry_pipeline.actions.dimension_names import parse
from leo_telemetry_pipeline.actions.items import milliseconds
from leo_telemetry_pipeline.cli import text, trend_measures
from leo_telemetry_pipeline.cli.dimensions import connected, last_days, unknown
from leo_telemetry_pipeline.cli.trend_measures import OtherMeasures
from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store import dimension_results, runs
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.server.database import Database

if TYPE_CHECKING:
    import numpy as np

    from leo_telemetry_pipeline.analysis.trends import Daily, DimensionChanges
    from leo_telemetry_pipeline.mix import Mix

MOST_DAYS = 3650
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 30
# Sparkline range, as a ratio: differences below it are noise and must look small.
FLAT = 1.5
PERCENTILES = ("p50_ms", "p90_ms", "p95_ms", "p99_ms")


@dataclass(frozen=True)
class TrendData:
    """Daily series and changes of some dimensions; ``more`` counts further dimensions that were not read.

    ``mix``: why the last analysis did not call a dimension slow.
    """

    window: Window
    dimensions: tuple[Dimension, ...]
    daily: "Daily"
    changed: "tuple[DimensionChanges, ...]"
    more: int = 0
    mix: "Mix | None" = None

    @property
    def closed(self) -> int:
        """Number of days of the window that have ended; the current day follows them."""
        return len(self.window.closed_days)


@click.command()
@click.argument("dimension", metavar="[DIMENSION]", required=False)
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=90, show_default=True, help="How far to look back.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many dimensions.")
@click.option("--project", metavar="NAME", help="Only spans of this project.")
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON.")
def trends(dimension: str | None, days: int, limit: int, project: str | None, as_json: bool) -> None:
    """Show durations per day, and when they changed.

    Without DIMENSION: the dimensions with the most time, one line each. With one, such as gate:GATE_PRD_REQUIRED or
    gate+sd_type:GATE_X:feature: one line per day, with time to first token and tokens for llm:MODEL, and waits for a
    person, if any. With a type, such as gate: the dimensions of that type.
    """
    wanted = parse(dimension) if dimension and ":" in dimension else None
    with connected() as connection:
        window = last_days(days, project)
        if wanted:
            data, shares, others = read_one(connection, window, wanted)
            if as_json:
                text.as_json(one_as_json(data, shares, others))
            else:
                click.echo(render_one(data, shares, others))
            return
        data = read_most(connection, window, [dimension] if dimension else [], limit)
        if not data.dimensions and dimension:
            raise unknown(connection, window, (dimension, ""))
    if as_json:
        text.as_json(most_as_json(data))
    else:
        click.echo(render_most(data))


def read_one(
    connection: Database, window: Window, dimension: Dimension
) -> tuple[TrendData, dict[date, float], OtherMeasures]:
    """Read one dimension, its queue share per day, and its other measures. Raises UserError if it has no spans."""
    from leo_telemetry_pipeline.analysis import trends as analysis
    from leo_telemetry_pipeline.store.history import daily

    scope = daily.scope(connection, window, [dimension[0]])
    data = _read(connection, window, [dimension], scope)
    if not data.daily.count.any():
        raise unknown(connection, window, dimension)
    [slowest] = analysis.p90_changes(data.daily, window.start.date(), data.closed)
    data = replace(data, changed=(replace(data.changed[0], p90=slowest),))
    shares = daily.queue_share(connection, window, dimension, scope.seen)
    data = replace(data, mix=_mix(connection, window, dimension))
    return data, shares, trend_measures.read(connection, window, dimension)


def _mix(connection: Database, window: Window, dimension: Dimension) -> "Mix | None":
    last = runs.last_succeeded(connection, window.project)
    result = dimension_results.of_dimension(connection, last.run_id, *dimension) if last else None
    return result.learned.mix if result and result.learned else None


def read_most(connection: Database, window: Window, types: Sequence[str], limit: int) -> TrendData:
    """Read the dimensions with the most time."""
    from leo_telemetry_pipeline.store.history import daily

    scope = daily.scope(connection, window, types)
    rows = daily.dimensions(connection, window, scope.types, scope.seen, scope.uncounted)
    return _read(connection, window, [row[:2] for row in rows[:limit]], scope, max(0, len(rows) - limit))


def _read(connection: Database, window: Window, wanted: Sequence[Dimension], scope: Any, more: int = 0) -> TrendData:
    from leo_telemetry_pipeline.analysis import trends as analysis
    from leo_telemetry_pipeline.store.history import daily
    from leo_telemetry_pipeline.store.history.histograms import GAMMA

    rows = daily.read(connection, window, wanted, scope.seen, scope.uncounted)
    series = analysis.daily(rows, len(wanted), len(window.days), GAMMA)
    changed = analysis.dimension_changes(series, window.start.date(), len(window.closed_days))
    return TrendData(window, tuple(wanted), series, tuple(changed), more)


def render_most(data: TrendData) -> str:
    """Format one line per dimension."""
    if not data.dimensions:
        return f"No spans since {data.window.start:%Y-%m-%d}: `leo-telemetry doctor` checks whether they arrive."
    rows, began = [], int(data.daily.count.any(axis=0).argmax())
    for place, dimension in enumerate(data.dimensions):
        p50 = data.daily.p50_ms[place, began:]
        last = p50[p50 == p50][-1]
        changes = _in_words(data.changed[place], int((data.daily.count[place, : data.closed] > 0).sum()))
        rows.append((":".join(dimension), spark(p50), milliseconds(last), changes))
    shown = text.table(("DIMENSION", "P50 BY DAY", "LAST", "CHANGE"), rows)
    since = f"P50 by day since {data.window.days[began]}, dimensions with the most time first"
    more = f"\n... and {data.more} more with less time (--limit)" if data.more else ""
    return f"{since}\n\n{shown}{more}"


def render_one(data: TrendData, shares: dict[date, float], others: OtherMeasures) -> str:
    """Format every day of one dimension that has spans, and its changes."""
    series, first = data.daily, data.window.start.date()
    there = series.count[0].nonzero()[0]
    worked = {first + timedelta(int(day)): float(series.sum_ms[0, day]) for day in there}
    more = trend_measures.columns(others, worked)
    rows = []
    for day in there:
        moment = first + timedelta(int(day))
        share = shares.get(moment)
        rows.append(
            (
                f"{moment}{' so far' if day >= data.closed else ''}",
                int(series.count[0, day]),
                *(milliseconds(getattr(series, name)[0, day]) for name in PERCENTILES),
                None if share is None else f"{share * 100:.0f} %",
                *(cells.get(moment) for cells in more.values()),
            )
        )
    # An incomplete day would look like a drop in volume.
    drawn = slice(there[0], data.closed if there[0] < data.closed else None)
    p50, count = series.p50_ms[0, drawn], series.count[0, drawn].astype(float)
    least, most = (milliseconds(pick(series.p50_ms[0, there])) for pick in (min, max))
    return "\n".join(
        [
            ":".join(data.dimensions[0]),
            f"P50    {spark(p50)}  {least} to {most}",
            f"spans  {spark(count)}  {int(min(count))} to {int(max(count))} per day",
            "",
            text.table(("DAY (UTC)", "SPANS", "P50", "P90", "P95", "P99", "QUEUE", *more), rows),
            *trend_measures.notes(others),
            "",
            *_changes(data.changed[0], len(there[there < data.closed])),
            *([f"Last analysis: not slower, {mixed.line(data.mix)}"] if data.mix else ()),
        ]
    )


def spark(values: "np.ndarray", width: int = WIDTH) -> str:
    """Draw a sparkline of at most ``width`` bars, each the median of one or more days; a gap where there are no values.

    The lowest bar is the minimum, the highest at least 1.5 times that, so that noise looks flat.
    """
    import numpy as np

    parts = [part[part == part] for part in np.array_split(values, min(width, len(values)))]
    cells = [float(np.median(part)) if len(part) else None for part in parts]
    known = [cell for cell in cells if cell is not None]
    if not known:
        return ""
    least = min(known)
    reach = max(*known, least * FLAT) - least
    heights = [None if cell is None else (cell - least) / reach * (len(BARS) - 1) if reach else 0 for cell in cells]
    return "".join(" " if height is None else BARS[round(height)] for height in heights)


def _in_words(changed: "DimensionChanges", days: int) -> str:
    from leo_telemetry_pipeline.analysis.changes import POINTS_LEAST

    if days < POINTS_LEAST:
        return f"{days} of {POINTS_LEAST} days known"
    words = [f"{size(changed.time[-1])} since {changed.time[-1].onset}" if changed.time else "steady"]
    if changed.volume:
        words.append(f"spans {percent(changed.volume[-1].ratio)} since {changed.volume[-1].onset}")
    return "; ".join(words)


def _changes(changed: "DimensionChanges", days: int) -> list[str]:
    from leo_telemetry_pipeline.analysis.changes import POINTS_LEAST

    if days < POINTS_LEAST:
        return [f"{days} closed day(s) with spans: telling changes from noise needs {POINTS_LEAST}."]
    return [
        *(f"Time changed: {change_in_words(one, milliseconds)}" for one in changed.time),
        *(() if changed.time else ("Time did not change.",)),
        *(f"P90 changed: {change_in_words(one, milliseconds)}" for one in changed.p90),
        *(
            f"Volume changed: {change_in_words(change, lambda value: f'{value:.0f}')} spans per day"
            for change in changed.volume
        ),
        *(() if changed.volume else ("Volume did not change.",)),
    ]


def one_as_json(data: TrendData, shares: dict[date, float], others: OtherMeasures) -> dict[str, Any]:
    """Return one dimension as JSON data: every day of the window."""
    first = data.window.start.date()
    days = []
    for place in range(len(data.window.days)):
        day = first + timedelta(place)
        series = {name: _number(getattr(data.daily, name)[0, place]) for name in PERCENTILES}
        sum_ms = float(data.daily.sum_ms[0, place])
        numbers = {"spans": int(data.daily.count[0, place]), "sum_ms": sum_ms}
        more = {"queue_share": shares.get(day), **trend_measures.as_json(others, day, sum_ms)}
        days.append({"day": day, "closed": place < data.closed, **numbers, **series, **more})
    return {**_named(data, 0), "mix": data.mix and data.mix.as_json(), "days": days}


def most_as_json(data: TrendData) -> dict[str, Any]:
    """Return dimensions as JSON data with the P50 of every day, None where a day has no spans."""
    dimensions = [
        {
            **_named(data, place),
            "spans": int(data.daily.count[place].sum()),
            "sum_ms": float(data.daily.sum_ms[place].sum()),
            "p50_ms": [_number(value) for value in data.daily.p50_ms[place]],
        }
        for place in range(len(data.dimensions))
    ]
    return {"first_day": data.window.start.date(), "dimensions": dimensions, "more": data.more}


def _named(data: TrendData, place: int) -> dict[str, Any]:
    dimension_type, key = data.dimensions[place]
    return {"dimension_type": dimension_type, "dimension_key": key, "changes": _changes_as_json(data.changed[place])}


def _changes_as_json(changed: "DimensionChanges") -> dict[str, Any]:
    names = ("onset", "onset_from", "onset_to", "before", "after", "ratio", "confidence")
    return {what: [{name: getattr(one, name) for name in names} for one in of] for what, of in vars(changed).items()}


def _number(value: float) -> float | None:
    return float(value) if value == value else None
