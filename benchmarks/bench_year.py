"""A year of looks (analyses) at stable dimensions, and what is found with few spans per day (issue 14, lines 1 and 2).

Belongs here: the measurements, with random seeds. Does not: the series (series), learning and judging.

Each look reads the last 90 days, as the product does, and keeps only its baselines. A quick run has a tenth of the
dimensions, and looks once in two weeks.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks import series
from benchmarks.bench_changes import at_most
from benchmarks.measure import Budget, Options, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis import baselines, judgement, levels
from leo_telemetry_pipeline.analysis.levels import DailyP50s
from leo_telemetry_pipeline.dimension import Baseline, Judgement
from leo_telemetry_pipeline.store.history.histograms import TRIMMED

YEAR, READ, FIRST, WEEK = 300, 90, 14, 7
SIGMA = 0.5
PAST = 84
# Spans per day, correlation of the spans of one day, factor, and the least percentage found within seven days.
THIN = (
    (3, 0.0, 2.0, 85),
    (5, 0.0, 2.0, 98),
    (8, 0.0, 2.0, 99),
    (15, 0.0, 2.0, 99),
    (3, 0.2, 2.0, 70),
    (5, 0.2, 2.0, 85),
    (8, 0.2, 2.0, 93),
    (15, 0.2, 2.0, 98),
    (8, 0.0, 1.5, 80),
    (15, 0.0, 1.5, 99),
    (30, 0.0, 1.3, 99),
)


def of_points(points: np.ndarray) -> DailyP50s:
    """Return days whose P50s in s are the points of series, 30 spans each."""
    return _days(np.log(1000 * points), np.log(1000 * points), 30)


def of_spans(rng: np.random.Generator, count: int, days: int, spans: int, correlation: float = 0.0) -> DailyP50s:
    """Draw days of log-normal spans around 1 s; ``correlation``: between spans of the same day."""
    shared = np.sqrt(correlation) * rng.standard_normal((count, days, 1))
    logs = np.sort(shared + np.sqrt(1 - correlation) * rng.standard_normal((count, days, spans)), axis=2)
    place = np.arange(spans)
    weight = np.clip(np.minimum(place + 1, (1 - TRIMMED) * spans) - np.maximum(place, TRIMMED * spans), 0, 1)
    centers = logs @ weight / weight.sum()
    return _days(np.log(1000) + SIGMA * np.median(logs, axis=2), np.log(1000) + SIGMA * centers, spans)


def _days(p50: np.ndarray, centers: np.ndarray, spans: int) -> DailyP50s:
    count, days = p50.shape
    names = [("gate", f"G{number:05}") for number in range(count)]
    numbers = np.tile(series.MONDAY + np.arange(days), count)
    places = np.repeat(np.arange(count), days)
    return DailyP50s(names, places, numbers, np.full(count * days, spans), np.exp(p50).ravel(), centers.ravel())


def slower(days: DailyP50s, factors: np.ndarray) -> DailyP50s:
    """Return the days, each slower by its factor in ``factors``."""
    assert days.center is not None
    of_day = factors[days.day - series.MONDAY]
    columns = days.p50_ms * of_day, days.center + np.log(of_day)
    return DailyP50s(days.dimensions, days.place, days.day, days.count, *columns)


def looks(days: DailyP50s, ends: Sequence[int]) -> Iterator[list[Judgement]]:
    """Yield the judgements of each look; ``ends``: the number of days before each look."""
    kept: list[Baseline] = []
    for end in ends:
        number = days.day - series.MONDAY
        at = np.flatnonzero((number >= end - READ) & (number < end))
        assert days.center is not None
        columns = (column[at] for column in (days.place, days.day, days.count, days.p50_ms, days.center))
        read = levels.days_of(DailyP50s(days.dimensions, *columns))
        found = levels.change_points(read)
        learned = baselines.learn(read, found, kept)
        kept = list(learned.values())
        window_end = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=series.MONDAY + end)
        yield judgement.judge(read, found, learned, window_end - timedelta(days=WEEK), window_end)


def ever(days: DailyP50s, ends: Sequence[int]) -> float:
    """Return the percentage of dimensions that are called slow in any look."""
    alarmed = np.zeros(len(days.dimensions), dtype=bool)
    for judged in looks(days, ends):
        alarmed |= np.array([one.outcome == "bottleneck" for one in judged])
    return 100 * float(alarmed.mean())


def years(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how many stable dimensions ever alarm, and how many slow ramps do."""
    count = 20 if options.quick else 200
    stable = {name: of_points(family(rng, count, YEAR)) for name, family in series.FAMILIES.items()}
    stable["+10 % in a year"] = slower(of_spans(rng, count, YEAR, 30), np.geomspace(1, 1.1, YEAR))
    rhythms = (("biweekly", 2 * WEEK, 0.01),) if options.quick else (("weekly", WEEK, 0.01), ("daily", 1, 0.02))
    for name, step, share in rhythms:
        found = {family: ever(days, range(FIRST, YEAR + 1, step)) for family, days in stable.items()}
        each = ", ".join(f"{family} {alarms:g}" for family, alarms in found.items())
        what = f"stable dimensions that ever alarm in {YEAR} days of {name} looks: 7 x {count}; in %: {each}; {seed}"
        yield judge(what, float(np.mean([*found.values()])), "%", at_most(share, 7 * count, options), options)
    ramp = np.concatenate([np.ones(28), np.geomspace(1, 1.3, 240), np.full(YEAR - 268, 1.3)])
    share = ever(slower(of_spans(rng, count, YEAR, 30), ramp), range(FIRST, YEAR + 1, rhythms[0][1]))
    least = Budget(95 - (15 if options.quick else 0), "%", at_least=True, timed=False)
    yield judge(
        f"ramps of +30 % in 240 days that are found: {count}, 30 spans per day; {seed}", share, "%", least, options
    )


def thin(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how many steps seven days ago are found with few spans per day."""
    count = 60 if options.quick else 400
    factors = np.ones(PAST + WEEK)
    for spans, correlation, factor, share in THIN[:: 4 if options.quick else 1]:
        factors[PAST:] = factor
        days = slower(of_spans(rng, count, PAST + WEEK, spans, correlation), factors)
        *_, judged = looks(days, range(FIRST, PAST + WEEK + 1, WEEK))
        found = 100 * float(np.mean([one.outcome == "bottleneck" for one in judged]))
        slack = 200 * float(np.sqrt(share / 100 * (1 - share / 100) / count)) + 2 if options.quick else 0.0
        what = (
            f"x {factor:g} of the last week found: {spans} spans per day, correlation {correlation:g}; {count}; {seed}"
        )
        yield judge(what, found, "%", Budget(share - slack, "%", at_least=True, timed=False), options)


def measurements(options: Options) -> Iterator[Measured]:
    """Measure with a seed that is different each time and shown in the table."""
    seed = time.time_ns() % 2**32
    rng = np.random.default_rng(seed)
    yield from years(rng, options, f"seed {seed}")
    yield from thin(rng, options, f"seed {seed}")


if __name__ == "__main__":
    raise SystemExit(run(measurements))
