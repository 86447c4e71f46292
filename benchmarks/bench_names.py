"""Findings and time of a first analysis: names that hold ids, compared with the same spans under two names.

Belongs here: the spans and the measurements. Does not: the measured functions.

90,000 names (quick: 8,000) in four weeks, each seen once, all 4 x slower in the last week: both operations are found,
in at most 1.5 x the time that two names take. Seeds are drawn afresh.
"""

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime

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
    count, rounds = (8_000, 1) if options.quick else (90_000, 3)
    seed = random.SystemRandom().randrange(1 << 31)
    with ExitStack() as servers:
        (ids, with_ids), (two, with_two) = (servers.enter_context(generate.server()) for _ in range(2))
        fill(with_ids, count, seed, with_ids=True)
        fill(with_two, count, seed, with_ids=False)
        found: dict[str, set[str]] = {}

        def first(name: str, target: Target, home: str) -> None:
            found[name] = analysed(target, home)

        calls = {
            "ids": lambda: first("ids", with_ids, str(ids)),
            "two names": lambda: first("two names", with_two, str(two)),
        }
        took = alternating(calls, rounds)
    what = f"names that hold ids: {count:,} names, seed {seed}"
    right = len(found["ids"] & FOLDED) + len(found["two names"] & PLAIN)
    yield judge(
        f"operations found with ids and without, {what}",
        right,
        "of 4",
        Budget(4, "of 4", at_least=True, timed=False),
        options,
    )
    reference = ("two names", took["two names"] * 1000)
    yield judge(
        f"first analysis, {what}",
        took["ids"] * 1000,
        "ms",
        Budget(1.5),
        options,
        reference=reference,
        peak_mb=peak_mb(),
    )


if __name__ == "__main__":
    raise SystemExit(run(measurements))
