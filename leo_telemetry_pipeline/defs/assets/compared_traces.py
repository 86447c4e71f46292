"""Traces that are compared: those of slow dimensions since their onset, those of the time before, and those around it.

Belongs here: reading them, one onset at a time. Does not: choosing days and traces (analysis.sampling), comparing them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from leo_telemetry_pipeline.analysis import attributes, causes, critical_path, sampling
from leo_telemetry_pipeline.analysis.critical_path import Forest, TraceSpan
from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.dimension import Bottleneck, DaySample, Dimension
from leo_telemetry_pipeline.store import trace_samples
from leo_telemetry_pipeline.store.days import Window, midnight

# Bottlenecks beyond this many are not compared.
MOST = 100

# Days before and after an onset whose traces show the first slow version, and how many of each: the days next to the
# onset decide it.
AROUND, PER_DAY = timedelta(days=14), 10
NEXT_TO, PER_NEAR_DAY = timedelta(days=3), 60

Sampled = dict[Dimension, list[str]]


@dataclass(frozen=True)
class Compared:
    """The bottlenecks since one onset, and their traces since and before it."""

    onset: date | None
    slow: list[Bottleneck]
    since: Forest
    before: Forest


def by_onset(analysis: Analysis, slow: Sequence[Bottleneck]) -> Iterator[Compared]:
    """Read the traces of bottlenecks, one onset after another."""
    window, most = analysis.window, sampling.size(len(slow))
    for onset in sorted({each.onset_day for each in slow}, key=lambda day: (day is not None, day)):
        of_day = [each for each in slow if each.onset_day == onset]
        slow_part, normal_part = (
            Window(*part, window.project) for part in causes.periods(onset, window.start, window.end)
        )
        since = _forest(analysis, slow_part, _slow_traces(analysis, of_day, slow_part, most))
        before = _forest(analysis, normal_part, _normal_traces(analysis, of_day, normal_part, most))
        cuts = {each.dimension: each.slow_calls.cut_ms for each in of_day if each.slow_calls}
        yield Compared(onset, of_day, replace(since, above_ms=cuts), before)


def around(analysis: Analysis, onset: date, names: Sequence[Dimension]) -> Forest:
    """Read traces of dimensions from the days before and after an onset."""
    first, end = midnight(onset - AROUND), midnight(onset + AROUND)
    period = Window(first, min(end, analysis.window.end), analysis.window.project)
    near = {day for day in period.days if onset - NEXT_TO <= day < onset + NEXT_TO}
    sampled: Sampled = {name: [] for name in names}
    for days, most in ((sorted(near), PER_NEAR_DAY), ([day for day in period.days if day not in near], PER_DAY)):
        for of_day in _read_days(analysis, period, days, names, most):
            for name, found in of_day.items():
                sampled[name] += found.sample
    return _forest(analysis, period, sampled)


def _slow_traces(analysis: Analysis, slow: Sequence[Bottleneck], period: Window, most: int) -> Sampled:
    days: dict[Dimension, list[DaySample]] = {each.dimension: [] for each in slow}
    for of_day in _read_days(analysis, period, period.days, list(days), most):
        for name, sample in of_day.items():
            days[name].append(sample)
    return {each.dimension: sampling.slow_traces(days[each.dimension], each, most) for each in slow}


def _normal_traces(analysis: Analysis, slow: Sequence[Bottleneck], period: Window, most: int) -> Sampled:
    days: dict[Dimension, list[DaySample]] = {each.dimension: [] for each in slow}
    order, at_once = sampling.in_order(period.days), sampling.REFERENCE_DAYS
    for number in range(0, len(order), at_once):
        left = [each for each in slow if not sampling.has_enough(days[each.dimension], each, most)]
        if not left:
            break
        names = [each.dimension for each in left]
        for of_day in _read_days(analysis, period, order[number : number + at_once], names, most):
            for each in left:
                if each.dimension in of_day and not sampling.has_enough(days[each.dimension], each, most):
                    days[each.dimension].append(of_day[each.dimension])
    return {each.dimension: sampling.normal_traces(days[each.dimension], each, most) for each in slow}


def _read_days(
    analysis: Analysis, period: Window, days: Sequence[date], names: Sequence[Dimension], most: int
) -> list[dict[Dimension, DaySample]]:
    """Return the samples of each day, in one query: on a cluster, each has to ask every shard."""
    if not days:
        return []
    read = trace_samples.of_days(analysis.database, period, days, names, history.seen(analysis), most)
    return [read.get(day, {}) for day in days]


def _forest(analysis: Analysis, period: Window, sampled: Sampled) -> Forest:
    traces = sorted({trace for of_dimension in sampled.values() for trace in of_dimension})
    spans = [TraceSpan(*row) for row in trace_samples.spans_of(analysis.database, period, traces)]
    # A trace sampled for one dimension does not stand for another one, whose days or values it may not be typical of.
    return replace(
        critical_path.forest(attributes.with_trace_attributes(spans)),
        sampled={dimension: frozenset(chosen) for dimension, chosen in sampled.items()},
    )
