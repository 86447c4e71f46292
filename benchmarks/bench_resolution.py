"""Ratios of short P50s, stored as whole milliseconds and with microseconds (issue 14, line 8).

Belongs here: the measurements, with random seeds. Does not: the rule (resolution), the detector (analysis.changes).
"""

import math
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.measure import Budget, Options, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.actions.items import ratio_of
from leo_telemetry_pipeline.analysis import baselines, judgement, levels, trends
from leo_telemetry_pipeline.analysis.levels import DailyP50s
from leo_telemetry_pipeline.daily_rows import ZERO_BUCKET, Rows
from leo_telemetry_pipeline.dimension import Judgement
from leo_telemetry_pipeline.store.history.histograms import GAMMA, LEVELS

DAYS, WINDOW = 42, 7
SIGMA = 0.5
# Medians in ms before the step.
SHORT = 0.3, 5.0
FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def medians_of(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw log-uniform medians in ms."""
    low, high = np.log(SHORT)
    return np.exp(rng.uniform(low, high, count))


def spans(rng: np.random.Generator, medians: np.ndarray, steps: np.ndarray, per_day: int) -> np.ndarray:
    """Return durations in ms of shape [dimensions, days, spans]; the last week is ``steps`` times as long."""
    levels_ms = np.where(np.arange(DAYS) >= DAYS - WINDOW, medians[:, None] * steps[:, None], medians[:, None])
    return levels_ms[..., None] * np.exp(SIGMA * rng.standard_normal((len(medians), DAYS, per_day)))


def rows_of(durations: np.ndarray, *, fine: bool) -> Rows:
    """Return the history of durations counted in whole ms or with microseconds."""
    step = 0.001 if fine else 1.0
    stored = np.floor(durations / step + 0.5) * step
    dimensions, days, per_day = stored.shape
    logs = np.ceil(np.log(np.maximum(stored, 1e-9)) / math.log(GAMMA)).astype(int)
    buckets = np.where(stored < 0.0005, ZERO_BUCKET, logs).reshape(-1, per_day)
    counted = [np.unique(of_day, return_counts=True) for of_day in buckets]
    flat, count = stored.reshape(-1, per_day), np.full(dimensions * days, per_day)
    return Rows(
        np.repeat(np.arange(dimensions), days),
        np.tile(np.arange(days), dimensions),
        count,
        flat.sum(axis=1),
        flat.min(axis=1),
        flat.max(axis=1),
        count if fine else np.zeros_like(count),
        np.cumsum([len(numbers) for numbers, _ in counted]),
        np.concatenate([numbers for numbers, _ in counted]),
        np.concatenate([number for _, number in counted]),
    )


def looks(durations: np.ndarray, *, fine: bool) -> tuple[list[Judgement], list[list[float]]]:
    """Return the judgement of each dimension's last week, and the ratios that ``trends`` shows for it."""
    dimensions, days, _ = durations.shape
    rows = rows_of(durations, fine=fine)
    daily = trends.daily([rows], dimensions, days, GAMMA)
    names = [("gate", f"G{number:05}") for number in range(dimensions)]
    on = rows.day
    part = rows.dimension, *levels.of_rows(rows, *LEVELS)
    read = levels.days_of(DailyP50s.of_parts(names, [part]))
    changed = levels.change_points(read)
    before = levels.days_of(DailyP50s.of_parts(names, [tuple(column[on < days - WINDOW] for column in part)]))
    learned = baselines.learn(before, levels.change_points(before), [])
    end = FIRST + timedelta(days=days)
    judged = judgement.judge(read, changed, learned, end - timedelta(days=WINDOW), end, false_discoveries=1.0)
    shown = trends.dimension_changes(daily, FIRST.date(), days)
    return judged, [[change.ratio for change in changes.time] for changes in shown]


def in_whole_ms(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how often a step of 20 % is reported as over 1.5 x, and how a step of 13 x is reported."""
    count = 60 if options.quick else 1000
    medians = medians_of(rng, count)
    steps = 1.2 ** rng.choice([-1.0, 1.0], count)
    judged, shown = looks(spans(rng, medians, steps, 40), fine=False)
    ratios = [[one.ratio or 1.0, *others] for one, others in zip(judged, shown, strict=True)]
    false = 100 * float(np.mean([any(abs(math.log(ratio)) > math.log(1.5) for ratio in each) for each in ratios]))
    none = Budget(0, "%", timed=False)
    yield judge(f"whole ms, P50 0.3 to 5, 20 % either way, over 1.5x: {count}; {seed}", false, "%", none, options)
    judged, _ = looks(spans(rng, np.full(count, 0.3), np.full(count, 13.0), 40), fine=False)
    over = 100 * float(np.mean([(one.ratio or 1.0) > 13.0 * 1.05 for one in judged]))
    yield judge(f"whole ms, 0.3 to 3.9, said to be over 13x: {count}; {seed}", over, "%", none, options)
    found = 100 * float(np.mean([one.outcome == "bottleneck" for one in judged]))
    # Rounding leaves no noise before the step and much after it, which the detector does not always take for one step.
    least = Budget(70, "%", at_least=True, timed=False)
    yield judge(f"whole ms, 0.3 to 3.9, found: {count}; {seed}", found, "%", least, options)
    print(f"whole ms, 0.3 to 3.9: {ratio_of(_as_bottleneck(judged[0]))}", file=sys.stderr)


def in_microseconds(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how far ratios of short P50s are from the truth, with enough spans that chance is well below 5 %."""
    count = 40 if options.quick else 100
    for low, high in ((0.83, 1.2), (2.0, 13.0)):
        medians = medians_of(rng, count)
        steps = rng.choice([low, high], count)
        judged, _ = looks(spans(rng, medians, steps, 1000), fine=True)
        right = [abs((one.ratio or 1.0) / step - 1) <= 0.05 for one, step in zip(judged, steps, strict=True)]
        what = f"microseconds, P50 0.3 to 5, {low:g} and {high:g} x right within 5 %: {count}; {seed}"
        yield judge(what, 100 * float(np.mean(right)), "%", Budget(99, "%", at_least=True, timed=False), options)


def _as_bottleneck(one: Judgement) -> dict[str, float | None]:
    baseline = one.baseline.p50_ms if one.baseline else None
    p50s = {"observed_p50_ms": one.observed_p50_ms, "baseline_p50_ms": baseline}
    return {"ratio": one.ratio, "resolution_ms": one.resolution_ms, **p50s}


def measurements(options: Options) -> Iterator[Measured]:
    """Measure everything with a random seed or LEO_BENCH_SEED."""
    number = int(os.environ.get("LEO_BENCH_SEED") or np.random.SeedSequence().generate_state(1)[0])
    print(f"LEO_BENCH_SEED={number}", file=sys.stderr)
    rng, seed = np.random.default_rng(number), f"seed {number}"
    yield from in_whole_ms(rng, options, seed)
    yield from in_microseconds(rng, options, seed)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
