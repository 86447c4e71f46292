"""Asset ``bottleneck_causes``: where the added time of bottlenecks is spent, and which of them share a cause.

Belongs here: which traces are compared, and how causes are stored. Does not: comparing them (analysis).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import dagster as dg
import numpy as np

from leo_telemetry_pipeline.analysis import attributes, attribution, causes, critical_path, measure_changes
from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.analysis.causes import Member
from leo_telemetry_pipeline.analysis.critical_path import Forest, TraceSpan
from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.assets.asset import AssetValue, analysis_asset
from leo_telemetry_pipeline.defs.assets.bottlenecks import BOTTLENECKS
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.dimension import Bottleneck, Dimension, ExplainedCause, Explanation
from leo_telemetry_pipeline.store import trace_samples
from leo_telemetry_pipeline.store.days import Window

MOST_EXPLAINED = 100
# Traces per dimension: at most this many from the window, and as many from before it.
SAMPLE = 40

_ASSET = "bottleneck_causes"


def _write(analysis: Analysis, made: list[ExplainedCause]) -> None:
    analysis.annotate({_ASSET: [asdict(cause) for cause in made]})


def _read(analysis: Analysis) -> list[ExplainedCause]:
    return [ExplainedCause.from_json(kept) for kept in analysis.noted(_ASSET) or ()]


CAUSES = AssetValue(_ASSET, _write, _read)


@analysis_asset(
    "findings",
    "Why bottlenecks are slow: compares their traces with earlier ones, and groups bottlenecks with the same cause.",
    {"postgres"},
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
            "dimensions slowed by them": sum(1 + len(cause.members) for cause in made),
            "why": dg.MetadataValue.md(markdown_tables.cause_table(made)),
        },
    )


def explain(analysis: Analysis, slow: Sequence[Bottleneck]) -> list[ExplainedCause]:
    """Return the causes of bottlenecks, the one with the most added time first."""
    window, set_apart, measured = analysis.window, {}, {}
    attributions, only = {}, {}
    for onset in sorted({each.onset_day for each in slow}, key=lambda day: (day is not None, day)):
        since = [each for each in slow if each.onset_day == onset]
        parts = (Window(*part, window.project) for part in causes.periods(onset, window.start, window.end))
        after, before = (_forest(analysis, since, part) for part in parts)
        of_day, confined = causes.explain(since, after, before)
        attributions |= of_day
        only |= confined
        set_apart |= {each.dimension: _set_apart(after, before, each.dimension) for each in since}
        measured |= {each.dimension: measure_changes.changes_of(after, before, *each.dimension) for each in since}

    def explained(member: Member) -> Explanation:
        name = member.slow.dimension
        found = attributions.get(name)
        why = attribution.line(found) if found and found.parts else None
        return Explanation(*name, round(float(member.share), 4), why, measured[name], set_apart[name])

    made = []
    for cause in causes.group(slow, attributions, only):
        own, *others = map(explained, cause.members)
        made.append(ExplainedCause(**vars(own), kind=cause.kind, key=cause.key, members=tuple(others)))
    return made


def _forest(analysis: Analysis, slow: Sequence[Bottleneck], period: Window) -> Forest:
    names = [each.dimension for each in slow]
    chosen = trace_samples.at_random(analysis.database, period, names, history.seen(analysis), SAMPLE)
    traces = sorted({trace for of_dimension in chosen.values() for trace in of_dimension})
    spans = [TraceSpan(*row) for row in trace_samples.spans_of(analysis.database, period, traces)]
    return critical_path.forest(attributes.with_trace_attributes(spans))


def _set_apart(after: Forest, before: Forest, dimension: Dimension) -> list[str]:
    sides = [(forest, critical_path.rows_of(forest, *dimension)) for forest in (after, before)]
    times = [forest.judged[rows] for forest, rows in sides]
    if not all(len(judged) for judged in times):
        return []
    is_slow = np.concatenate(times) > attributes.slow_cut(*times)
    every = [forest.attributes[row] for forest, rows in sides for row in rows]
    return list(map(str, attributes.separate(every, is_slow)))
