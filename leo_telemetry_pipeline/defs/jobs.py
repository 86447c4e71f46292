"""The job that executes an analysis run, and the one that does the upkeep.

Does not belong here: what starts them (sensors, schedules).
"""

import dagster as dg

from leo_telemetry_pipeline.defs.maintenance import UPKEEP

_upkeep = dg.AssetSelection.groups(UPKEEP)

analysis_job = dg.define_asset_job(
    "analysis_job",
    selection=dg.AssetSelection.all() - _upkeep,
    description="One analysis: spans to P50s to bottlenecks to improvement items.",
)

maintenance_job = dg.define_asset_job(
    "maintenance_job",
    selection=_upkeep,
    description="Partitions ahead, old spans archived and dropped. Takes no analysis run.",
)
