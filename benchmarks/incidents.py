"""Simulated incidents: handoffs that share gates and sub-agents, slowed by one or two causes.

Belongs here: programs, causes, and the dimensions that an analysis would flag. Does not: laying out traces (families),
grouping (bench_causes).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd

from benchmarks.families import SD_TYPES, Draw, Family, Node, Slowdown, draw, frame, lay
from leo_telemetry_pipeline.dimension import Bottleneck, Dimension

TRACES = 40
PHASES = ("LEAD", "PLAN", "EXEC")
# A bottleneck here: least ratio of medians, their difference in standard errors, spans on each side.
RATIO, SEPARATED, LEAST = 1.3, 4.0, 10
ONSET = date(2026, 3, 2)


@dataclass(frozen=True)
class Incident:
    """Spans of window and baseline, the flagged bottlenecks, and the dimensions that name the causes."""

    window: pd.DataFrame
    baseline: pd.DataFrame
    slow: list[Bottleneck]
    causes: list[Dimension]


def one_cause(rng: np.random.Generator, least: int = 30) -> Incident:
    """Return an incident in which one slow step affects at least ``least`` dimensions."""
    while True:
        program = _program(rng)
        [key] = _shared(rng, program, 1)
        incident = _incident(rng, program, [_slowdown(rng, program, key)], [0])
        if len(incident.slow) >= least:
            return incident


def one_value(rng: np.random.Generator) -> Incident:
    """Return an incident in which a gate is slow for only one SD type."""
    while True:
        program = _program(rng)
        key = str(rng.choice([node.key for node in program[0].nodes if node.key.startswith("gate:")]))
        slowdown = replace(_slowdown(rng, program, key), sd_type=str(rng.choice(SD_TYPES)))
        incident = _incident(rng, program, [slowdown], [0])
        if incident.causes[0] in {each.dimension for each in incident.slow} and len(incident.slow) > 1:
            return incident


def two_causes(rng: np.random.Generator, days: int = 2) -> Incident:
    """Return an incident with two slow steps, the second of which starts ``days`` days after the first."""
    while True:
        program = _program(rng)
        keys = _shared(rng, program, 2)
        incident = _incident(rng, program, [_slowdown(rng, program, key) for key in keys], [0, days])
        if {*incident.causes} <= {each.dimension for each in incident.slow}:
            return incident


def _program(rng: np.random.Generator) -> list[Family]:
    gates = [f"gate:GATE_{number}" for number in range(9)]
    agents = [f"subagent:AGENT_{number}" for number in range(5)]
    own = {key: float(rng.lognormal(8.5, 0.5)) for key in (*gates, *agents)}
    queues = {key: float(rng.lognormal(6, 0.5)) * (rng.random() < 0.5) for key in own}
    asked = {gate: [str(key) for key in rng.choice(agents, rng.integers(1, 3), replace=False)] for gate in gates}
    below = {agent: [f"tool:TOOL_{rng.integers(4)}"] * int(rng.integers(0, 3)) for agent in agents}
    return [_handoff(rng, f"handoff:HANDOFF_{number}", asked, below, own, queues) for number in range(5)]


def _handoff(
    rng: np.random.Generator, key: str, asked: Mapping, below: Mapping, own: Mapping, queues: Mapping
) -> Family:
    nodes = [Node(key, -1, 0, 4_000.0, 0.0, 1.0, "")]

    def add(name: str, parent: int) -> int:
        median = own.get(name, 2_000.0)
        nodes.append(Node(name, parent, nodes[parent].depth + 1, median, queues.get(name, 0.0), 1.0, ""))
        return len(nodes) - 1

    for phase in rng.choice(PHASES, rng.integers(1, 3), replace=False):
        within = add(f"phase:{phase}", 0)
        for gate in rng.choice(list(asked), rng.integers(2, 4), replace=False):
            at = add(str(gate), within)
            for agent in asked[str(gate)]:
                asking = add(agent, at)
                for tool in below[agent]:
                    add(tool, asking)
    return Family(tuple(nodes), tuple(bool(rng.random() < 0.3) for _ in nodes), {"": 0.0})


def _shared(rng: np.random.Generator, program: Sequence[Family], count: int) -> list[str]:
    """Return random sub-agents, which handoffs share."""
    agents = sorted({node.key for made in program for node in made.nodes if node.key.startswith("subagent:")})
    return [str(key) for key in rng.choice(agents, count, replace=False)]


def _slowdown(rng: np.random.Generator, program: Sequence[Family], key: str) -> Slowdown:
    longest = max(sum(node.own_ms for node in made.nodes) for made in program)
    return Slowdown(key, longest * float(rng.uniform(0.6, 1.2)))


def _incident(
    rng: np.random.Generator, program: Sequence[Family], slowdowns: Sequence[Slowdown], after_days: Sequence[int]
) -> Incident:
    window, baseline = (pd.concat(list(_traces(rng, program, which)), ignore_index=True) for which in (slowdowns, []))
    names = [_name(slowdown) for slowdown in slowdowns]
    onsets = [ONSET + timedelta(days=days) for days in after_days]
    alone = [_moved(rng, program, [slowdown]) if len(slowdowns) > 1 else set() for slowdown in slowdowns]
    flagged = []
    for dimension, medians in _flagged(_dimensions(window), _dimensions(baseline)).items():
        since = [onset for onset, moved in zip(onsets, alone, strict=True) if dimension in moved] or onsets
        flagged.append(Bottleneck(*dimension, *medians, None, RATIO, TRACES, onset_day=min(since)))
    return Incident(window, baseline, flagged, names)


def _name(slowdown: Slowdown) -> Dimension:
    span_type, _, name = slowdown.key.partition(":")
    return (f"{span_type}+sd_type", f"{name}:{slowdown.sd_type}") if slowdown.sd_type else (span_type, name)


def _moved(rng: np.random.Generator, program: Sequence[Family], slowdowns: Sequence[Slowdown]) -> set[Dimension]:
    sides = (pd.concat(list(_traces(rng, program, which)), ignore_index=True) for which in (slowdowns, []))
    return set(_flagged(*(_dimensions(side) for side in sides)))


def _traces(
    rng: np.random.Generator, program: Sequence[Family], slowdowns: Sequence[Slowdown]
) -> Iterator[pd.DataFrame]:
    for number, made in enumerate(program):
        drawn: Draw = draw(rng, made, TRACES)
        yield frame(rng, made, drawn, lay(made, drawn, slowdowns), number * TRACES)


def _dimensions(spans: pd.DataFrame) -> dict[Dimension, np.ndarray]:
    """Return the durations of each dimension that is judged by default."""
    kinds = {
        trace: given["sd_type"]
        for trace, given in zip(spans["trace_id"], spans["attributes"], strict=True)
        if "sd_type" in given
    }
    sd_type = spans["trace_id"].map(kinds)
    tables = [(spans["span_type"], spans["span_name"], spans["duration_ms"])]
    gates, handoffs = spans["span_type"] == "gate", spans["span_type"] == "handoff"
    combined = spans.loc[gates, "span_name"] + ":" + sd_type[gates]
    tables += [(pd.Series("gate+sd_type", combined.index), combined, spans.loc[gates, "duration_ms"])]
    tables += [(pd.Series("sd_type", sd_type[handoffs].index), sd_type[handoffs], spans.loc[handoffs, "duration_ms"])]
    return {
        (str(kind), str(key)): times.to_numpy()
        for types, keys, durations in tables
        for (kind, key), times in durations.groupby([types.to_numpy(), keys.to_numpy()])
    }


def _flagged(
    window: Mapping[Dimension, np.ndarray], baseline: Mapping[Dimension, np.ndarray]
) -> dict[Dimension, tuple[float, float]]:
    """Return the medians in window and baseline of each dimension that an analysis would flag."""
    flagged = {}
    for dimension in sorted(window.keys() & baseline.keys()):
        after, before = window[dimension], baseline[dimension]
        medians = float(np.median(after)), float(np.median(before))
        errors = [1.253 * side.std() / np.sqrt(len(side)) for side in (after, before)]
        is_apart = medians[0] - medians[1] > SEPARATED * float(np.hypot(*errors))
        if min(len(after), len(before)) >= LEAST and medians[0] > RATIO * medians[1] and is_apart:
            flagged[dimension] = medians
    return flagged
