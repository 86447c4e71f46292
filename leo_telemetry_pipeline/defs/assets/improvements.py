"""Asset ``continuous_improvements``: opens improvement items and ends the analysis.

Belongs here: the summary that the items are made from. Does not: making them (actions.findings).
"""

from collections.abc import Iterator

import dagster as dg

from leo_telemetry_pipeline.actions import findings, routine_alerts
from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.defs.assets.asset import analysis_asset
from leo_telemetry_pipeline.defs.assets.bottlenecks import BOTTLENECKS
from leo_telemetry_pipeline.defs.assets.causes import CAUSES
from leo_telemetry_pipeline.defs.assets.learning import LEARNED
from leo_telemetry_pipeline.defs.names import dashboard_page
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.store import folded_names, name_slices


@analysis_asset(
    "findings",
    "Opens, reopens and resolves improvement items, and ends the analysis run, in one transaction.",
    {"postgres"},
    after=["bottlenecks", "bottleneck_causes", "learned_baselines"],
)
def continuous_improvements(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
    """Open and update items, and mark the run SUCCEEDED: together, or not at all."""
    judged = BOTTLENECKS.get(analysis)
    if any(one.outcome is None for one in judged):
        raise dg.Failure("some dimensions are not judged yet: materialize bottlenecks too", allow_retries=False)
    needed = [one.min_samples for one in judged if one.min_samples is not None]
    templates = folded_names.of(analysis.database).templates
    summary = findings.Summary(
        bottlenecks=tuple(judging.found(judged)),
        outcomes=judging.count_outcomes(judged),
        largest_sample=max((one.sample_count for one in judged), default=0),
        needed_sample=min(needed, default=analysis.settings.min_samples),
        p50_method="histogram" if any(one.method == "histogram" for one in judged) else "exact",
        pooled={one.dimension_type: one.sample_count for one in judged if one.outcome == "pooled"},
        causes=tuple(CAUSES.get(analysis)),
        folded=tuple(one.name for one in judged if one.dimension in templates),
        shared=tuple(one.name for one in judged if one.outcome == "shared"),
        mixes=tuple(one for one in LEARNED.get(analysis) if one.mix),
        slices_left_out=name_slices.left_out(analysis.database),
        lacking=judging.lacking(judged, LEARNED.get(analysis)),
        judged=tuple(judged),
    )
    output_ref = findings.conclude(
        analysis.database,
        summary,
        analysis.window,
        run_id=analysis.run.run_id if analysis.run else None,
        dagster_run_id=analysis.dagster_run_id,
        errors=analysis.errors,
        policy=routine_alerts.policy(analysis.settings),
    )
    analysis.progress.output_ref = output_ref
    yield dg.MaterializeResult(
        metadata={
            "dashboard": dashboard_page(analysis.settings, f"/runs/{analysis.run.run_id}" if analysis.run else "/"),
            "bottlenecks": len(output_ref["bottlenecks"]),
            "items created": output_ref["items_created"],
            "skipped by rate limit": output_ref["items_skipped_rate_limit"],
            "skipped as already open": output_ref["items_skipped_dedupe"],
            "spans scanned": output_ref["traces_scanned"],
            "dimensions evaluated": output_ref["dimensions_evaluated"],
        },
    )
