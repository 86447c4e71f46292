"""Simulated repairs: days of a dimension before it was slow, while it was slow, and after a repair of a known effect.

Belongs here: drawing them, and whether the intervals of the measured effect hold the true one. Does not: the effect
(analysis.effects).
"""

from dataclasses import dataclass

import numpy as np

from benchmarks import series
from benchmarks.bench_compare import side
from leo_telemetry_pipeline.analysis import effects
from leo_telemetry_pipeline.store.history.histograms import GAMMA

BEFORE = 28
NORMAL_MS = 3000.0
# Variance between days over that inside a day, in logarithms: the spans of a day then have a correlation of 0.2.
BETWEEN = 0.25
_KNOWN = 2_000_000


@dataclass(frozen=True)
class Noise:
    """A family of noise, the spread of its days in logarithms, their autocorrelation, and the true P50 of its spans."""

    family: str
    between: float
    memory: float
    median: float


def noises(rng: np.random.Generator) -> dict[str, Noise]:
    """Return each family with days that are alike, that differ, and that differ less from their neighbours."""
    made = {}
    for family, draw in series.FAMILIES.items():
        # Rows of 200 points, because a wave has a random phase.
        known = draw(rng, _KNOWN // 200, 200).ravel()
        differs = float(np.sqrt(BETWEEN) * np.log(known).std())
        cases = {"days alike": (0.0, 0.0), "days that differ": (differs, 0.0), "AR(1) days": (differs, series.RHO)}
        for name, (between, memory) in cases.items():
            moved = known * np.exp(between * rng.standard_normal(len(known)))
            made[f"{family}, {name}"] = Noise(family, between, memory, float(np.median(moved)))
    return made


def holds(rng: np.random.Generator, noise: Noise) -> bool:
    """Repair a dimension that was 1.25 to 5 times as slow; return whether both intervals hold the true effect."""
    slow_days, after_days, per_day = (int(rng.integers(*ends)) for ends in ((5, 22), (2, 15), (10, 61)))
    times = float(np.exp(rng.uniform(np.log(1.25), np.log(5))))
    days = BEFORE + slow_days + after_days
    of_days = series.ar1(rng, 1, days, noise.memory)[0]
    spans = NORMAL_MS * series.FAMILIES[noise.family](rng, 1, days * per_day).reshape(days, per_day)
    spans *= np.exp(noise.between * of_days)[:, None]
    spans[BEFORE : BEFORE + slow_days] *= times
    before, slow, after = (
        side(np.rint(spans[first:end]).ravel(), np.repeat(np.arange(first, end), per_day), 0)
        for first, end in ((0, BEFORE), (BEFORE, BEFORE + slow_days), (BEFORE + slow_days, days))
    )
    effect = effects.effect(before, slow, after, None, GAMMA)
    assert effect.ratio_low is not None
    assert effect.ratio_high is not None
    assert effect.given_back_low is not None
    assert effect.given_back_high is not None
    given_back = (times - 1) * noise.median * NORMAL_MS * 7 * per_day
    is_ratio_held = effect.ratio_low <= 1 / times <= effect.ratio_high
    return is_ratio_held and effect.given_back_low <= given_back <= effect.given_back_high
