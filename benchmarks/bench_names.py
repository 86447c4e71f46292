"""Findings and time of a first analysis: names that hold ids, compared with the same spans under two names.

Belongs here: the spans and the measurements. Does not: the measured functions.

90,000 names in four weeks, each seen once, all 4 x slower in the last week: both operations are found, in at most
1.5 x the time that two names take. A quick run has 3,000 names, and measures no time. Seeds are drawn afresh.
"""

import os
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import generate, measure
from benchmarks.measure import Budget, Options, alternating, judge, peak_mb, run
from benchmarks.table import Measured
from leo_telemetry_pipeline import execution
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs, spans
from leo_telemetry_pipeline.store.days import DAY, midnight, milliseconds
from leo_telemetry_pipeline.store.server.database import Database, Target

DAYS = 28
SLOW_DAYS = 7
SLOW_BY = 4
FOLDED = {"operation:GET /users/{id}", "subagent:reviewer-{uuid}"}
PLAIN = {"operation:GET /users", "subagent:reviewer"}

_SPANS = """
INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, end_time_ms, duration_ms)
SELECT id, id, CASE WHEN n %% 2 = 0 THEN 'operation' ELSE 'subagent' END,
       CASE WHEN n %% 2 = 0 THEN 'GET /users' ELSE 'reviewer' END
       || CASE WHEN NOT %(with_ids)s THEN '' WHEN n %% 2 = 0 THEN '/' || n ELSE '-' || id END,
       start_ms, start_ms + took_ms, took_ms
FROM (
    SELECT n, id, %(from_ms)s + 86400000::bigint * %(days)s * (n - 1) / %(count)s AS start_ms,
           -- The sum of four uniform numbers is close to normal.
           (CASE WHEN n > %(count)s - %(count)s * %(slow)s / %(days)s THEN %(by)s ELSE 1 END
            * exp(6 + (('x' || substr(id::text, 1, 4))::bit(16)::int + ('x' || substr(id::text, 5, 4))::bit(16)::int
                       + ('x' || substr(id::text, 10, 4))::bit(16)::int + ('x' || substr(id::text, 25, 4))::bit(16)::int
                      - 131072) / 65536.0))::bigint AS took_ms
    FROM (SELECT n, md5(%(seed)s::text || n)::uuid AS id FROM generate_series(1, %(count)s) AS n) AS numbers
) AS timed
"""


def fill(target: Target, count: int, seed: int, *, with_ids: bool) -> None:
    """Insert spans of the last four weeks, each with its own name, or all under two names."""
    today = midnight(datetime.now(UTC).date())
    parameters = {"count": count, "seed": seed, "with_ids": with_ids, "from_ms": milliseconds(today - DAYS * DAY)}
    parameters |= {"days": DAYS, "slow": SLOW_DAYS, "by": SLOW_BY}
    with closing(Database(target)) as connection:
        spans.ensure_partitions(connection, today - DAYS * DAY, today + 3 * DAY)
        with connection.transaction(seconds=3600) as cursor:
            cursor.execute(_SPANS, parameters)
    generate.settle(target)


def analysed(target: Target, home: str) -> set[str]:
    """Run a first analysis with all its steps, and return the names of its bottlenecks."""
    os.environ[measure.HOME] = home
    with closing(Database(target)) as connection:
        with connection.transaction() as cursor:
            cursor.execute(
                "TRUNCATE duration_histograms, duration_histogram_days, duration_histogram_blocks,"
                " duration_histogram_blocks_made, workflow_trace_counts, telemetry_baselines, telemetry_folded_names,"
                " continuous_improvements CASCADE"
            )
        with execution.instance(target, Settings()) as dagster:
            execution.analyse(dagster, {})
        last = runs.last_succeeded(connection)
    assert last is not None
    assert last.output_ref is not None
    return {f"{each['dimension_type']}:{each['dimension_key']}" for each in last.output_ref["bottlenecks"]}


def measurements(options: Options) -> Iterator[Measured]:
    """Measure at the requested size."""
    count = 3_000 if options.quick else 90_000
    seed = random.SystemRandom().randrange(1 << 31)
    what = f"names that hold ids: {count:,} names, seed {seed}"
    with generate.server() as (home, target):
        fill(target, count, seed, with_ids=True)
        found = analysed(target, str(home)) & FOLDED
        both = Budget(len(FOLDED), f"of {len(FOLDED)}", at_least=True, timed=False)
        yield judge(f"operations found, {what}", len(found), both.unit, both, options)
        if not options.quick:
            yield timed(home, target, count, seed, options)


def timed(home: Path, with_ids: Target, count: int, seed: int, options: Options) -> Measured:
    """Compare a first analysis with that of the same spans under two names."""
    with generate.server() as (other, with_two):
        fill(with_two, count, seed, with_ids=False)
        found = analysed(with_two, str(other))
        if not found >= PLAIN:
            raise RuntimeError(f"two names give no findings to compare with: {sorted(found)}")
        calls = {
            "ids": lambda: analysed(with_ids, str(home)),
            "two names": lambda: analysed(with_two, str(other)),
        }
        took = alternating(calls, 3, warm=0)
    what = f"first analysis, names that hold ids: {count:,} names, seed {seed}"
    reference = ("two names", took["two names"] * 1000)
    return judge(what, took["ids"] * 1000, "ms", Budget(1.5), options, reference=reference, peak_mb=peak_mb())


if __name__ == "__main__":
    raise SystemExit(run(measurements))
