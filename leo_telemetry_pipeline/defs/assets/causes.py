"""Asset ``bottleneck_causes``: where the added time of bottlenecks is spent, and which of them share a cause.

Belongs here: which traces are compared, and how causes are stored. Does not: comparing them (analysis).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date

import dagster as dg
import numpy as np

from leo_telemetry_pipeline.analysis import (
    attributes,
    attribution,
    causes,
    critical_path,
    measure_changes,
    sampling,
    slices,
)
from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.analysis.causes import Member
from leo_telemetry_pipeline.analysis.critical_path import Forest, TraceSpan
from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.assets.asset import AssetValue, analysis_asset
from leo_telemetry_pipeline.defs.assets.bottlenecks import BOTTLENECKS
from leo_telemetry_pipeline.defs.assets.learning import LEARNED
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.dimension import Bottleneck, DaySample, Dimension, ExplainedCause, Explanation
from leo_telemetry_pipeline.store import trace_samples
from leo_telemetry_pipeline.store.days import Window, after, midnight

MOST_EXPLAINED = 100

Sampled = dict[Dimension, list[str]]

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
    judged = LEARNED.get(analysis)
    alone = slices.slow_alone(judged, slices.slices_of([one.dimension for one in judged]))
    slow = judging.found(BOTTLENECKS.get(analysis))[:MOST_EXPLAINED]
    made = explain(analysis, slow, {":".join(whole): value for whole, value in alone.items()})
    CAUSES.put(analysis, made)
    yield dg.MaterializeResult(
        metadata={
            "causes": len(made),
            "dimensions slowed by them": sum(1 + len(cause.members) for cause in made),
            "why": dg.MetadataValue.md(markdown_tables.cause_table(made)),
        },
    )


def explain(
    analysis: Analysis, slow: Sequence[Bottleneck], alone: Mapping[str, tuple[str, str]]
) -> list[ExplainedCause]:
    """Return the causes of bottlenecks, the one with the most added time first.

    ``alone``: attribute and value to which the slowness of a label is known to be confined.
    """
    window, set_apart, measured = analysis.window, {}, {}
    most = sampling.size(len(slow))
    attributions, only, shared = {}, {}, {}
    for onset in sorted({each.onset_day for each in slow}, key=lambda day: (day is not None, day)):
        since = [each for each in slow if each.onset_day == onset]
        slow_part, normal_part = (
            Window(*part, window.project) for part in causes.periods(onset, window.start, window.end)
        )
        since_onset = _forest(analysis, slow_part, _slow_traces(analysis, since, slow_part, most))
        before = _forest(analysis, normal_part, _normal_traces(analysis, since, normal_part, most))
        set_apart |= {each.dimension: _set_apart(since_onset, before, each) for each in since}
        cuts = {each.dimension: each.slow_calls.cut_ms for each in since if each.slow_calls}
        since_onset = replace(since_onset, above_ms=cuts)
        of_day, confined, shared[onset] = causes.explain(since, since_onset, before)
        attributions |= of_day
        only |= confined
        measured |= {each.dimension: measure_changes.changes_of(since_onset, before, *each.dimension) for each in since}

    def explained(member: Member) -> Explanation:
        name = member.slow.dimension
        found = attributions.get(name)
        why = attribution.line(found, added_ms=member.slow.added_ms) if found and found.parts else None
        return Explanation(*name, round(float(member.share), 4), why, measured[name], set_apart[name])

    made = []
    for cause in causes.group(slow, attributions, {**only, **alone}, shared):
        own, *others = map(explained, cause.members)
        value = "=".join(cause.value) if cause.value else None
        made.append(ExplainedCause(**vars(own), kind=cause.kind, key=cause.key, members=tuple(others), value=value))
    return made


def _slow_traces(analysis: Analysis, slow: Sequence[Bottleneck], period: Window, most: int) -> Sampled:
    days: dict[Dimension, list[DaySample]] = {}
    for day in period.days:
        _read_day(analysis, period, day, [each.dimension for each in slow], most, days)
    return {each.dimension: sampling.slow_traces(days.get(each.dimension, ()), each, most) for each in slow}


def _normal_traces(analysis: Analysis, slow: Sequence[Bottleneck], period: Window, most: int) -> Sampled:
    days: dict[Dimension, list[DaySample]] = {}
    for day in sampling.in_order(period.days):
        left = [each for each in slow if not sampling.has_enough(days.get(each.dimension, ()), each, most)]
        if not left:
            break
        _read_day(analysis, period, day, [each.dimension for each in left], most, days)
    return {each.dimension: sampling.normal_traces(days.get(each.dimension, ()), each, most) for each in slow}


def _read_day(
    analysis: Analysis,
    period: Window,
    day: date,
    names: Sequence[Dimension],
    most: int,
    days: dict[Dimension, list[DaySample]],
) -> None:
    of_day = replace(period, start=midnight(day)).up_to(after(day))
    for name, sample in trace_samples.of_day(analysis.database, of_day, names, history.seen(analysis), most).items():
        days.setdefault(name, []).append(sample)


def _forest(analysis: Analysis, period: Window, sampled: Sampled) -> Forest:
    traces = sorted({trace for of_dimension in sampled.values() for trace in of_dimension})
    spans = [TraceSpan(*row) for row in trace_samples.spans_of(analysis.database, period, traces)]
    # A trace sampled for one dimension does not stand for another one, whose days or values it may not be typical of.
    return replace(
        critical_path.forest(attributes.with_trace_attributes(spans)),
        sampled={dimension: frozenset(chosen) for dimension, chosen in sampled.items()},
    )


def _set_apart(after: Forest, before: Forest, slow: Bottleneck) -> list[str]:
    sides = [(forest, critical_path.rows_of(forest, *slow.dimension)) for forest in (after, before)]
    times = [forest.judged[rows] for forest, rows in sides]
    if not all(len(judged) for judged in times):
        return []
    cut = slow.slow_calls.cut_ms if slow.slow_calls else attributes.slow_cut(*times)
    # Spans of the normal days never count as slow, whatever their length.
    is_slow = np.concatenate([times[0] > cut, np.zeros(len(times[1]), dtype=bool)])
    every = [forest.attributes[row] for forest, rows in sides for row in rows]
    return list(map(str, attributes.separate(every, is_slow)))
