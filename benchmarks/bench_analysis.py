"""An analysis of 1,400 spans in 45 dimensions, without Dagster: at most 100 ms (DESIGN section 8).

Belongs here: the measurement and its line, beside one ``percentile_cont`` query over the same spans.
Does not: any of the functions that are measured.
"""

import random
import statistics
import tempfile
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leo_telemetry_pipeline.analysis import bottlenecks, p50
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import database, histograms, spans, thresholds
from leo_telemetry_pipeline.store.database import Database
from leo_telemetry_pipeline.store.dimensions import types_to_judge

RUNS = 30
BUDGET_MS = 100.0
REFERENCE = """
SELECT span_type, span_name, percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) FROM workflow_trace_log
WHERE start_time_ms >= %(from_ms)s AND start_time_ms < %(to_ms)s GROUP BY 1, 2
"""


def generated(end: datetime, number: int) -> list[Span]:
    """Return spans of the last seven days: 4 handoffs, 3 phases, 10 gates, 8 sub-agents, 4 SD types."""
    rng, made = random.Random(1), []
    names = [("handoff", 4), ("phase", 3), ("gate", 5), ("subagent", 8)]
    while len(made) < number:
        trace, sd_type = str(uuid.UUID(int=rng.getrandbits(128))), f"sd{rng.randrange(5)}"
        start = spans.milliseconds(end - timedelta(seconds=rng.randrange(60, 6 * 86_400)))
        for span_type, kinds in names:
            for _ in range(1 if span_type == "handoff" else 3):
                made.append(
                    Span(
                        trace_id=trace,
                        span_id=str(uuid.UUID(int=rng.getrandbits(128))),
                        span_type=span_type,
                        span_name=f"{span_type}-{rng.randrange(kinds)}",
                        start_time_ms=start,
                        duration_ms=int(rng.lognormvariate(8, 0.3)),
                        attributes={"sd_type": sd_type},
                    )
                )
    return made[:number]


def analysis(connection: Database, window: spans.Window) -> int:
    """Run what the assets run, and return how many dimensions were judged."""
    found = spans.count_by_type_and_day(connection, window)
    seen = sorted({row[0] for row in found})
    types = types_to_judge(seen, thresholds.named_types(connection))
    first = window.start - timedelta(days=bottlenecks.HISTORY_DAYS)
    stale = histograms.stale_days(connection, first.date(), window.end.date(), types)
    histograms.rebuild(connection, stale, types, seen)
    measured = p50.exact(spans.exact_p50(connection, window, types, seen))
    dimensions = list(zip(measured["dimension_type"], measured["dimension_key"], strict=True))
    before = spans.Window(first, window.start)
    totals, counts = histograms.bucket_counts(connection, before, types, seen)
    judged = bottlenecks.judge(
        measured,
        bottlenecks.thresholds(thresholds.effective(connection, dimensions)),
        bottlenecks.history(p50.from_buckets(totals, counts, histograms.GAMMA), totals),
        10,
    )
    return len(judged)


def main() -> int:
    """Measure, print one line, and return 1 on a miss."""
    folder = Path(tempfile.mkdtemp(prefix="leo-bench-"))
    folder.chmod(0o711)
    times: dict[str, list[float]] = {"ours": [], "reference": []}
    dimensions = 0
    with (
        database.ready(Settings({PREFIX + "HOME": str(folder)})) as target,
        closing(Database(target)) as connection,
    ):
        end = datetime.now(UTC)
        midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
        window = spans.Window(midnight - timedelta(days=7), end)
        spans.ensure_partitions(connection, window.start, end)
        spans.insert(connection, generated(end, 1_400))
        analysis(connection, window)
        for _ in range(RUNS):
            began = time.perf_counter()
            dimensions = analysis(connection, window)
            times["ours"].append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            connection.rows(REFERENCE, window.parameters())
            times["reference"].append((time.perf_counter() - began) * 1000)
    median = statistics.median(times["ours"])
    passed = median <= BUDGET_MS
    print(
        f"analysis of 1,400 spans, {dimensions} dimensions, days closed: {median:.0f} ms (one percentile_cont query"
        f" {statistics.median(times['reference']):.0f} ms, budget {BUDGET_MS:.0f} ms) {'PASS' if passed else 'FAIL'}"
    )
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
