"""Why bottlenecks are slow, as an asset: what they have in common, and what their added time is spent on.

Belongs here: which traces are compared, and the form in which causes are kept. Does not: comparing them (analysis).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from leo_telemetry_pipeline.analysis import attributes, attribution, causes, critical_path, measure_changes
from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.analysis.causes import Cause
from leo_telemetry_pipeline.analysis.critical_path import Forest
from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.assets.asset import Left, analysis_asset
from leo_telemetry_pipeline.defs.assets.bottlenecks import BOTTLENECKS
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.dimension import Bottleneck, Dimension
from leo_telemetry_pipeline.store import trace_samples
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.dimensions import SPAN_COLUMNS

# The worst are explained; of each dimension so many traces of the window and as many from before.
MOST_EXPLAINED = 100
SAMPLE = 40


def _read(analysis: Analysis) -> list[dict[str, Any]]:
    return analysis.noted(_ASSET) or []


_ASSET = "bottleneck_causes"
CAUSES = Left(_ASSET, lambda analysis, made: analysis.annotate({_ASSET: made}), _read)


@analysis_asset(
    "findings",
    "Why bottlenecks are slow: their traces compared with those from before, and one cause for all that it slows.",
    {"pandas", "postgres"},
    after=["bottlenecks"],
)
def bottleneck_causes(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
    """Explain the worst bottlenecks."""
    made = explain(analysis, judging.found(BOTTLENECKS.get(analysis))[:MOST_EXPLAINED])
    CAUSES.put(analysis, made)
    yield dg.MaterializeResult(
        metadata={
            "causes": len(made),
            "dimensions slow by them": sum(1 + len(cause["members"]) for cause in made),
            "why": dg.MetadataValue.md(markdown_tables.cause_table(made)),
        },
    )


def explain(analysis: Analysis, slow: Sequence[Bottleneck]) -> list[dict[str, Any]]:
    """Return the causes of bottlenecks as JSON can hold them, that of most added time first."""
    window, said, measured = analysis.window, {}, {}
    attributions, only = {}, {}
    for onset in sorted({each.onset_day for each in slow}, key=lambda day: (day is not None, day)):
        since = [each for each in slow if each.onset_day == onset]
        parts = (Window(*part, window.project) for part in causes.periods(onset, window.start, window.end))
        after, before = (_forest(analysis, since, part) for part in parts)
        of_day, confined = causes.explain(since, after, before)
        attributions |= of_day
        only |= confined
        said |= {each.dimension: _set_apart(after, before, each.dimension) for each in since}
        measured |= {each.dimension: measure_changes.changes_of(after, before, *each.dimension) for each in since}
    return [_as_json(cause, attributions, said, measured) for cause in causes.group(slow, attributions, only)]


def _forest(analysis: Analysis, slow: Sequence[Bottleneck], period: Window) -> Forest:
    names = [each.dimension for each in slow]
    chosen = trace_samples.at_random(analysis.database, period, names, history.seen(analysis), SAMPLE)
    traces = sorted({trace for of_dimension in chosen.values() for trace in of_dimension})
    rows = trace_samples.spans_of(analysis.database, period, traces)
    return critical_path.forest(attributes.with_trace_attributes(pd.DataFrame(rows, columns=list(SPAN_COLUMNS))))


def _set_apart(after: Forest, before: Forest, dimension: Dimension) -> list[str]:
    sides = [(forest, critical_path.rows_of(forest, *dimension)) for forest in (after, before)]
    times = [forest.judged[rows] for forest, rows in sides]
    if not all(len(judged) for judged in times):
        return []
    is_slow = np.concatenate(times) > attributes.slow_cut(*times)
    return [
        str(one)
        for one in attributes.separate([forest.attributes[row] for forest, rows in sides for row in rows], is_slow)
    ]


def _as_json(
    cause: Cause,
    attributions: dict,
    set_apart: dict[Dimension, list[str]],
    measured: dict[Dimension, list[str]],
) -> dict[str, Any]:
    def said(dimension: Dimension, share: float) -> dict[str, Any]:
        found = attributions.get(dimension)
        return {
            "dimension_type": dimension[0],
            "dimension_key": dimension[1],
            "share": round(float(share), 4),
            "why": attribution.line(found) if found and found.parts else None,
            "measured": measured.get(dimension, []),
            "set_apart_by": set_apart.get(dimension, []),
        }

    own, *others = ((member.slow.dimension, member.share) for member in cause.members)
    return {"kind": cause.kind, "key": cause.key, **said(*own), "members": [said(*other) for other in others]}
