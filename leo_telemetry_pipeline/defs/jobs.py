"""The job that executes an analysis run, the one for what follows from it, and the one that does the upkeep.

Does not belong here: what starts them (sensors, schedules).
"""

import dagster as dg

from leo_telemetry_pipeline.defs.insights import INSIGHTS
from leo_telemetry_pipeline.defs.maintenance import UPKEEP

_insights, _upkeep = dg.AssetSelection.groups(INSIGHTS), dg.AssetSelection.groups(UPKEEP)

analysis_job = dg.define_asset_job(
    "analysis_job",
    selection=dg.AssetSelection.all() - _insights - _upkeep,
    description="One analysis: spans to P50s to bottlenecks to improvement items.",
)

insights_job = dg.define_asset_job(
    "insights_job",
    selection=_insights,
    description="After an analysis: trends, comparisons, backtest and forecast. Takes no analysis run.",
)

maintenance_job = dg.define_asset_job(
    "maintenance_job",
    selection=_upkeep,
    description="Partitions ahead, old spans archived and dropped. Takes no analysis run.",
)
