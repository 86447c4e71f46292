"""P50s of 90 closed days against one ``percentile_cont`` query, and the cost of ten times the spans.

Belongs here: the measurements. Does not: the measured functions.

With --largest, P50s of 10,000,000 spans in 1,000 dimensions take at most 1/50 of the time of the query over the same
days, and ten times the spans in as many dimensions at most 1.3 x the time. Without it, spans and dimensions are a tenth
(quick: a fortieth) of these, and the budgets 1/15 and 2 x, which is enough to detect regressions.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks import generate
from benchmarks.bench_analysis import QUERY, memory, reference
from benchmarks.measure import Budget, Options, alternating, judge, peak_mb, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.dimensions import NAMED_ASSETS
from leo_telemetry_pipeline.store.history import blocks, buckets, histograms, staleness
from leo_telemetry_pipeline.store.server.database import Database, Target

DAYS = 90


def count_days(connection: Database, window: Window) -> None:
    """Count every closed day of a window, like daily analyses."""
    first, last = window.start.date(), window.end.date()
    stale = staleness.stale_days(connection, first, last, NAMED_ASSETS)
    histograms.rebuild(connection, stale, NAMED_ASSETS, NAMED_ASSETS)
    blocks.make(connection, first, last, NAMED_ASSETS)


def p50s(connection: Database, window: Window) -> int:
    """Compute the P50 of each dimension over a window of counted days, and return the number of dimensions."""
    counted = buckets.of_window(connection, window, NAMED_ASSETS, NAMED_ASSETS)
    return len(p50.from_buckets(counted, histograms.GAMMA))


def filled(target: Target, count: int, dimensions: int) -> Window:
    """Fill a database with ``count`` spans in 90 closed days, count the days, and return the window."""
    window = generate.fill(target, count, dimensions, DAYS).closed
    with closing(Database(target)) as connection:
        count_days(connection, window)
    generate.settle(target)
    return window


def compared(
    options: Options, home: Path, target: Target, count: int, dimensions: int, rounds: int
) -> Iterator[Measured]:
    """Compare the medians of 90 days with the query and with a tenth of the spans."""
    few = generate.another(target, "few")
    window = filled(few, count // 10, dimensions)
    filled(target, count, dimensions)
    with closing(Database(target)) as connection, closing(Database(few)) as smaller:
        measured = p50s(connection, window)
        calls = {"ours": lambda: p50s(connection, window), "few": lambda: p50s(smaller, window)}
        took = alternating(calls, 10)
        query = alternating({QUERY: lambda: reference(connection, window)}, rounds)[QUERY]
    what = f"{count:,} spans, {measured:,} dimensions"
    ours, tenth = took["ours"] * 1000, ("a tenth of the spans", took["few"] * 1000)
    named = (QUERY, query * 1000)
    # Fixed costs weigh more with few spans.
    share, growth = (1 / 50, 1.3) if options.largest else (1 / 15, 2.0)
    yield judge(
        f"P50s of {DAYS} closed days: {what}", ours, "ms", Budget(share), options, reference=named, peak_mb=peak_mb()
    )
    yield judge(
        f"ten times the spans: {DAYS} closed days, {what}", ours, "ms", Budget(growth), options, reference=tenth
    )
    if options.largest:
        yield memory(str(home), f"{count:,} spans in {DAYS} days", options)


def measurements(options: Options) -> Iterator[Measured]:
    """Measure at the requested size."""
    part = 1 if options.largest else 40 if options.quick else 10
    count, dimensions = 10_000_000 // part, 1_000 // part
    with generate.server() as (home, target):
        yield from compared(options, home, target, count, dimensions, 2 if options.largest else 3)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
