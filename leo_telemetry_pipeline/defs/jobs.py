"""The job that executes an analysis run, the one for what follows from it, and the one that does the upkeep.

Does not belong here: what starts them (sensors, schedules).
"""

import dagster as dg

from leo_telemetry_pipeline.defs.assets.insights import INSIGHTS
from leo_telemetry_pipeline.defs.assets.maintenance import UPKEEP
from leo_telemetry_pipeline.defs.names import ANALYSIS_JOB, INSIGHTS_JOB, MAINTENANCE_JOB, PREFIX

# These definitions may be merged with others, whose assets are none of our business.
_ours = dg.AssetSelection.key_prefixes(PREFIX)
_insights, _upkeep = _ours & dg.AssetSelection.groups(INSIGHTS), _ours & dg.AssetSelection.groups(UPKEEP)

analysis_job = dg.define_asset_job(
    ANALYSIS_JOB,
    selection=_ours - _insights - _upkeep,
    description="One analysis: spans to P50s to bottlenecks to improvement items.",
)

insights_job = dg.define_asset_job(
    INSIGHTS_JOB,
    selection=_insights,
    description="After an analysis: trends, comparisons, backtest and forecast. Takes no analysis run.",
)

maintenance_job = dg.define_asset_job(
    MAINTENANCE_JOB,
    selection=_upkeep,
    description="Partitions ahead, old spans archived and dropped. Takes no analysis run.",
)
