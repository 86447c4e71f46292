"""Asset ``directives``: work drafted from items after every analysis, and settled when its items end.

Belongs here: the asset and its check. Does not: which items get a directive (actions.directive_policy), the steps
(actions.directive_steps).
"""

from collections.abc import Iterator

import dagster as dg

from leo_telemetry_pipeline.actions import directive_steps
from leo_telemetry_pipeline.defs.assets.insights import insight
from leo_telemetry_pipeline.defs.names import asset_key, dashboard_page
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.store import directives as store


@insight("Drafts directives for items that are slow enough for long enough, and settles those whose items ended.")
def directives(
    context: dg.AssetExecutionContext, telemetry_database: TelemetryDatabase
) -> Iterator[dg.MaterializeResult]:
    """Settle and draft directives from the items as they are now."""
    with telemetry_database.session() as (database, settings):
        followed = directive_steps.follow(database, settings)
        live = store.live(database)
    yield dg.MaterializeResult(
        metadata={
            "dashboard": dashboard_page(settings, "/directives"),
            "drafted": len(followed.drafted),
            "settled": len(followed.settled),
            "live": len(live),
            "directives": dg.MetadataValue.md(markdown_tables.directive_table(live)),
            "what was settled": dg.MetadataValue.md(markdown_tables.settled_table(followed.settled)),
        }
    )


@dg.asset_check(asset=asset_key("directives"), description="Every live directive has an item that is still active.")
def live_directives_have_active_items(
    context: dg.AssetCheckExecutionContext, telemetry_database: TelemetryDatabase
) -> dg.AssetCheckResult:
    """Warn of directives that nothing can complete any more."""
    with telemetry_database.session() as (database, _):
        idle = store.without_active_items(database)
    summary = f"without an active item: {', '.join(idle)}" if idle else "every live directive has an active item"
    return dg.AssetCheckResult(
        passed=not idle,
        severity=dg.AssetCheckSeverity.WARN,
        description=summary,
        metadata={"without an active item": idle},
    )
