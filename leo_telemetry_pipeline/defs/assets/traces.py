"""First two assets of an analysis: the spans of the window, and the daily duration histograms.

Belongs here: freezing the window, draining the spool. Does not: counting (store), which days are stale (history).
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import psycopg2

from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.assets.asset import AssetValue, analysis_asset
from leo_telemetry_pipeline.defs.names import FIRST_ASSET
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import open_spans, spans, spool_drain
from leo_telemetry_pipeline.store.history.span_counts import SpanCount

# The analysis has a deadline; spans left in the spool wait for the next one.
DRAIN_S = 120.0


def _write(analysis: Analysis, found: list[SpanCount]) -> None:
    analysis.annotate(
        {FIRST_ASSET: [(one.span_type, one.day.isoformat(), one.spans, one.timed_spans) for one in found]}
    )


def _read(analysis: Analysis) -> list[SpanCount]:
    noted = analysis.noted(FIRST_ASSET) or []
    return [SpanCount(name, date.fromisoformat(day), *n) for name, day, *n in noted] or history.in_window(analysis)


TRACES = AssetValue(FIRST_ASSET, _write, _read)


@analysis_asset(
    "traces",
    "Freezes the window, drains the spool, and counts the spans of the window by span type and day.",
    {"postgres"},
)
def workflow_traces(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
    """Freeze the window, drain the spool, and count the spans of the window."""
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
    found = history.in_window(analysis)
    scanned = sum(one.spans for one in found)
    trace_count = history.count_traces(analysis, scanned)
    analysis.annotate({"traces_scanned": scanned, "trace_count": trace_count})
    TRACES.put(analysis, found)
    yield dg.MaterializeResult(
        metadata={
            "spans": scanned,
            "traces": trace_count,
            "window": f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC",
            "spans per day": dg.MetadataValue.md(markdown_tables.day_table(found)),
            **drained,
        },
    )


def _drain(context: dg.AssetExecutionContext, analysis: Analysis) -> dict[str, Any]:
    """Drain the spool of this home, so that the window includes its spans; return metadata."""
    try:
        drained = spool_drain.drain(analysis.database, analysis.settings.home, "ANALYSIS", at_most_s=DRAIN_S)
    except (UserError, psycopg2.Error) as error:
        # Stored spans can still be analysed.
        context.log.warning("The spool was not drained: %s", " ".join(str(error).split()))
        return {}
    if not drained.spans and not drained.torn:
        return {}
    counted = spool_drain.summed(drained.counters)
    context.log.info("Drained %d span(s) from the spool, %d of them new", drained.spans, drained.new)
    return {
        "spans from the spool": drained.spans,
        "new spans from the spool": drained.new,
        "torn records": drained.torn,
        **({"counted by programs that ended": dg.MetadataValue.json(counted)} if counted else {}),
    }


@analysis_asset(
    "traces",
    "Durations of each dimension on each closed day, in logarithmic buckets.",
    {"postgres"},
    after=[FIRST_ASSET],
)
def duration_histograms(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
    """Recount the days that have new spans or types."""
    days, rows_made, blocks_made = history.bring_up_to_date(analysis, TRACES.get(analysis))
    yield dg.MaterializeResult(metadata={"days counted": len(days), "rows": rows_made, "blocks": blocks_made})
