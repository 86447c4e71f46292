"""The assets, from spans to improvement items, in the order in which one leads to the next.

Belongs here: what depends on what, and what people see of each. Does not: the work itself.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pandas as pd
import psycopg2

from leo_telemetry_pipeline.actions import findings
from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.defs import history, pictures
from leo_telemetry_pipeline.defs.asset import analysis_asset
from leo_telemetry_pipeline.defs.io import (
    OTHER,
    P50_ASSETS,
    asset_name,
    judged,
    rows,
    traces,
)
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import drains, histograms, measure, open_spans, spans, thresholds
from leo_telemetry_pipeline.store.database import SERVER_GONE
from leo_telemetry_pipeline.store.dimensions import NAMED_ASSETS
from leo_telemetry_pipeline.store.measurements import JUDGEMENT

_OUTCOMES = {
    "bottleneck": "bottlenecks",
    "ok": "within their threshold",
    "too_few": "too few spans",
    "no_baseline": "without a baseline",
    "switched_off": "switched off",
    "pooled": "keys beyond the most a type may have",
}
# What is left then waits for the next analysis; this one has a deadline.
DRAIN_S = 120.0


@analysis_asset(
    "traces",
    "The spans of the window, counted by span type and day; the window is frozen and the spool drained here.",
    {"postgres"},
)
def workflow_traces(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.Output[pd.DataFrame]]:
    """Freeze the window, drain the spool, and count what lies in the window."""
    if analysis.gone:
        context.log.info("Nothing to do: %s", analysis.gone)
        return
    window = analysis.window
    drained = {}
    if not analysis.is_dry:
        spans.ensure_partitions(analysis.database, window.end, window.end + timedelta(days=3))
        drained = _drain(context, analysis)
        open_spans.sweep(analysis.database)
        history.mark(analysis)
    found = traces(history.in_window(analysis, history.scan(analysis)))
    scanned = _total(found, "spans")
    trace_count = history.count_traces(analysis, scanned)
    analysis.annotate({"traces_scanned": scanned, "trace_count": trace_count})
    yield dg.Output(
        found,
        metadata={
            "spans": scanned,
            "traces": trace_count,
            "window": f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC",
            "spans a day": dg.MetadataValue.md(pictures.day_table(found)),
            **drained,
        },
    )


def _drain(context: dg.AssetExecutionContext, analysis: Analysis) -> dict[str, Any]:
    """Store what waits in the spool of this home, so that the window has it; return what to show of that."""
    try:
        done = drains.drain(analysis.database, analysis.settings.home, "ANALYSIS", at_most_s=DRAIN_S)
    except (UserError, psycopg2.Error) as error:
        # What is stored already can be judged all the same.
        context.log.warning("The spool was not drained: %s", " ".join(str(error).split()))
        return {}
    if not done.spans and not done.torn:
        return {}
    counted = drains.summed(done.counters)
    context.log.info("Drained %d span(s) from the spool, %d of them new", done.spans, done.new)
    return {
        "spans from the spool": done.spans,
        "of these new": done.new,
        "torn records": done.torn,
        **({"counted by programs that ended": dg.MetadataValue.json(counted)} if counted else {}),
    }


@analysis_asset(
    "traces",
    "How long each dimension took on each closed day, in log buckets.",
    {"postgres"},
    takes=["workflow_traces"],
)
def duration_histograms(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis], workflow_traces: pd.DataFrame
) -> Iterator[dg.Output[pd.DataFrame]]:
    """Count again the days that have new spans or types."""
    days, rows_made, blocks_made = history.bring_up_to_date(analysis, workflow_traces)
    made = pd.DataFrame({"day": pd.to_datetime(pd.Series(days, dtype="object"))})
    yield dg.Output(made, metadata={"days counted": len(days), "rows": rows_made, "blocks": blocks_made})


def p50_asset(name: str) -> dg.AssetsDefinition:
    """Make the asset that holds the P50s of one dimension type, or of all that have no asset of their own."""
    types = [dimension_type for dimension_type in NAMED_ASSETS if asset_name(dimension_type) == name]
    of = types[0] if types else "every other dimension type"

    @analysis_asset(
        "p50",
        f"Median judged time of {of} over the window, with P90 to P99.",
        {"postgres", "pandas"},
        takes=["workflow_traces", "duration_histograms"],
        name=name,
    )
    def measured(
        context: dg.AssetExecutionContext,
        analysis: dg.ResourceParam[Analysis],
        workflow_traces: pd.DataFrame,
        duration_histograms: pd.DataFrame,
    ) -> Iterator[dg.Output[pd.DataFrame]]:
        wanted = types or [t for t in history.types(analysis) if asset_name(t) == OTHER]
        frames = [p50.frame([])]
        for dimension_type in wanted:
            try:
                frames.append(_measure(analysis, dimension_type, workflow_traces, duration_histograms))
                analysis.forget_error(dimension_type)
            except psycopg2.Error as error:
                if type(error).__name__ in SERVER_GONE:
                    raise
                # One type that cannot be measured must not keep the others from being judged.
                context.log.exception("P50 of %s failed", dimension_type)
                analysis.note_error(dimension_type, error)
        made = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
        yield dg.Output(
            made,
            metadata={
                "dimensions": len(made),
                "spans": _total(made, "sample_count"),
                "longest medians": dg.MetadataValue.md(pictures.p50_table(made)),
            },
        )

    return measured


p50_assets = [p50_asset(name) for name in P50_ASSETS]


def _measure(analysis: Analysis, dimension_type: str, found: pd.DataFrame, uncounted: pd.DataFrame) -> pd.DataFrame:
    window = analysis.window
    if history.method(analysis, found) == "exact":
        return p50.exact(measure.exact_p50(analysis.database, window, [dimension_type], history.seen(analysis)))
    return p50.from_buckets(history.durations(analysis, [dimension_type], window, uncounted), histograms.GAMMA)


@analysis_asset(
    "findings",
    "Every dimension judged by its baseline; those over their threshold are bottlenecks.",
    {"pandas"},
    takes=["workflow_traces", "learned_baselines", *P50_ASSETS],
)
def bottlenecks(
    context: dg.AssetExecutionContext,
    analysis: dg.ResourceParam[Analysis],
    workflow_traces: pd.DataFrame,
    learned_baselines: pd.DataFrame,
    **p50s: pd.DataFrame,
) -> Iterator[dg.Output[pd.DataFrame]]:
    """Judge every dimension of the window."""
    measured = p50.together(p50s.values())
    if analysis.errors and not len(measured):
        # Nothing is known, which must not look like a week without bottlenecks.
        raise dg.Failure(f"nothing could be measured: {analysis.errors[0]['error']}", allow_retries=False)
    dimensions = list(zip(measured["dimension_type"], measured["dimension_key"], strict=True))
    made = judging.judge(
        measured,
        judging.thresholds(thresholds.effective(analysis.database, dimensions)),
        learned_baselines,
        analysis.settings.min_samples,
    )
    found = judging.found(made)
    keys = list(zip(found["dimension_type"], found["dimension_key"], strict=True))
    evidence = measure.evidence(
        analysis.database,
        analysis.window,
        keys,
        history.seen(analysis),
        newest_first=history.method(analysis, workflow_traces) == "histogram",
    )
    made["evidence_trace_ids"] = pd.Series(
        [evidence.get((a, b)) for a, b in zip(made["dimension_type"], made["dimension_key"], strict=True)],
        index=made.index,
        dtype="object",
    )
    made = judged(rows(made.loc[:, [*p50.COLUMNS, *JUDGEMENT]]))
    yield dg.Output(
        made,
        metadata={
            **{_OUTCOMES[name]: count for name, count in judging.count_outcomes(made).items()},
            "worst": dg.MetadataValue.md(pictures.worst_table(made)),
            "observed against baseline": dg.MetadataValue.md(pictures.observed_against_baseline(made)),
        },
    )


@analysis_asset(
    "findings",
    "Improvement items for bottlenecks, and the end of the analysis run, in one transaction.",
    {"postgres"},
    takes=["bottlenecks", "bottleneck_causes"],
)
def continuous_improvements(
    context: dg.AssetExecutionContext,
    analysis: dg.ResourceParam[Analysis],
    bottlenecks: pd.DataFrame,
    bottleneck_causes: list,
) -> Iterator[dg.Output[dict]]:
    """Open and update items, and mark the run SUCCEEDED: together, or not at all."""
    if None in set(bottlenecks["outcome"]):
        raise dg.Failure("some dimensions are not judged yet: materialize bottlenecks too", allow_retries=False)
    found, pooled = judging.found(bottlenecks), bottlenecks[bottlenecks["outcome"] == "pooled"]
    summary = findings.Summary(
        bottlenecks=tuple({str(name): value for name, value in row.items()} for row in found.to_dict("records")),
        outcomes=judging.count_outcomes(bottlenecks),
        largest_sample=int(bottlenecks["sample_count"].to_numpy().max(initial=0)),
        needed_sample=int(min(bottlenecks["min_samples"], default=analysis.settings.min_samples)),
        p50_method="histogram" if "histogram" in set(bottlenecks["method"]) else "exact",
        pooled={row["dimension_type"]: int(row["sample_count"]) for row in pooled.to_dict("records")},
        causes=tuple(bottleneck_causes),
    )
    output_ref = findings.conclude(
        analysis.database,
        summary,
        analysis.window,
        run_id=analysis.run.run_id if analysis.run else None,
        dagster_run_id=analysis.dagster_run_id,
        errors=analysis.errors,
    )
    analysis.concluded = output_ref
    yield dg.Output(
        output_ref,
        metadata={
            "bottlenecks": len(output_ref["bottlenecks"]),
            "items created": output_ref["items_created"],
            "skipped by rate limit": output_ref["items_skipped_rate_limit"],
            "skipped as open already": output_ref["items_skipped_dedupe"],
            "spans scanned": output_ref["traces_scanned"],
            "dimensions evaluated": output_ref["dimensions_evaluated"],
        },
    )


def _total(frame: pd.DataFrame, column: str) -> int:
    return int(frame[column].to_numpy().sum())
