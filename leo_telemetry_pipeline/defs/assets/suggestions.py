"""Asset ``threshold_suggestions``: thresholds suggested after every run.

Belongs here: storing suggestions, and applying them if the setting says so. Does not: computing them
(analysis.tuning), which of them may be applied (actions.threshold_tuning).
"""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg

from leo_telemetry_pipeline.defs.assets.insights import insight, last_run
from leo_telemetry_pipeline.defs.names import dashboard_page
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.store import suggestions
from leo_telemetry_pipeline.store.items import SYSTEM


@insight("Suggests baseline and multiplier for configured thresholds, with the alarms per year before and after.")
def threshold_suggestions(
    context: dg.AssetExecutionContext, telemetry_database: TelemetryDatabase
) -> Iterator[dg.MaterializeResult]:
    """Suggest thresholds from the days up to the last run, and apply them if the setting says so."""
    from leo_telemetry_pipeline.actions import threshold_tuning

    with telemetry_database.session() as (database, settings):
        run = last_run(database)
        found = threshold_tuning.suggest(database, run.window.end)
        fitting = threshold_tuning.automatic(found) if settings.apply_suggestions else []
        applied = threshold_tuning.apply(database, fitting, SYSTEM)
        suggestions.put(database, run.run_id, [replace(one, is_applied=one in applied) for one in found])
    yield dg.MaterializeResult(
        metadata={
            "dashboard": dashboard_page(settings, "/thresholds"),
            "suggestions": sum(one.multiplier is not None for one in found),
            "without a suggestion": sum(one.multiplier is None for one in found),
            "applied": len(applied),
            "thresholds": dg.MetadataValue.md(markdown_tables.suggestion_table(found)),
        }
    )
