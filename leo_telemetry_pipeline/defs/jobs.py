"""Jobs: the analysis, the insights that follow it, daily maintenance, and the delivery of alerts.

Does not belong here: what starts them (sensors, schedules).
"""

import dagster as dg

from leo_telemetry_pipeline.defs.assets.alerts import ALERTS
from leo_telemetry_pipeline.defs.assets.insights import INSIGHTS
from leo_telemetry_pipeline.defs.assets.maintenance import MAINTENANCE
from leo_telemetry_pipeline.defs.names import ALERTS_JOB, ANALYSIS_JOB, INSIGHTS_JOB, MAINTENANCE_JOB, PREFIX

# Assets of other definitions that are merged with ours must not be selected.
_ours = dg.AssetSelection.key_prefixes(PREFIX)
_insights, _maintenance, _alerts = (_ours & dg.AssetSelection.groups(name) for name in (INSIGHTS, MAINTENANCE, ALERTS))

analysis_job = dg.define_asset_job(
    ANALYSIS_JOB,
    selection=_ours - _insights - _maintenance - _alerts,
    description="One analysis: from spans to P50s, bottlenecks and improvement items.",
)

insights_job = dg.define_asset_job(
    INSIGHTS_JOB,
    selection=_insights,
    description="After an analysis: trends, comparisons, backtest, forecast, suggested thresholds, directives, impact.",
)

maintenance_job = dg.define_asset_job(
    MAINTENANCE_JOB,
    selection=_maintenance,
    description="Creates partitions ahead, archives and drops old spans.",
)

alerts_job = dg.define_asset_job(
    ALERTS_JOB,
    selection=_alerts,
    description="Delivers the alerts that wait in the outbox.",
)
