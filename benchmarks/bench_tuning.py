"""Predicted against actual alarm rate of tuned thresholds on future days of the same stable process (issue 5).

Belongs here: dimensions with several kinds of noise, tuned on their first 90 days, and the alarms of the next two
years. Does not: tuning (analysis.tuning), the noise of daily P50s (series).

A day has 15 to 45 log-normal spans (weekends: 8 to 24) around its level; the P50 of a week is that of its spans.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from benchmarks import series
from benchmarks.measure import Budget, Options, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis import alarm_replay, tuning
from leo_telemetry_pipeline.analysis.alarm_replay import WEEK

LEARNED_DAYS, HELD_OUT_DAYS = 90, 730
SPAN_SIGMA = 0.3
WEEKDAY_SPANS, WEEKEND_SPANS = (15, 45), (8, 24)
YEAR_DAYS = 365.25

Family = Callable[[np.random.Generator, int, int], np.ndarray]


def alike(rng: np.random.Generator, dimensions: int, days: int) -> np.ndarray:  # noqa: ARG001  # as other families
    """Return days that differ only by their spans."""
    return np.ones((dimensions, days))


def weekends(rng: np.random.Generator, dimensions: int, days: int) -> np.ndarray:
    """Draw normal noise with a coefficient of variation of 10 % in weeks with weekends that are 40 % faster."""
    return series.normal(rng, dimensions, days) * np.where(np.arange(days) % WEEK >= 5, series.WEEKEND_LEVEL, 1.0)


FAMILIES: dict[str, Family] = {"spans alone": alike, "weekends": weekends, **series.FAMILIES}


def pasts(rng: np.random.Generator, family: Family, dimensions: int, days: int) -> list[tuning.Past]:
    """Draw dimensions with a threshold of 2 x 1 s, starting on a Monday."""
    weekend = np.arange(days) % WEEK >= 5
    bounds = np.where(weekend[:, None], WEEKEND_SPANS, WEEKDAY_SPANS)
    made = []
    for levels in family(rng, dimensions, days):
        counts = rng.integers(bounds[:, 0], bounds[:, 1] + 1)
        spans = np.log(1000 * levels)[:, None] + SPAN_SIGMA * rng.standard_normal((days, WEEKDAY_SPANS[1]))
        spans[np.arange(WEEKDAY_SPANS[1]) >= counts[:, None]] = np.inf
        of_week = np.lib.stride_tricks.sliding_window_view(spans, WEEK, axis=0).reshape(days - WEEK + 1, -1)
        weeks = np.concatenate([np.full(WEEK - 1, np.nan), medians(of_week)])
        name = f"G{len(made)}"
        made.append(tuning.Past("gate", name, "key", series.MONDAY, counts, medians(spans), weeks, 1000.0, 2.0, True))
    return made


def medians(logs: np.ndarray) -> np.ndarray:
    """Return exp of the median of each row's finite values."""
    ordered = np.sort(logs, axis=1)
    count = np.isfinite(logs).sum(axis=1)
    rows = np.arange(len(logs))
    return np.exp((ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]) / 2)


def first_days(past: tuning.Past) -> tuning.Past:
    """Return the days known when a dimension is tuned."""
    arrays = {name: getattr(past, name)[:LEARNED_DAYS] for name in ("counts", "p50_ms", "week_p50_ms")}
    return replace(past, **arrays)


def promised_and_met(rng: np.random.Generator, family: Family, dimensions: int) -> tuple[float, float, int]:
    """Return predicted and actual alarms per year and dimension, and the number of suggestions."""
    drawn = pasts(rng, family, dimensions, LEARNED_DAYS + HELD_OUT_DAYS)
    suggested = tuning.tune([first_days(past) for past in drawn])
    promised, met = [], []
    for past, one in zip(drawn, suggested, strict=True):
        if one.multiplier and one.baseline_p50_ms and one.alarms_a_year_then is not None:
            promised.append(one.alarms_a_year_then)
            # Count only the weeks after the tuning days.
            later = past.week_p50_ms[LEARNED_DAYS + WEEK - 1 :]
            years = (len(later) - 1) / YEAR_DAYS
            met.append(alarm_replay.alarms(later, one.baseline_p50_ms * one.multiplier) / years)
    return float(np.mean(promised)), float(np.mean(met)), len(met)


def measurements(options: Options) -> Iterator[Measured]:
    """Measure every kind of noise, with a random seed or LEO_BENCH_SEED."""
    number = int(os.environ.get("LEO_BENCH_SEED") or np.random.SeedSequence().generate_state(1)[0])
    print(f"LEO_BENCH_SEED={number}", file=sys.stderr)
    rng = np.random.default_rng(number)
    # A quick run draws one half of the kinds or the other.
    families = list(FAMILIES.items())[number % 2 :: 2] if options.quick else list(FAMILIES.items())
    kinds, dimensions = len(families), (45 if options.quick else 300)
    sums = [0.0, 0.0]
    for name, family in families:
        promised, met, tuned = promised_and_met(rng, family, dimensions)
        sums = [sums[0] + promised, sums[1] + met]
        yield row(f"{name}: {tuned} dimensions", promised, met, number, options)
    yield row(f"all kinds: {kinds} x {dimensions} dimensions", sums[0] / kinds, sums[1] / kinds, number, options)


def row(of: str, promised: float, met: float, seed: int, options: Options) -> Measured:
    """Compare actual with predicted rates; a quick run counts few alarms and has a wider limit."""
    off = 100 * abs(met / promised - 1)
    what = f"alarms per year, predicted {promised:.2f}, actual {met:.2f}, {of}, {LEARNED_DAYS} days; seed {seed}"
    return judge(what, off, "%", Budget(75 if options.quick else 50, "%", timed=False), options)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
