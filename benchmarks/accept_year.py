"""A year of stable dimensions at full size, and 42 of them through the analysis job: issue 14, lines 1, 2 and 6.

Belongs here: the parts and the spans of the analysis job. Does not: the measurements without it (bench_year).
"""

import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
from psycopg2.extras import execute_values

from benchmarks import bench_year, generate, series
from benchmarks.bench_year import AR_SHARE, DRIFT, FIRST, WEEK, YEAR
from benchmarks.figures import Figure
from benchmarks.measure import HOME, Options, environment, process
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.days import DAY, DAY_MS, midnight, milliseconds
from leo_telemetry_pipeline.store.server.database import Database

LINE = "14.1"
LINES = {"thin": "14.2", "weekdays": "14.6"}
PIPELINE = "analysis job"
PER_FAMILY, SPANS_PER_DAY, SIGMA = 6, 12, 0.2
DAY_HOURS = 12


def parts(full: bool) -> list[str]:
    """Return the names of the parts."""
    return [*bench_year.PARTS, PIPELINE] if full else ["weekdays"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:
    """Measure one part."""
    rng = np.random.default_rng(seed)
    if part == PIPELINE:
        yield _through_the_job(rng)
        return
    for row in bench_year.PARTS[part](rng, Options(quick=not full), f"seed {seed}"):
        yield Figure(LINES.get(part, LINE), row.what, row.budget, row.ours, row.passed)


def _through_the_job(rng: np.random.Generator) -> Figure:
    """Count dimensions that ever alarm in weekly analyses by ``leo-telemetry analyze``."""
    families = [family(rng, PER_FAMILY, YEAR) for family in series.FAMILIES.values()]
    levels = np.concatenate([*families, np.tile(np.geomspace(1, 1.1, YEAR), (PER_FAMILY, 1))])
    names = [f"{name}-{number}" for name in (*series.FAMILIES, DRIFT) for number in range(PER_FAMILY)]
    with generate.server() as (home, target), closing(Database(target)) as connection:
        today = midnight(datetime.now(UTC).date())
        spans.ensure_partitions(connection, today - YEAR * DAY, today + 3 * DAY)
        for day in range(YEAR):
            _insert(connection, rng, milliseconds(today - (YEAR - day) * DAY), names, levels[:, day])
        command = [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", "analyze", "--window-end"]
        for end in range(FIRST + YEAR % WEEK, YEAR + 1, WEEK):
            process([*command, (today - (YEAR - end) * DAY).isoformat()], environment(**{HOME: str(home)}))
        sql = (
            "SELECT DISTINCT dimension_key FROM dimension_p50 WHERE outcome = 'bottleneck' AND dimension_type = 'gate'"
        )
        alarmed = sorted(key for (key,) in connection.rows(sql))
    budget = bench_year.at_most(AR_SHARE, len(names))
    share = len(alarmed) / len(names)
    return Figure(
        LINE,
        f"stable dimensions that ever alarm in {YEAR} days of weekly `leo-telemetry analyze`",
        f"{budget} of {len(names)}",
        f"{100 * share:.1f} %: {', '.join(alarmed) or 'none'}",
        budget.holds(100 * share),
    )


def _insert(connection: Database, rng: np.random.Generator, day_ms: int, names: list[str], levels: np.ndarray) -> None:
    took = np.rint(1000 * levels[:, None] * np.exp(SIGMA * rng.standard_normal((len(names), SPANS_PER_DAY))))
    begin = day_ms + rng.integers(0, DAY_MS * DAY_HOURS // 24, took.shape)
    rows = [
        (
            str(uuid.UUID(bytes=rng.bytes(16))),
            str(uuid.UUID(bytes=rng.bytes(16))),
            "gate",
            name,
            at,
            at + ms,
            ms,
            "",
            "OK",
        )
        for name, ats, of_name in zip(names, begin.tolist(), took.astype(int).tolist(), strict=True)
        for at, ms in zip(ats, of_name, strict=True)
    ]
    with connection.transaction(seconds=600) as cursor:
        execute_values(
            cursor,
            "INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, end_time_ms,"
            " duration_ms, project, status) VALUES %s",
            rows,
            page_size=1000,
        )
