"""Asset ``bottlenecks``: every dimension of the window, judged.

Belongs here: combining thresholds, judgements and evidence. Does not: the rule (analysis.bottlenecks).
"""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg

from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.defs.assets import history, p50s
from leo_telemetry_pipeline.defs.assets.asset import AssetValue, analysis_asset
from leo_telemetry_pipeline.defs.assets.learning import LEARNED
from leo_telemetry_pipeline.defs.assets.traces import TRACES
from leo_telemetry_pipeline.defs.names import dashboard_page
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store import dimension_results, shared_names, thresholds, trace_samples

_OUTCOMES = {
    "bottleneck": "bottlenecks",
    "ok": "within their threshold",
    "mix": "with another mix of work",
    "like_whole": "values as slow as all others",
    "too_few": "too few spans",
    "no_baseline": "without a baseline",
    "switched_off": "switched off",
    "pooled": "keys beyond the limit per type",
    "shared": "names judged per service or kind",
}


def _write(analysis: Analysis, judged: list[DimensionResult]) -> None:
    assert analysis.run is not None
    dimension_results.put_judged(analysis.database, analysis.run.run_id, analysis.fence, judged)


def _read(analysis: Analysis) -> list[DimensionResult]:
    assert analysis.run is not None
    return dimension_results.of_run(analysis.database, analysis.run.run_id)


BOTTLENECKS = AssetValue("bottlenecks", _write, _read)


@analysis_asset(
    "findings",
    "Judges every dimension by its baseline; those over their threshold are bottlenecks.",
    {"postgres"},
    after=["workflow_traces", "learned_baselines", *p50s.P50_ASSETS],
)
def bottlenecks(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
    """Judge every dimension of the window."""
    measured = p50s.measured(analysis)
    if analysis.errors and not measured:
        # An empty result would look like a week without bottlenecks.
        raise dg.Failure(f"nothing could be measured: {analysis.errors[0]['error']}", allow_retries=False)
    names = shared_names.of(analysis.database)
    judged = judging.judge(
        measured,
        thresholds.effective(analysis.database, [one.dimension for one in measured]),
        LEARNED.get(analysis),
        analysis.settings.min_samples,
        {one.dimension for one in measured if names.is_replaced(one.dimension)},
    )
    evidence = trace_samples.longest(
        analysis.database,
        analysis.window,
        [one.dimension for one in judged if one.outcome == "bottleneck"],
        history.seen(analysis),
        newest_first=history.method(analysis, TRACES.get(analysis)) == "histogram",
    )
    judged = [
        replace(one, evidence_trace_ids=evidence[one.dimension]) if one.dimension in evidence else one for one in judged
    ]
    BOTTLENECKS.put(analysis, judged)
    yield dg.MaterializeResult(
        metadata={
            "dashboard": dashboard_page(analysis.settings, "/"),
            **{_OUTCOMES[name]: count for name, count in judging.count_outcomes(judged).items()},
            "worst": dg.MetadataValue.md(markdown_tables.worst_table(judged)),
            "observed against baseline": dg.MetadataValue.md(markdown_tables.observed_against_baseline(judged)),
        },
    )
