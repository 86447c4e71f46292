"""The one job that executes an analysis run. Does not belong here: what starts it (sensors, schedules)."""

import dagster as dg

analysis_job = dg.define_asset_job(
    "analysis_job",
    selection=dg.AssetSelection.all(),
    description="One analysis: spans to P50s to bottlenecks to improvement items.",
)
