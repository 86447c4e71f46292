"""Asset ``dimension_trends``: daily charts of dimensions, and their changes in time and volume.

Belongs here: which dimensions are drawn. Does not: percentiles and changes (analysis.trends), charts and tables
(ui.charts, ui.markdown_tables).
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

import dagster as dg

from leo_telemetry_pipeline.analysis import trends
from leo_telemetry_pipeline.analysis.trends import Daily, DimensionChanges
from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.assets.insights import insight, last_run
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.defs.ui import charts, markdown_tables
from leo_telemetry_pipeline.dimension import OTHER_KEYS, Dimension, DimensionResult
from leo_telemetry_pipeline.store import dimension_results
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.history import daily, histograms
from leo_telemetry_pipeline.store.server.database import Database

LONGEST = 10
# Each chart adds about 25 kB to the event that Dagster stores.
MOST_DRAWN = 60


@insight("Daily P50, P90 and volume of the dimensions with the most time and of bottlenecks, and when they changed.")
def dimension_trends(
    context: dg.AssetExecutionContext, telemetry_database: TelemetryDatabase
) -> Iterator[dg.MaterializeResult]:
    """Draw the most relevant dimensions of the last run, and tabulate their changes."""
    with telemetry_database.session() as (database, _):
        run = last_run(database)
        chosen = to_draw(dimension_results.of_run(database, run.run_id), (run.output_ref or {}).get("bottlenecks", []))
        drawn = chosen[:MOST_DRAWN]
        window, found, changed = read(database, history.learned_from(run.window), drawn)
    first, names = window.start.date(), [":".join(name) for name in drawn]
    images = [charts.trend(name, first, found, place, changed[place]) for place, name in enumerate(names)]
    yield dg.MaterializeResult(
        metadata={
            "dimensions drawn": len(drawn),
            "bottlenecks not drawn": len(chosen) - len(drawn),
            "what changed": dg.MetadataValue.md(markdown_tables.dimension_change_table(names, changed)),
            "day by day": dg.MetadataValue.md("\n\n".join(images) or "No spans yet."),
        }
    )


def to_draw(measured: Sequence[DimensionResult], bottlenecks: Sequence[dict[str, Any]]) -> list[Dimension]:
    """Return the dimensions with the most time, then the other bottlenecks, without duplicates."""
    named = [one for one in measured if one.dimension_key != OTHER_KEYS]
    longest = sorted(named, key=lambda one: (-one.sum_ms, one.dimension))[:LONGEST]
    slow = [(one["dimension_type"], one["dimension_key"]) for one in bottlenecks]
    return list(dict.fromkeys([*(one.dimension for one in longest), *slow]))


def read(
    database: Database, window: Window, wanted: Sequence[Dimension]
) -> tuple[Window, Daily, list[DimensionChanges]]:
    """Return the window from its first day with spans, its series, and their changes."""
    scope = daily.scope(database, window, [name[0] for name in wanted])
    rows = daily.read(database, window, wanted, scope.seen, scope.uncounted)
    found = trends.daily(rows, len(wanted), len(window.days), histograms.GAMMA)
    changed = trends.dimension_changes(found, window.start.date(), len(window.days))
    began = int(found.count.any(axis=0).argmax())
    there = Daily(*(getattr(found, field.name)[:, began:] for field in fields(Daily)))
    return Window(window.start + timedelta(began), window.end, window.project), there, changed
