"""Learned time-outs: how often they are exceeded by normal spans, and how late they are (issue 16, line 7).

Belongs here: the measurements, with random seeds. Does not: the series (series), the time-outs.

Each time-out follows from the last spans of a family of noise. It is false for 1 span in 1,000 at most in 95 % of the
cases. How late it is, is its ratio to the true 99.9th percentile: the median, and of the family with the latest.
"""

import time
from collections.abc import Iterator

import numpy as np

from benchmarks import series
from benchmarks.bench_year import at_least
from benchmarks.measure import Budget, Options, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis.time_outs import time_out_ms

FALSE, RANK = 0.001, 0.999
KNOWN = 1_000_000
# Spans of the past, and the highest ratio of the time-out to the true 99.9th percentile, if required.
PAST = ((80, None), (100, 1.8), (200, 1.6), (500, 1.4), (1000, None), (3000, None))


def measurements(options: Options) -> Iterator[Measured]:
    """Measure with a seed that is different each time and shown in the table."""
    yield from with_seed(time.time_ns() % 2**32, options)


def with_seed(seed: int, options: Options) -> Iterator[Measured]:
    """Measure with a given seed."""
    rng = np.random.default_rng(seed)
    count = 100 if options.quick else 1000
    # The families' own distribution: rows of 200 points, because a wave has a random phase.
    known = {name: np.sort(family(rng, KNOWN // 200, 200).ravel()) for name, family in series.FAMILIES.items()}
    for spans, latest in PAST:
        held, late = {}, {}
        for name, family in series.FAMILIES.items():
            longest = family(rng, count, spans).max(axis=1)
            limits = np.array([time_out_ms(spans, one) or np.inf for one in longest])
            above = 1 - np.searchsorted(known[name], limits, side="right") / KNOWN
            held[name] = 100 * float(np.mean(above <= FALSE))
            late[name] = float(np.median(limits / np.quantile(known[name], RANK)))
        worst, slowest = min(held, key=held.__getitem__), max(late, key=late.__getitem__)
        what = f"time-outs after {spans} spans that 1 in 1,000 exceeds at most, {worst}: 6 x {count}; seed {seed}"
        yield judge(what, held[worst], "%", at_least(0.95, count), options)
        if latest is not None:
            what = f"median time-out after {spans} spans, in true P99.9, {slowest}: 6 x {count}; seed {seed}"
            yield judge(what, late[slowest], "x", Budget(latest, "x", timed=False), options)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
