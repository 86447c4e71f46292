"""Simulated days of one dimension around an incident, and checks of the samples of its slow and normal days.

Belongs here: drawing days, and the two checks. Does not: choosing samples (analysis.sampling).
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from leo_telemetry_pipeline.analysis import attributes, sampling
from leo_telemetry_pipeline.dimension import Bottleneck, DaySample

BEFORE, WINDOW = 28, 7
FIRST = date(2026, 1, 1)
CLOSE = 0.15
MODEL_FACTOR = 4.0


@dataclass(frozen=True)
class Days:
    """Durations in ms per trace id, samples per day, and the bottleneck that an analysis would flag."""

    ms: dict[str, float]
    before: list[DaySample]
    since: list[DaySample]
    slow: Bottleneck
    added_ms: float


def drawn(rng: np.random.Generator) -> Days:
    """Draw four normal weeks and a week with an incident of 3 to 7 days, x1.5 to x5, which may be over."""
    factor, sigma = float(rng.uniform(1.5, 5)), float(rng.uniform(0.2, 0.8))
    # With fewer than 15 spans per day, the P50 itself is not known within 15 %.
    per_day, slow_days = int(rng.integers(15, 300)), int(rng.integers(3, WINDOW + 1))
    over = int(rng.integers(0, min(2, WINDOW - slow_days) + 1))
    factors = [1.0] * BEFORE + [factor] * slow_days + [1.0] * over
    days = [30_000 * each * rng.lognormal(0, sigma, int(rng.poisson(per_day)) + 5) for each in factors]
    slow = np.concatenate(days[BEFORE : BEFORE + slow_days])
    return _days(days, float(np.median(slow)), float(np.median(np.concatenate(days[:BEFORE]))))


def is_close(days: Days) -> bool:
    """Return whether the added time of the samples is within 15 % of that of all spans."""
    after, before = (np.median([days.ms[trace] for trace in side]) for side in _samples(days))
    return bool(abs(after - before - days.added_ms) <= CLOSE * days.added_ms)


def names_model(rng: np.random.Generator) -> bool:
    """Return whether the model of half of the spans, four times as slow since the incident, is named."""
    sigma, per_day = float(rng.uniform(0.2, 0.6)), int(rng.integers(8, 200))
    sizes = [int(rng.poisson(per_day)) + 5 for _ in range(BEFORE + WINDOW)]
    is_opus = [rng.random(size) < 0.5 for size in sizes]
    days = [
        30_000 * rng.lognormal(0, sigma, size) * np.where(opus & (number >= BEFORE), MODEL_FACTOR, 1.0)
        for number, (size, opus) in enumerate(zip(sizes, is_opus, strict=True))
    ]
    p50s = (float(np.median(np.concatenate(side))) for side in (days[BEFORE:], days[:BEFORE]))
    made = _days(days, *p50s)
    sides = _samples(made)
    times = [np.array([made.ms[trace] for trace in side]) for side in sides]
    is_slow = np.concatenate([times[0] > attributes.slow_cut(*times), np.zeros(len(times[1]), dtype=bool)])
    of_model = [{"model": "opus" if is_opus[_day(t)][_place(t)] else "sonnet"} for side in sides for t in side]
    return any(found.value == "opus" for found in attributes.separate(of_model, is_slow))


def _days(days: list[np.ndarray], after_ms: float, before_ms: float) -> Days:
    most = sampling.size(1)
    samples = [_sample(number, day, most) for number, day in enumerate(days)]
    ms = {f"{number}-{place}": float(each) for number, day in enumerate(days) for place, each in enumerate(day)}
    slow = Bottleneck("gate", "G", after_ms, before_ms, "learned", 1.15, sum(map(len, days[BEFORE:])))
    return Days(ms, samples[:BEFORE], samples[BEFORE:], slow, after_ms - before_ms)


def _sample(number: int, day: np.ndarray, most: int) -> DaySample:
    """Return what ``store.trace_samples.of_days`` returns for a day."""
    parts: dict[int, list[str]] = {}
    for rank, place in enumerate(np.argsort(day, kind="stable").tolist()):
        parts.setdefault(rank * min(most, len(day)) // len(day), []).append(f"{number}-{place}")
    chosen = [min(part, key=sampling.hashed) for part in parts.values()]
    return DaySample(len(day), float(np.median(day)), chosen)


def _samples(days: Days) -> tuple[list[str], list[str]]:
    most, read = sampling.size(1), []
    for day in sampling.in_order([FIRST + timedelta(days=number) for number in range(BEFORE)]):
        if sampling.has_enough(read, days.slow, most):
            break
        read.append(days.before[(day - FIRST).days])
    after = sampling.slow_traces(days.since, days.slow, most)
    return after, sampling.normal_traces(read, days.slow, most)


def _day(trace: str) -> int:
    return int(trace.partition("-")[0])


def _place(trace: str) -> int:
    return int(trace.partition("-")[2])
