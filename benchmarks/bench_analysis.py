"""A small and a large analysis against one ``percentile_cont`` query over the same window.

Belongs here: the calls of the assets in sequence, and the measurements. Does not: those functions.

1,400 spans: at most 100 ms. 1,000,000 spans with all days but the last counted before: at most half the time of the
query, and less than 400 MB for ``leo-telemetry analyze``.
"""

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

from benchmarks import generate
from benchmarks.measure import HOME, Budget, Options, alternating, environment, judge, peak_mb, process, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis import baselines, bottlenecks, judgement, levels, p50
from leo_telemetry_pipeline.defs.assets.learning import daily_p50s
from leo_telemetry_pipeline.dimension import Dimension, DimensionResult, Judgement
from leo_telemetry_pipeline.store import exact_percentiles, thresholds
from leo_telemetry_pipeline.store.days import DAY, Window, midnight
from leo_telemetry_pipeline.store.dimensions import types_to_judge
from leo_telemetry_pipeline.store.history import (
    blocks,
    buckets,
    histograms,
    name_folding,
    name_sharing,
    span_counts,
    staleness,
)
from leo_telemetry_pipeline.store.history.watermark import now
from leo_telemetry_pipeline.store.server.database import Database

EXACT_SPANS = 500_000
MEMORY = Budget(400, "MB", timed=False)
QUERY = "one percentile_cont"
REFERENCE = """
SELECT span_type, span_name, percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) FROM workflow_trace_log
WHERE start_time_ms >= %(from_ms)s AND start_time_ms < %(to_ms)s GROUP BY 1, 2
"""


def analysis(connection: Database, window: Window) -> int:
    """Run the calls of the assets and return the number of judged dimensions."""
    learned_from = Window(midnight(window.end.date()) - bottlenecks.HISTORY_DAYS * DAY, midnight(window.end.date()))
    first, last = learned_from.start.date(), window.end.date()
    staleness.mark_stale(connection)
    stale = set(staleness.stale_days(connection, first, last, [], marked=True))
    found = span_counts.by_type_and_day(
        connection,
        Window(learned_from.start, window.end),
        [day for day in learned_from.closed_days if day not in stale],
    )
    seen = sorted({one.span_type for one in found})
    types = types_to_judge(seen, thresholds.named_types(connection))
    is_exact = p50.method(sum(one.spans for one in found if one.day >= window.start.date()), EXACT_SPANS) == "exact"
    part_day = None if is_exact else window.end
    days = staleness.stale_days(connection, first, last, types, part_day, marked=True)
    for decide in (name_folding.decide, name_sharing.decide):
        assert not decide(connection, days)
    histograms.rebuild(connection, days, types, seen, part_day=window.end)
    blocks.make(connection, first, last, types)
    if is_exact:
        frame = p50.exact(exact_percentiles.of_window(connection, window, types, seen))
    else:
        frame = p50.from_buckets(buckets.of_window(connection, window, types, seen), histograms.GAMMA)
    measured = [DimensionResult(*row) for row in p50.rows(frame)]
    dimensions = [one.dimension for one in measured]
    judged = bottlenecks.judge(
        measured,
        thresholds.effective(connection, dimensions),
        learned(connection, window, learned_from, dimensions, seen),
        10,
    )
    return len(judged)


def learned(
    connection: Database, window: Window, days: Window, dimensions: list[Dimension], seen: list[str]
) -> list[Judgement]:
    """Learn baselines from the closed days and judge the window."""
    series = levels.days_of(daily_p50s(connection, days, dimensions, seen))
    changes = levels.change_points(series)
    return judgement.judge(series, changes, baselines.learn(series, changes, ()), window.start, window.end)


def this_week() -> Window:
    """Return the window that ends now, whose last day is never counted yet."""
    end = datetime.now(UTC)
    return Window(midnight(end.date()) - 7 * DAY, end)


def reference(connection: Database, window: Window) -> None:
    """Query the medians of a window by plain SQL."""
    with connection.transaction(seconds=3600) as cursor:
        cursor.execute(REFERENCE, window.parameters())
        cursor.fetchall()


def memory(home: str, spans_there: str, options: Options) -> Measured:
    """Run ``leo-telemetry analyze`` in its own process and judge its memory."""
    command = [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", "analyze"]
    seconds, peak = process(command, environment(**{HOME: home}))
    what = f"memory of `leo-telemetry analyze`: {spans_there}; duration {seconds:.1f} s"
    return judge(what, peak, "MB", MEMORY, options, peak_mb=peak)


def of_a_week(options: Options, count: int, dimensions: int, budget: Budget, rounds: int) -> Iterator[Measured]:
    """Measure an analysis of seven closed days and half a day of today; for a large one, also its memory."""
    today = count // 15
    with generate.server() as (home, target), closing(Database(target)) as connection:
        generate.fill(target, count - today, dimensions, 7)
        analysis(connection, this_week())
        seen_before = now(connection)
        generate.fill(target, today, dimensions, 0)
        judged = analysis(connection, this_week())
        generate.settle(target)

        def ours() -> None:
            with connection.transaction() as cursor:
                # Today's spans are new in each round.
                cursor.execute("UPDATE telemetry_upkeep SET history_seen_before = %s", (seen_before,))
            analysis(connection, this_week())

        took = alternating({"ours": ours, QUERY: lambda: reference(connection, this_week())}, rounds)
        what = f"analysis of {count:,} spans, no Dagster: {judged} dimensions, days closed but the last"
        query = (QUERY, took[QUERY] * 1000)
        yield judge(what, took["ours"] * 1000, "ms", budget, options, reference=query, peak_mb=peak_mb())
        if count > EXACT_SPANS:
            yield memory(str(home), f"{count:,} spans in its window", options)


def measurements(options: Options) -> Iterator[Measured]:
    """Measure both sizes; in a quick run the large one is just large enough for histograms."""
    yield from of_a_week(options, 1_400, 45, Budget(100, "ms"), 10 if options.quick else 30)
    large = 600_000 if options.quick else 1_000_000
    yield from of_a_week(options, large, 250, Budget(0.5), 3 if options.quick else 5)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
