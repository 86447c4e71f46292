"""A year of looks (analyses) at stable dimensions, and what is found with few spans per day (issue 14, 1, 2, 6).

Belongs here: the measurements, with random seeds. Does not: the series (series), learning and judging.

Each look reads the last 90 days, as the product does, and keeps only its baselines. A quick run has a twentieth of the
dimensions, and looks once in two weeks. A rate is missed if a one-sided binomial test at 0.001 refutes it.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks import series
from benchmarks.measure import Budget, Options, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis import baselines, judgement, levels
from leo_telemetry_pipeline.analysis.levels import DailyP50s
from leo_telemetry_pipeline.dimension import Baseline, Judgement
from leo_telemetry_pipeline.store.history.histograms import CENTRAL, SLOWEST

YEAR, READ, FIRST, WEEK = 300, 90, 14, 7
SIGMA = 0.5
PAST = 84
REFUTED = 0.001
DRIFT, _DRIFT = "+10 % in a year", np.geomspace(1, 1.1, YEAR)
AR_SHARE = 0.02
# Factors of the noise from one day on, and the share of dimensions that may alarm in daily looks: before the noise is
# known, a few days of it look slower.
NOISIER, NOISIER_FROM, NOISIER_SHARE = (2.0, 3.0), 180, 0.2
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
    logs = np.log(1000 * points)
    return _days(logs, logs, logs, 30)


def of_spans(rng: np.random.Generator, count: int, days: int, spans: int, correlation: float = 0.0) -> DailyP50s:
    """Draw days of log-normal spans around 1 s; ``correlation``: between spans of the same day."""
    shared = np.sqrt(correlation) * rng.standard_normal((count, days, 1))
    logs = np.sort(shared + np.sqrt(1 - correlation) * rng.standard_normal((count, days, spans)), axis=2)
    return of_logs(np.log(1000) + SIGMA * logs)


def of_logs(logs: np.ndarray) -> DailyP50s:
    """Return the days of log durations, of shape [dimensions, days, spans]; spans in order."""
    spans = logs.shape[2]
    place = np.arange(spans)
    of_ranks = [
        np.clip(np.minimum(place + 1, high * spans) - np.maximum(place, low * spans), 0, 1)
        for low, high in (CENTRAL, SLOWEST)
    ]
    centers, tails = (logs @ weight / weight.sum() for weight in of_ranks)
    return _days(np.median(logs, axis=2), centers, tails, spans)


def _days(p50: np.ndarray, centers: np.ndarray, tails: np.ndarray, spans: int) -> DailyP50s:
    count, days = p50.shape
    names = [("gate", f"G{number:05}") for number in range(count)]
    numbers = np.tile(series.MONDAY + np.arange(days), count)
    places = np.repeat(np.arange(count), days)
    columns = np.full(count * days, spans), np.exp(p50).ravel(), centers.ravel(), tails.ravel()
    return DailyP50s(names, places, numbers, *columns)


def slower(days: DailyP50s, factors: np.ndarray) -> DailyP50s:
    """Return the days, each slower by its factor in ``factors``."""
    assert days.center is not None
    assert days.tail is not None
    of_day = factors[days.day - series.MONDAY]
    columns = days.p50_ms * of_day, days.center + np.log(of_day), days.tail + np.log(of_day)
    return DailyP50s(days.dimensions, days.place, days.day, days.count, *columns)


def looks(days: DailyP50s, ends: Sequence[int]) -> Iterator[list[Judgement]]:
    """Yield the judgements of each look; ``ends``: the number of days before each look."""
    kept: list[Baseline] = []
    for end in ends:
        number = days.day - series.MONDAY
        at = np.flatnonzero((number >= end - READ) & (number < end))
        assert days.center is not None
        assert days.tail is not None
        every = days.place, days.day, days.count, days.p50_ms, days.center, days.tail
        columns = (column[at] for column in every)
        read = levels.days_of(DailyP50s(days.dimensions, *columns))
        found = levels.change_points(read)
        learned = baselines.learn(read, found, kept)
        kept = list(learned.values())
        window_end = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=series.MONDAY + end)
        yield judgement.judge(read, found, learned, window_end - timedelta(days=WEEK), window_end)


def ever(days: DailyP50s, ends: Sequence[int]) -> float:
    """Return the percentage of dimensions that are called slow in any look, or whose slowest calls are."""
    alarmed = np.zeros(len(days.dimensions), dtype=bool)
    for judged in looks(days, ends):
        alarmed |= _slow(judged) | _slow([one.tail or one for one in judged])
    return 100 * float(alarmed.mean())


def most(share: float, count: int) -> float:
    """Return the highest share of ``count`` that does not refute ``share``."""
    tail = 1.0
    for number in range(count + 1):
        if tail < REFUTED:
            return (number - 1) / count
        tail -= math.comb(count, number) * share**number * (1 - share) ** (count - number)
    return 1.0


def at_most(share: float, count: int) -> Budget:
    """Return the budget of a rate in percent."""
    return Budget(100 * most(share, count), "%", timed=False)


def at_least(share: float, count: int) -> Budget:
    """Return the budget of a rate in percent that may not be lower."""
    return Budget(100 - 100 * most(1 - share, count), "%", at_least=True, timed=False)


def stable(rng: np.random.Generator, options: Options, seed: str, step: int) -> Iterator[Measured]:
    """Measure how many stable dimensions ever alarm with a look every ``step`` days."""
    count, share = 10 if options.quick else 200, 0.02 if step == 1 else 0.01
    alarms = {}
    for name, family in (*series.FAMILIES.items(), (DRIFT, None)):
        days = of_points(family(rng, count, YEAR)) if family else slower(of_spans(rng, count, YEAR, 30), _DRIFT)
        alarms[name] = ever(days, range(FIRST, YEAR + 1, step))
    each = ", ".join(f"{name} {found:g}" for name, found in alarms.items())
    size = f"look every {step} days; 7 x {count}; {seed}"
    what = f"stable dimensions that ever alarm in {YEAR} days: a {size}; in %: {each}"
    yield judge(what, float(np.mean([*alarms.values()])), "%", at_most(share, 7 * count), options)
    allowed = {name: max(share, AR_SHARE) if name == "AR(1)" else share for name in alarms}
    worst = max(alarms, key=lambda name: alarms[name] - 100 * allowed[name])
    what = f"the same of the family that alarms most, {worst}: a {size}"
    yield judge(what, alarms[worst], "%", at_most(allowed[worst], count), options)


def noisier(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how many dimensions alarm because they vary more, not because they are slower."""
    count = 200
    for factor in () if options.quick else NOISIER:
        scale = np.where(np.arange(YEAR) < NOISIER_FROM, series.CV, factor * series.CV)
        days = of_points(np.maximum(1 + scale * rng.standard_normal((count, YEAR)), 0.01))
        found = ever(days, range(FIRST, YEAR + 1))
        what = f"dimensions that alarm after {factor:g} x the noise: {count}, no slower; {seed}"
        yield judge(what, found, "%", at_most(NOISIER_SHARE, count), options)


def lasting(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how many slow ramps are found, and how many steps are still flagged 90 days after they were found."""
    count = 15 if options.quick else 200
    step = 2 * WEEK if options.quick else WEEK
    ramp = np.concatenate([np.ones(28), np.geomspace(1, 1.3, 240), np.full(YEAR - 268, 1.3)])
    share = ever(slower(of_spans(rng, count, YEAR, 30), ramp), range(FIRST, YEAR + 1, step))
    what = f"ramps of +30 % in 240 days that are found: {count}, 30 spans per day; {seed}"
    yield judge(what, share, "%", at_least(0.95, count), options)
    onset = 98
    factors = np.where(np.arange(YEAR) < onset, 1.0, 1.5)
    found = looks(slower(of_spans(rng, count, YEAR, 15), factors), range(FIRST, onset + READ + 2 * WEEK, step))
    first, *_, last = [
        _slow(judged) for end, judged in zip(range(FIRST, YEAR, step), found, strict=False) if end > onset
    ]
    what = f"steps of +50 % that are flagged {READ} days after they were found: {count}, 15 spans per day; {seed}"
    yield judge(what, 100 * float(last[first].mean()), "%", at_least(0.99, int(first.sum())), options)


def thin(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how many steps seven days ago are found with few spans per day."""
    count = 40 if options.quick else 400
    factors = np.ones(PAST + WEEK)
    for spans, correlation, factor, share in THIN[:: 4 if options.quick else 1]:
        factors[PAST:] = factor
        days = slower(of_spans(rng, count, PAST + WEEK, spans, correlation), factors)
        *_, judged = looks(days, (*range(FIRST, PAST + 1, 2 * WEEK if options.quick else WEEK), PAST + WEEK))
        found = 100 * float(_slow(judged).mean())
        what = f"x {factor:g} of the last week found, of {share} % asked: {spans} spans per day"
        what += f", correlation {correlation:g}; {count}; {seed}"
        yield judge(what, found, "%", at_least(share / 100, count), options)


def weekdays(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure whether a look on each weekday finds x 2 on weekdays only, and whether an old rhythm alarms."""
    count = 10 if options.quick else 100
    past = np.arange(PAST + 2 * WEEK)
    for name in ("flat", "weekends 40 % apart"):
        found = []
        for end in range(PAST + WEEK, PAST + 2 * WEEK, 3 if options.quick else 1):
            factors = np.where((past >= end - WEEK) & (past < end) & (past % WEEK < 5), 2.0, 1.0)
            days = (
                of_weeks(rng, count, PAST + 2 * WEEK) if name != "flat" else of_spans(rng, count, PAST + 2 * WEEK, 15)
            )
            *_, judged = looks(slower(days, factors), (PAST - 2 * WEEK, end - WEEK, end))
            found.append(100 * float(_slow(judged).mean()))
        what = f"x 2 on weekdays only found by a look on the worst weekday, {name}: {len(found)} x {count}; {seed}"
        yield judge(what, min(found), "%", at_least(0.9, count), options)
    found = ever(of_weeks(rng, 2 * count, YEAR), range(FIRST, YEAR + 1, 2 * WEEK if options.quick else WEEK))
    what = f"weekends 40 % apart that ever alarm in weekly looks: {2 * count}; {seed}"
    yield judge(what, found, "%", at_most(0.01, 2 * count), options)


def of_weeks(rng: np.random.Generator, count: int, days: int) -> DailyP50s:
    """Draw days of log-normal spans, with weekends 40 % faster than weekdays."""
    p50_ms, counts, _ = series.weeks(rng, count, days)
    logs = np.log(p50_ms)
    made = _days(logs, logs, logs, 1)
    return replace(made, count=counts.ravel())


def _slow(judged: Sequence[Judgement]) -> np.ndarray:
    return np.array([one.outcome == "bottleneck" for one in judged])


def _weekly(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    yield from stable(rng, options, seed, 2 * WEEK if options.quick else WEEK)


def _daily(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    if not options.quick:
        yield from stable(rng, options, seed, 1)


PARTS: dict[str, Callable[[np.random.Generator, Options, str], Iterator[Measured]]] = {
    "weekly": _weekly,
    "daily": _daily,
    "noisier": noisier,
    "lasting": lasting,
    "thin": thin,
    "weekdays": weekdays,
}


def measurements(options: Options) -> Iterator[Measured]:
    """Measure with a seed that is different each time and shown in the table."""
    seed = time.time_ns() % 2**32
    rng = np.random.default_rng(seed)
    for part in PARTS.values():
        yield from part(rng, options, f"seed {seed}")


if __name__ == "__main__":
    raise SystemExit(run(measurements))
