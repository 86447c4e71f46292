"""Dagster definitions of this project: the entry point that code locations load.

Belongs here: the list of definitions and resources. Does not: the definitions themselves.
"""

from collections.abc import Mapping

import dagster as dg

from leo_telemetry_pipeline.defs import checks, jobs, schedules, sensors
from leo_telemetry_pipeline.defs.assets import (
    alerts,
    bottlenecks,
    causes,
    comparisons,
    dimension_trends,
    directives,
    impact,
    improvements,
    insights,
    learning,
    maintenance,
    p50s,
    suggestions,
    traces,
)
from leo_telemetry_pipeline.defs.resources import AnalysisResource, TelemetryDatabase


def build_definitions(*, resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """Return all definitions; ``resources`` override those with the same key."""
    own = {"analysis": AnalysisResource(), "telemetry_database": TelemetryDatabase()}
    return dg.Definitions(
        assets=[
            traces.workflow_traces,
            traces.duration_histograms,
            p50s.p50_assets,
            learning.learned_baselines,
            bottlenecks.bottlenecks,
            causes.bottleneck_causes,
            improvements.continuous_improvements,
            dimension_trends.dimension_trends,
            comparisons.comparisons,
            insights.forecast_backtest,
            insights.dimension_forecasts,
            suggestions.threshold_suggestions,
            directives.directives,
            impact.impact,
            maintenance.trace_maintenance,
            alerts.delivered_alerts,
        ],
        asset_checks=checks.all_checks,
        jobs=[jobs.analysis_job, jobs.insights_job, jobs.maintenance_job, jobs.alerts_job],
        sensors=[
            sensors.queued_runs_sensor,
            sensors.run_lifecycle_sensor,
            sensors.insights_sensor,
            sensors.alerts_sensor,
        ],
        schedules=[schedules.staleness_schedule, schedules.maintenance_schedule],
        resources=own | dict(resources or {}),
        # A process per step would take longer than the step. An executor set on a job would not apply to the UI's runs.
        executor=dg.in_process_executor,
    )


defs = build_definitions()
