"""Asset ``comparisons``: compares kinds of work, the last week with the weeks before, and the days around each item.

Belongs here: which pairs are compared. Does not: the statistics (analysis.compare), their tables (ui.markdown_tables).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta

import dagster as dg

from leo_telemetry_pipeline.analysis import compare as analysis
from leo_telemetry_pipeline.analysis.compare import Comparison, Side
from leo_telemetry_pipeline.defs.assets.insights import insight, last_run
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.dimension import OTHER_KEYS, Dimension, DimensionResult
from leo_telemetry_pipeline.store import dimension_results, items
from leo_telemetry_pipeline.store.days import Window, midnight
from leo_telemetry_pipeline.store.history import daily
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.items import Item
from leo_telemetry_pipeline.store.server.database import Database

MOST = 10
WEEK, MONTH = timedelta(days=7), timedelta(days=28)
# Types whose dimensions are compared with the most frequent one, and the name of each comparison.
KINDS = {"sd_type": "SD types", "phase": "phases"}
THIS_WEEK, ITEMS = "last week", "items"
DAYS = {
    **dict.fromkeys(KINDS.values(), "Both sides: the last 28 closed days."),
    THIS_WEEK: "B: the last 7 closed days. A: the 28 days before.",
    ITEMS: "B: up to 7 days since an item was opened or closed. A: the 7 days before.",
}


@dataclass(frozen=True)
class Sample:
    """One side: a dimension and a window of closed days."""

    dimension: Dimension
    window: Window


@dataclass(frozen=True)
class Pair:
    """A comparison of ``b`` with ``a``."""

    a: Sample
    b: Sample

    def __str__(self) -> str:
        """Describe B, and A if it is another dimension."""
        a, b = (":".join(side.dimension) for side in (self.a, self.b))
        return f"{b} against {a}" if a != b else f"{b} since {self.b.window.days[0]}"


@insight("Compares SD types and phases, the last week with the weeks before, and the days before and after each item.")
def comparisons(
    context: dg.AssetExecutionContext, telemetry_database: TelemetryDatabase
) -> Iterator[dg.MaterializeResult]:
    """Compare the pairs of the last run."""
    with telemetry_database.session() as (database, _):
        run = last_run(database)
        measured = [one for one in dimension_results.of_run(database, run.run_id) if one.dimension_key != OTHER_KEYS]
        closed = Window(run.window.start, midnight(run.window.end.date()), run.window.project)
        pairs = {
            **{title: among(measured, of_type, closed) for of_type, title in KINDS.items()},
            THIS_WEEK: this_week(measured, closed),
            ITEMS: around_items(items.of_scope(database, closed.project), closed),
        }
        sides = read(database, {side for each in pairs.values() for pair in each for side in (pair.a, pair.b)})
    found = {title: list(compared(each, sides)) for title, each in pairs.items()}
    tables = [f"### {title}\n\n{markdown_tables.comparison_table(each, DAYS[title])}" for title, each in found.items()]
    yield dg.MaterializeResult(
        metadata={
            "compared": sum(map(len, found.values())),
            "without spans on one side": sum(map(len, pairs.values())) - sum(map(len, found.values())),
            "differences": dg.MetadataValue.md("\n\n".join(tables)),
        }
    )


def among(measured: Sequence[DimensionResult], dimension_type: str, closed: Window) -> list[Pair]:
    """Pair a type's most frequent dimension with those that have the most time, over the last 28 days.

    ``closed`` ends with the last closed day.
    """
    window = Window(closed.end - MONTH, closed.end, closed.project)
    of_type = [one for one in _longest(measured) if one.dimension_type == dimension_type][:MOST]
    if not of_type:
        return []
    usual = max(of_type, key=lambda one: one.sample_count)
    return [Pair(Sample(usual.dimension, window), Sample(one.dimension, window)) for one in of_type if one is not usual]


def this_week(measured: Sequence[DimensionResult], closed: Window) -> list[Pair]:
    """Pair the last seven closed days with the 28 days before, for the dimensions with the most time."""
    start = closed.end - WEEK
    before, since = Window(start - MONTH, start, closed.project), Window(start, closed.end, closed.project)
    return [Pair(Sample(one.dimension, before), Sample(one.dimension, since)) for one in _longest(measured)[:MOST]]


def around_items(opened: Iterable[Item], closed: Window) -> list[Pair]:
    """Pair the 7 days after each item was opened or closed with the 7 days before, in the last 28 days.

    The newest come first; changes after the last closed day cannot be compared yet.
    """
    moments = {
        (moment.astimezone(UTC).date(), item.dimension)
        for item in opened
        for moment in (item.opened_at, item.closed_at)
        if moment and item.dimension
    }
    pairs = []
    for day, dimension in sorted(moments, key=lambda one: (-one[0].toordinal(), one[1])):
        at = midnight(day)
        if closed.end - MONTH <= at < closed.end:
            before = Window(at - WEEK, at, closed.project)
            since = Window(at, min(at + WEEK, closed.end), closed.project)
            pairs.append(Pair(Sample(dimension, before), Sample(dimension, since)))
    return pairs


def read(database: Database, samples: Iterable[Sample]) -> dict[Sample, Side | None]:
    """Read the days of every side, with one query per window."""
    by_window: dict[Window, list[Dimension]] = {}
    for sample in samples:
        by_window.setdefault(sample.window, []).append(sample.dimension)
    sides: dict[Sample, Side | None] = {}
    for window, wanted in by_window.items():
        scope = daily.scope(database, window, [name[0] for name in wanted])
        rows = list(daily.read(database, window, wanted, scope.seen, scope.uncounted))
        first = window.start.date().toordinal()
        sides |= {Sample(name, window): analysis.side(rows, place, first) for place, name in enumerate(wanted)}
    return sides


def compared(pairs: Iterable[Pair], sides: Mapping[Sample, Side | None]) -> Iterator[tuple[str, Comparison]]:
    """Yield the description and comparison of each pair in which both sides have spans."""
    for pair in pairs:
        a, b = sides[pair.a], sides[pair.b]
        if a and b:
            yield str(pair), analysis.compare(a, b, GAMMA)


def _longest(measured: Sequence[DimensionResult]) -> list[DimensionResult]:
    return sorted(measured, key=lambda one: (-one.sum_ms, one.dimension))
