"""Traces that are compared: those of slow dimensions since their onset, and those of the time before.

Belongs here: reading them, one onset at a time. Does not: choosing days and traces (analysis.sampling), comparing them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from leo_telemetry_pipeline.analysis import attributes, causes, critical_path, sampling
from leo_telemetry_pipeline.analysis.critical_path import Forest, TraceSpan
from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.dimension import Bottleneck, DaySample, Dimension
from leo_telemetry_pipeline.store import trace_samples
from leo_telemetry_pipeline.store.days import Window, after, midnight

# Bottlenecks beyond this many are not compared.
MOST = 100

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
