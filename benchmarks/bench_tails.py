"""Slow minorities: how many are found and called what they are, and how often a stable tail alarms (issue 14, line 7).

Belongs here: the measurements, with random seeds. Does not: looks (bench_year), judging.

Days of 40 log-normal spans with sigma 0.5, of which a share becomes slow. A host is found if its slow calls are, and if
it is the value that sets them apart. Stable dimensions are counted as alarming if their tail alone is called slow.
"""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from benchmarks import bench_resolution, bench_year, generate, measure, series
from benchmarks.bench_year import FIRST, PAST, SIGMA, WEEK, YEAR, at_most
from benchmarks.measure import Budget, Options, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis import attributes, bottlenecks, tails
from leo_telemetry_pipeline.dimension import Judgement
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import runs, spans
from leo_telemetry_pipeline.store.days import DAY, midnight, milliseconds
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.server.database import Database

SPANS, HOSTS = 40, 4
SAMPLE = 100
# Share of slow spans, factor, days, correlation of the spans of one day, and the least percentage found, if required.
SLOW = (
    (0.1, 10.0, 7, 0.0, 95),
    (0.25, 10.0, 7, 0.0, 99),
    (0.1, 10.0, 7, 0.2, None),
    (0.25, 10.0, 7, 0.2, None),
    (0.05, 10.0, 7, 0.0, None),
    (0.1, 3.0, 7, 0.0, None),
)
# Factor of one host, days, correlation, and the least percentage found and named, if required.
HOST = ((5.0, 7, 0.0, 99), (5.0, 3, 0.0, 95), (5.0, 3, 0.2, None))
# Stable years: spans per day, correlation, and the share and factor of spans that are always slow.
STABLE = ((40, 0.0, 0.0, 1.0), (40, 0.2, 0.0, 1.0), (10, 0.0, 0.02, 20.0), (40, 0.0, 0.05, 5.0), (15, 0.0, 0.2, 2.0))


def logs_of(rng: np.random.Generator, shape: tuple[int, int, int], correlation: float) -> np.ndarray:
    """Draw log durations in ms around 1 s; ``correlation``: between spans of the same day."""
    shared = np.sqrt(correlation) * rng.standard_normal((*shape[:2], 1))
    return np.log(1000) + SIGMA * (shared + np.sqrt(1 - correlation) * rng.standard_normal(shape))


def look(logs: np.ndarray, end: int, judged: list[Judgement]) -> list[Judgement]:
    """Return the judgements of a look after ``end`` days, with the slow calls of slow tails."""
    slow = [place for place, one in enumerate(judged) if one.tail and one.tail.outcome == "bottleneck"]
    if not slow:
        return judged
    first = max(0, end - bench_year.READ)
    rows = bench_resolution.rows_of(np.exp(logs[slow, first:end]), fine=True)
    days = [date(1970, 1, 1) + timedelta(series.MONDAY + number) for number in (first, end - WEEK)]
    return tails.with_slow_calls(judged, [judged[place].dimension for place in slow], [rows], (days[0], days[1]), GAMMA)


def found(logs: np.ndarray, days: int) -> list[Judgement]:
    """Return the last of weekly looks at a past without slow calls and ``days`` days with them."""
    *_, judged = bench_year.looks(bench_year.of_logs(np.sort(logs)), [*range(FIRST, PAST + 1, WEEK), PAST + days])
    return look(logs, PAST + days, judged)


def names_host(logs: np.ndarray, host: np.ndarray, one: Judgement) -> bool:
    """Return whether the slow host is the first value that sets slow calls apart, in samples as of an analysis."""
    calls = bottlenecks.minority(one)
    if calls is None:
        return False
    sides = [(logs[part].ravel(), host[part].ravel()) for part in (slice(PAST, None), slice(PAST - 28, PAST))]
    # Evenly over the ranks, like the samples of an analysis.
    at = [np.argsort(times)[np.linspace(0, len(times) - 1, SAMPLE).astype(int)] for times, _ in sides]
    is_slow = [np.exp(sides[0][0][at[0]]) > calls.cut_ms, np.zeros(len(at[1]), dtype=bool)]
    of_hosts = [{"host": f"h{number}"} for side, place in zip(sides, at, strict=True) for number in side[1][place]]
    values = attributes.separate(of_hosts, np.concatenate(is_slow))
    return bool(values) and values[0].value == "h0"


def minorities(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how many slow minorities are found, and how many slow hosts are named."""
    count = 20 if options.quick else 400
    for share, factor, days, correlation, least in SLOW[:: 3 if options.quick else 1]:
        logs = logs_of(rng, (count, PAST + days, SPANS), correlation)
        logs[:, PAST:] += np.log(factor) * (rng.random((count, days, SPANS)) < share)
        named = 100 * float(np.mean([bottlenecks.minority(one) is not None for one in found(logs, days)]))
        what = f"{share:.0%} of the spans x {factor:g} found: {days} days, correlation {correlation:g}; {count}; {seed}"
        yield judge(what.replace("%", " %", 1), named, "%", _least(least, options), options)
    host = np.arange(SPANS) % HOSTS
    for factor, days, correlation, least in HOST[:: 2 if options.quick else 1]:
        logs = logs_of(rng, (count, PAST + days, SPANS), correlation)
        logs[:, PAST:] += np.log(factor) * (host == 0)
        of_days = np.broadcast_to(host, logs.shape[1:])
        every = zip(logs, found(logs, days), strict=True)
        named = 100 * float(np.mean([names_host(of_one, of_days, one) for of_one, one in every]))
        what = f"one of {HOSTS} hosts x {factor:g} found and named: {days} days, correlation {correlation:g}"
        yield judge(f"{what}; {count}; {seed}", named, "%", _least(least, options), options)


def through_the_pipeline(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure in a first analysis of six weeks of spans how many slow hosts are named, and what else is found."""
    # Dagster takes two seconds to import, which a quick run does not need.
    from leo_telemetry_pipeline import execution

    count, days = 20, 5
    with generate.server() as (home, target), closing(Database(target)) as connection:
        today = midnight(datetime.now(UTC).date())
        spans.ensure_partitions(connection, today - 6 * WEEK * DAY, today)
        for ago in range(6 * WEEK, 0, -1):
            spans.insert(connection, _of_day(rng, today - ago * DAY, 2 * count, slow=count if ago <= days else 0))
        generate.settle(target)
        os.environ[measure.HOME] = str(home)
        with execution.instance(target, Settings()) as dagster:
            execution.analyse(dagster, {"leo_telemetry/window_end": today.isoformat()})
        last = runs.last_succeeded(connection)
    assert last is not None
    assert last.output_ref is not None
    slow = {each["dimension_key"]: each for each in last.output_ref["bottlenecks"]}
    named = sum("host=h0" in " ".join(slow.get(f"G{number}", {}).get("set_apart_by", ())) for number in range(count))
    others = len(slow.keys() - {f"G{number}" for number in range(count)})
    what = f"through the whole analysis, one of {HOSTS} hosts x 5 for {days} days"
    least = Budget(count - 1, f"of {count}", at_least=True, timed=False)
    yield judge(f"{what}, found and named; {seed}", named, f"of {count}", least, options)
    yield judge(f"{what}, others found; {seed}", others, f"of {count}", Budget(0, f"of {count}", timed=False), options)


def _of_day(rng: np.random.Generator, day: datetime, dimensions: int, slow: int) -> Iterator[Span]:
    """Yield a day of spans; in the first ``slow`` dimensions, one host is slow."""
    for dimension in range(dimensions):
        for number, log in enumerate(logs_of(rng, (1, 1, SPANS), 0.0)[0, 0]):
            host = number % HOSTS
            took = round(float(np.exp(log)) * (5 if host == 0 and dimension < slow else 1))
            start, ids = milliseconds(day) + int(rng.integers(80_000_000)), [str(uuid.uuid4()) for _ in range(2)]
            yield Span(
                trace_id=ids[0],
                span_id=ids[1],
                span_type="gate",
                span_name=f"G{dimension}",
                start_time_ms=start,
                duration_ms=took,
                attributes={"host": f"h{host}"},
            )


def _least(percent: float | None, options: Options) -> Budget:
    return Budget((percent or 0) - (10 if options.quick else 0), "%", at_least=True, timed=False)


def stable(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how many stable tails ever alarm; a quick run has weekly looks at one family."""
    count = 10 if options.quick else 200
    for name, step, share in (("weekly", WEEK, 0.002), ("daily", 1, 0.004)):
        if options.quick and step == 1:
            continue
        alarms = []
        for per_day, correlation, slow, factor in STABLE[: 1 if options.quick else None]:
            logs = logs_of(rng, (count, YEAR, per_day), correlation)
            logs += np.log(factor) * (rng.random(logs.shape) < slow)
            alarms.append(100 * ever(logs, range(FIRST, YEAR + 1, step)))
        what = f"stable tails that ever alarm in {YEAR} days of {name} looks: {len(alarms)} x {count}"
        each = ", ".join(f"{percent:g}" for percent in alarms)
        yield judge(
            f"{what}; in %: {each}; {seed}",
            float(np.mean(alarms)),
            "%",
            at_most(share, len(alarms) * count),
            options,
        )


def ever(logs: np.ndarray, ends: range) -> float:
    """Return the share of dimensions whose tail alone is called slow in any look."""
    alarmed = np.zeros(len(logs), dtype=bool)
    days = bench_year.of_logs(np.sort(logs))
    for end, judged in zip(ends, bench_year.looks(days, ends), strict=True):
        alone = [replace(one, tail=None) if one.outcome == "bottleneck" else one for one in judged]
        alarmed |= np.array([bottlenecks.minority(one) is not None for one in look(logs, end, alone)])
    return float(alarmed.mean())


def measurements(options: Options) -> Iterator[Measured]:
    """Measure with a seed that is different each time and shown in the table."""
    seed = time.time_ns() % 2**32
    rng = np.random.default_rng(seed)
    yield from minorities(rng, options, f"seed {seed}")
    yield from stable(rng, options, f"seed {seed}")
    if not options.quick:
        yield from through_the_pipeline(rng, options, f"seed {seed}")


if __name__ == "__main__":
    raise SystemExit(run(measurements))
