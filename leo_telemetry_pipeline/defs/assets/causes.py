"""Asset ``bottleneck_causes``: where the added time of bottlenecks is spent, and which of them share a cause.

Belongs here: which traces are compared, and how causes are stored. Does not: comparing them (analysis).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import dagster as dg
import numpy as np

from leo_telemetry_pipeline.analysis import (
    attributes,
    attribution,
    causes,
    critical_path,
    measure_changes,
    mixed_parts,
    slices,
    versions,
)
from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.analysis.causes import Member
from leo_telemetry_pipeline.analysis.critical_path import Forest
from leo_telemetry_pipeline.defs.assets import compared_traces
from leo_telemetry_pipeline.defs.assets.asset import AssetValue, analysis_asset
from leo_telemetry_pipeline.defs.assets.bottlenecks import BOTTLENECKS
from leo_telemetry_pipeline.defs.assets.learning import LEARNED
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.dimension import Bottleneck, Dimension, ExplainedCause, Explanation

_ASSET = "bottleneck_causes"
# Causes beyond this many are not asked for their first slow version, which takes traces of its own.
MOST_DATED = 10


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
    slow = judging.found(BOTTLENECKS.get(analysis))[: compared_traces.MOST]
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
    judged = LEARNED.get(analysis)
    attributions, only, shared, set_apart, measured, versioned = {}, {}, {}, {}, {}, set()
    for compared in compared_traces.by_onset(analysis, slow):
        both = compared.since, compared.before
        mixed = mixed_parts.parts(judged, compared.onset)
        of_day, confined, shared[compared.onset] = causes.explain(compared.slow, *both, mixed)
        attributions |= of_day
        only |= confined
        names = [each.dimension for each in compared.slow]
        measured |= {name: measure_changes.changes_of(*both, *name) for name in names}
        all_calls = replace(compared.since, above_ms={})
        set_apart |= {each.dimension: _set_apart(all_calls, compared.before, each) for each in compared.slow}
        versioned |= {name for name in names if versions.names(_attributes(both, name))}
    grouped = causes.group(slow, attributions, {**only, **alone}, shared)
    dated = [cause.representative for cause in grouped if cause.representative.dimension in versioned][:MOST_DATED]
    first_slow = _first_slow(analysis, dated)

    def explained(member: Member) -> Explanation:
        name = member.slow.dimension
        found = attributions.get(name)
        why = attribution.line(found, added_ms=member.slow.added_ms) if found and found.parts else None
        shown = [*measured[name], *first_slow.get(name, ())]
        return Explanation(*name, round(float(member.share), 4), why, shown, set_apart[name])

    made = []
    for cause in grouped:
        own, *others = map(explained, cause.members)
        value = "=".join(cause.value) if cause.value else None
        made.append(ExplainedCause(**vars(own), kind=cause.kind, key=cause.key, members=tuple(others), value=value))
    return made


def _set_apart(after: Forest, before: Forest, slow: Bottleneck) -> list[str]:
    sides = [(forest, critical_path.rows_of(forest, *slow.dimension)) for forest in (after, before)]
    times = [forest.judged[rows] for forest, rows in sides]
    if not all(len(judged) for judged in times):
        return []
    cut = slow.slow_calls.cut_ms if slow.slow_calls else attributes.slow_cut(*times)
    # Spans of the normal days never count as slow, whatever their length.
    is_slow = np.concatenate([times[0] > cut, np.zeros(len(times[1]), dtype=bool)])
    every = _attributes((after, before), slow.dimension)
    return list(map(str, attributes.separate(every, is_slow)))


def _attributes(forests: Sequence[Forest], name: Dimension) -> list[Mapping[str, Any] | None]:
    return [forest.attributes[row] for forest in forests for row in critical_path.rows_of(forest, *name)]


def _first_slow(analysis: Analysis, slow: Sequence[Bottleneck]) -> dict[Dimension, list[str]]:
    """Return between which versions each dimension became slow, if versions explain it and all its calls are slower."""
    found = {}
    for onset in sorted({each.onset_day for each in slow if each.onset_day}):
        of_day = [each for each in slow if each.onset_day == onset and not each.slow_calls]
        trees = compared_traces.around(analysis, onset, [each.dimension for each in of_day])
        for each in of_day:
            rows = critical_path.rows_of(trees, *each.dimension)
            starts, judged = [trees.start[row] for row in rows], trees.judged[rows]
            levels = each.baseline_p50_ms, each.observed_p50_ms
            named = versions.first_slow(starts, judged, _attributes([trees], each.dimension), *levels)
            found[each.dimension] = [str(named)] if named else []
    return found
