"""What the window holds, and the days that are counted, as the first two assets of an analysis.

Belongs here: freezing the window, draining the spool. Does not: counting (store), which days are read (history).
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import psycopg2

from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.assets.asset import Left, analysis_asset
from leo_telemetry_pipeline.defs.names import FIRST_ASSET
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import open_spans, spans, spool_drain
from leo_telemetry_pipeline.store.history.span_counts import SpanCount

# What is left then waits for the next analysis; this one has a deadline.
DRAIN_S = 120.0


def _write(analysis: Analysis, found: list[SpanCount]) -> None:
    analysis.annotate(
        {FIRST_ASSET: [(one.span_type, one.day.isoformat(), one.spans, one.timed_spans) for one in found]}
    )


def _read(analysis: Analysis) -> list[SpanCount]:
    noted = analysis.noted(FIRST_ASSET) or []
    return [SpanCount(name, date.fromisoformat(day), *n) for name, day, *n in noted] or history.in_window(analysis)


TRACES = Left(FIRST_ASSET, _write, _read)


@analysis_asset(
    "traces",
    "The spans of the window, counted by span type and day; the window is frozen and the spool drained here.",
    {"postgres"},
)
def workflow_traces(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
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
            "spans a day": dg.MetadataValue.md(markdown_tables.day_table(found)),
            **drained,
        },
    )


def _drain(context: dg.AssetExecutionContext, analysis: Analysis) -> dict[str, Any]:
    """Store what waits in the spool of this home, so that the window has it; return what to show of that."""
    try:
        done = spool_drain.drain(analysis.database, analysis.settings.home, "ANALYSIS", at_most_s=DRAIN_S)
    except (UserError, psycopg2.Error) as error:
        # What is stored already can be judged all the same.
        context.log.warning("The spool was not drained: %s", " ".join(str(error).split()))
        return {}
    if not done.spans and not done.torn:
        return {}
    counted = spool_drain.summed(done.counters)
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
    after=[FIRST_ASSET],
)
def duration_histograms(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
    """Count again the days that have new spans or types."""
    days, rows_made, blocks_made = history.bring_up_to_date(analysis, TRACES.get(analysis))
    yield dg.MaterializeResult(metadata={"days counted": len(days), "rows": rows_made, "blocks": blocks_made})
