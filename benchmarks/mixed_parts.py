"""Simulated traces with a mixed part: handoffs of one to three phases, each around a gate whose shares change.

Belongs here: drawing the spans around the gates, and comparing their traces as an analysis does, without a database.
Does not: drawing the gates, measuring (bench_mix).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from benchmarks import series
from leo_telemetry_pipeline.analysis import causes, mixed_parts, sampling
from leo_telemetry_pipeline.analysis.causes import BEFORE, NEAR
from leo_telemetry_pipeline.analysis.changes import day_number
from leo_telemetry_pipeline.analysis.critical_path import Forest, TraceSpan, forest
from leo_telemetry_pipeline.dimension import Bottleneck, DaySample, Dimension, Judgement
from leo_telemetry_pipeline.mix import Mix

# Own work of phases and handoffs: median in ms, as logs, and sigma.
OWN, SIGMA = (np.log(200), np.log(10_000)), 0.5
CALLS = 3


@dataclass(frozen=True)
class Traces:
    """One entry per gate: number of its dimension, its slice, day, trace, and ms of itself, its phase and handoff."""

    whole: np.ndarray
    slice_: np.ndarray
    day: np.ndarray
    trace: np.ndarray
    gate_ms: np.ndarray
    phase_ms: np.ndarray
    handoff_ms: np.ndarray

    def of(self, span_type: str, whole: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return trace, day and ms of the spans of a phase or handoff."""
        at = np.flatnonzero(self.whole == whole)
        if span_type == "handoff":
            at = at[np.unique(self.trace[at], return_index=True)[1]]
        return self.trace[at], self.day[at], (self.phase_ms if span_type == "phase" else self.handoff_ms)[at]

    def forest(self, name: Dimension, chosen: Sequence[str], above_ms: float | None) -> Forest:
        """Return the trees of some traces that represent a dimension."""
        spans: list[TraceSpan] = []
        at = np.flatnonzero(np.isin(self.trace, [int(trace) for trace in chosen]))
        for trace in np.unique(self.trace[at]).tolist():
            calls = at[self.trace[at] == trace]
            key, length = f"G{self.whole[calls[0]]}", float(self.handoff_ms[calls[0]])
            start = (length - float(self.phase_ms[calls].sum())) / 2
            spans.append(TraceSpan(str(trace), "h", None, "handoff", key, 0.0, length, length))
            for row in calls.tolist():
                phase, gate = float(self.phase_ms[row]), float(self.gate_ms[row])
                within = start + (phase - gate) / 2
                kind = {"sd_type": f"v{self.slice_[row]}"}
                spans.append(TraceSpan(str(trace), f"p{row}", "h", "phase", key, start, start + phase, phase))
                spans.append(
                    TraceSpan(str(trace), f"g{row}", f"p{row}", "gate", key, within, within + gate, gate, None, kind)
                )
                start += phase
        above = {} if above_ms is None else {name: above_ms}
        return replace(forest(spans), above_ms=above)


def around(
    rng: np.random.Generator, whole: np.ndarray, slice_: np.ndarray, day: np.ndarray, log_ms: np.ndarray
) -> Traces:
    """Draw phases and handoffs around gates."""
    gate_ms, phase_ms, handoff_ms = np.exp(log_ms), np.zeros(len(whole)), np.zeros(len(whole))
    trace = np.zeros(len(whole), dtype=int)
    for number in np.unique(whole).tolist():
        at = np.flatnonzero(whole == number)
        at = at[np.argsort(day[at], kind="stable")]
        within_day = np.arange(len(at)) - np.searchsorted(day[at], day[at])
        group = np.cumsum(within_day % int(rng.integers(1, CALLS + 1)) == 0)
        own = [np.exp(rng.uniform(*OWN) + SIGMA * rng.standard_normal(len(at))) for _ in range(2)]
        phase_ms[at] = gate_ms[at] + own[0]
        first = np.unique(group, return_index=True)[1]
        handoff_ms[at] = (np.add.reduceat(phase_ms[at], first) + own[1][first])[group - 1]
        trace[at] = trace.max() + group
    return Traces(whole, slice_, day, trace, gate_ms, phase_ms, handoff_ms)


def with_mixed_parts(judged: list[Judgement], traces: Traces, end: int) -> list[Judgement]:
    """Return the judgements of the week before day ``end``, with the mixes of parts, as the analysis finds them."""
    for is_minority in (False, True):
        found = {
            slow.dimension: mix
            for slow in mixed_parts.slow(judged, is_minority=is_minority)
            if slow.dimension_type in ("phase", "handoff")
            and (parts := mixed_parts.parts(judged, slow.onset_day))
            and (mix := _explanation(slow, parts, traces, end))
        }
        judged = mixed_parts.settled(judged, found, is_minority=is_minority)
    return judged


def _explanation(slow: Bottleneck, parts: dict[str, Mix], traces: Traces, end: int) -> Mix | None:
    onset: date | None = slow.onset_day
    began = end - 7 if onset is None else day_number(onset) - series.MONDAY
    since, until = max(began, end - 7), began - (0 if onset is None else NEAR.days)
    cut = slow.slow_calls.cut_ms if slow.slow_calls else None
    sides = [
        traces.forest(slow.dimension, choose(_days(slow, traces, *days), slow, sampling.SAMPLE), above_ms)
        for choose, days, above_ms in (
            (sampling.slow_traces, (since, end), cut),
            (sampling.normal_traces, (until - BEFORE.days, until), None),
        )
    ]
    since_onset, before = sides
    of_one = causes.attributed([slow], since_onset, before, parts)
    return mixed_parts.explanation(slow, of_one[slow.dimension], parts)


def _days(slow: Bottleneck, traces: Traces, first: int, end: int) -> list[DaySample]:
    trace, day, ms = traces.of(slow.dimension_type, int(slow.dimension_key[1:]))
    days = []
    for number in range(first, end):
        at = np.flatnonzero(day == number)
        if len(at):
            ordered = at[np.argsort(ms[at])]
            days.append(DaySample(len(at), float(np.median(ms[at])), [str(each) for each in trace[ordered]]))
    return days
