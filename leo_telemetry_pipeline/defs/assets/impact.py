"""Asset ``impact``: what became of items, and how much time their resolution gives back.

Belongs here: the asset. Does not: the figures (actions.impact).
"""

from collections.abc import Iterator

import dagster as dg

from leo_telemetry_pipeline.actions import impact as figures
from leo_telemetry_pipeline.defs.assets.insights import insight
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.store import items

_HOUR_MS = 3_600_000


@insight("What became of improvement items so far, and how much time per week their resolution gives back.")
def impact(context: dg.AssetExecutionContext, telemetry_database: TelemetryDatabase) -> Iterator[dg.MaterializeResult]:
    """Measure the impact of all items of analyses over all projects."""
    with telemetry_database.session() as (database, _):
        measured = figures.measure(items.of_scope(database, None), items.events_of_scope(database, None), None)
    median, share = measured.median_time_to_resolve, measured.false_alarm_share
    known = {
        "median days to resolve": None if median is None else median.total_seconds() / 86_400,
        "false alarms in percent": None if share is None else 100 * share,
    }
    yield dg.MaterializeResult(
        metadata={
            "opened": measured.opened,
            "resolved": measured.resolved,
            "reopened": measured.reopened,
            "fixes without effect": measured.fixes_without_effect,
            "accepted": measured.accepted,
            "dismissed": measured.dismissed,
            "stale": measured.stale,
            "active now": measured.active_now,
            "false alarms": measured.false_alarms,
            "hours given back per week": measured.given_back_ms_per_week / _HOUR_MS,
            **{name: value for name, value in known.items() if value is not None},
            "what was resolved": dg.MetadataValue.md(markdown_tables.resolution_table(measured.resolutions)),
        }
    )
