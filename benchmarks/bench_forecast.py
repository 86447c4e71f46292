"""Accuracy of forecasts against rules without a model on simulated dimensions, and their cost.

Belongs here: the simulated dimensions and the budgets. Does not: the forecast (analysis.forecast), its scores
(analysis.backtest).

A third of the dimensions is stable, a third drifts, a third has one step; all have AR(1) noise and 90 days. The seed
is random and printed. A quick run draws 60, and measures the cost of 300 dimensions.
"""

import secrets
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.measure import Budget, Options, judge, peak_mb, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis.backtest import Backtest, Score, backtest, score
from leo_telemetry_pipeline.analysis.forecast import ForecastInput, forecast

KINDS = ("stable", "drifting", "stepped")
DAYS, FIRST_DAY = 90, 20_000
TODAY = FIRST_DAY + DAYS - 1
BASELINE_DAYS = 28
SPANS_PER_DAY = 50
MULTIPLIER = (1.3, 1.5)
NOISE_CV, MEMORY = 0.10, (0.3, 0.6)
DRIFT_PER_DAY, DRIFT_BEGINS = (0.005, 0.02), (14, 56)
STEP, STEP_DAY = (0.2, 1.0), (BASELINE_DAYS, DAYS - 1)

MEMORY_MB = Budget(1000, "MB", timed=False)
BETTER = Budget(0.9, timed=False)
NO_WORSE = Budget(1.0, timed=False)
STABLE = Budget(1.02, timed=False)
STABLE_OWN = Budget(0.02, "more", timed=False)
CALIBRATION = Budget(0.05, "off", timed=False)


def simulate(seed: int, count: int) -> list[ForecastInput]:
    """Simulate dimensions, a third of each of KINDS (their dimension type), with the first 28 days as baseline."""
    rng = np.random.default_rng(seed)
    day, kind = np.arange(DAYS), np.arange(count) % len(KINDS)
    memory, shocks = rng.uniform(*MEMORY, count), rng.normal(size=(count, DAYS))
    noise = shocks.copy()
    for today in day[1:]:
        noise[:, today] = memory * noise[:, today - 1] + np.sqrt(1 - memory**2) * shocks[:, today]
    slope = np.log1p(rng.choice([-1, 1], count) * rng.uniform(*DRIFT_PER_DAY, count))
    drift = slope[:, None] * np.maximum(day - rng.integers(*DRIFT_BEGINS, count, endpoint=True)[:, None], 0)
    begins = rng.integers(*STEP_DAY, count, endpoint=True)
    step = np.log1p(rng.uniform(*STEP, count))[:, None] * (day >= begins[:, None])
    level = np.log(rng.uniform(50, 60_000, count))[:, None] + np.choose(
        kind[:, None], [np.zeros((1, DAYS)), drift, step]
    )
    p50 = np.exp(level + np.sqrt(np.log1p(NOISE_CV**2)) * noise)
    counts, multiplier = rng.poisson(SPANS_PER_DAY, (count, DAYS)) + 1, rng.uniform(*MULTIPLIER, count)
    baseline, week = np.median(p50[:, :BASELINE_DAYS], axis=1), (counts * p50)[:, -7:].sum(axis=1)
    return [
        ForecastInput(
            KINDS[kind[one]],
            str(one),
            FIRST_DAY + day,
            counts[one],
            p50[one],
            float(baseline[one]),
            float(multiplier[one]),
            float(week[one]),
        )
        for one in range(count)
    ]


def costs(options: Options, seed: int) -> Iterator[Measured]:
    """Measure time and memory of the job with 10,000 dimensions."""
    count, tested_most, limit = (300, 20, 10) if options.quick else (10_000, 100, 60)
    histories = simulate(seed, count)
    began = time.perf_counter()
    tested = backtest(histories, TODAY, most=tested_most)
    rows = forecast(histories, TODAY, calibration=tested.calibration)
    seconds = time.perf_counter() - began
    count = len({(row.dimension_type, row.dimension_key) for row in rows if row.probability is not None})
    what = f"forecast of {count}, backtest of {tested_most}: {len(histories):,} dimensions, {DAYS} days, one process"
    yield judge(what, seconds, "s", Budget(limit, "s"), options)
    peak = peak_mb()
    yield judge(
        f"memory of forecast and backtest: {len(histories):,} dimensions", peak, "MB", MEMORY_MB, options, peak_mb=peak
    )


def against_rules(options: Options, tested: Backtest, about: str) -> Iterator[Measured]:
    """Judge all forecasts against each rule, and their calibration error."""
    everything = tested.scores[0]
    for rule, name in (
        ("as_today", "as today"),
        ("as_today_learned", "as after such days"),
        ("base_rate", "base rate"),
    ):
        yield against(options, f"Brier score against '{name}': {about}", everything, rule, BETTER)
    error = everything.calibration_error
    yield judge(f"calibration error: {about}", error, "off", CALIBRATION, options)


def by_third(options: Options, pairs: pd.DataFrame) -> Iterator[Measured]:
    """Judge each third against both rules; the stable one by its worst horizon and its true rate."""
    stable = pairs.loc[pairs["dimension_type"] == "stable"]
    scores = [score(part, None) for _, part in [(None, stable), *stable.groupby("horizon_days")]]
    worst = max(scores, key=lambda scored: scored.brier / scored.base_rate)
    yield against(
        options, "Brier score against 'base rate', the stable third: worst horizon", worst, "base_rate", STABLE
    )
    own = float(np.mean((stable["outcome"] - stable["outcome"].mean()) ** 2))
    what = f"Brier score of the stable third beyond its own rate's; {own:.4f}, 'as today' {scores[0].as_today:.4f}"
    yield judge(what, scores[0].brier - own, "more", STABLE_OWN, options)
    for kind in KINDS[1:]:
        scored = score(pairs.loc[pairs["dimension_type"] == kind], None)
        yield against(options, f"Brier score against 'as today', the {kind} third", scored, "as_today", NO_WORSE)
        yield against(options, f"Brier score against 'base rate', the {kind} third", scored, "base_rate", NO_WORSE)


def against(options: Options, what: str, scored: Score, rule: str, budget: Budget) -> Measured:
    """Judge a Brier score against that of a rule."""
    return judge(what, scored.brier, "", budget, options, reference=("rule", getattr(scored, rule)))


def measurements(options: Options) -> Iterator[Measured]:
    """Measure the cost first, because peak memory is that of the process, then the accuracy."""
    seed = secrets.randbelow(2**32)
    yield from costs(options, seed)
    count = 60 if options.quick else 500
    tested = backtest(simulate(seed, count), TODAY, most=count)
    yield from against_rules(options, tested, f"{count} dimensions; {len(tested.pairs):,} forecasts, seed {seed}")
    yield from by_third(options, tested.pairs)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
