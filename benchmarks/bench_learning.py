"""Learning from 90 days of 10,000 dimensions, from the database to baselines, judgements, causes and trends.

Belongs here: the calls of the assets in sequence, on a simulated daily history. Does not: those functions, the
forecast (bench_forecast), accuracy (bench_changes, bench_causes).

10,000 dimensions, of which 1 % got slower a few days ago and are explained: at most 60 s and 1 GB.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import numpy as np
from psycopg2.extras import execute_values

from benchmarks import generate, incidents
from benchmarks.families import forest_of
from benchmarks.incidents import Incident
from benchmarks.measure import Budget, Options, judge, peak_mb, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis import baselines, causes, judgement, levels, trends
from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.defs.assets.learning import daily_p50s
from leo_telemetry_pipeline.dimension import Dimension, Judgement
from leo_telemetry_pipeline.store.days import DAY, Window, midnight
from leo_telemetry_pipeline.store.history import daily, histograms
from leo_telemetry_pipeline.store.server.database import Database

SPANS_PER_DAY = 20
SIGMA = 0.3
SLOW_DAYS = 5
SLOW_BY = 1.8
SLOW_EVERY = 100


def names(dimensions: int) -> list[Dimension]:
    """Return the dimensions, all of one type."""
    return [("gate", f"G{number}") for number in range(dimensions)]


def fill(connection: Database, window: Window, dimensions: int) -> None:
    """Insert a daily history as counting spans would have written it."""
    rng = np.random.default_rng(generate.SEED)
    levels = rng.uniform(np.log(50), np.log(500_000), dimensions)
    for number, day in enumerate(window.days):
        is_slow = (np.arange(dimensions) % SLOW_EVERY == 0) & (number >= len(window.days) - SLOW_DAYS)
        logs = levels + is_slow * np.log(SLOW_BY) + SIGMA * rng.standard_normal((SPANS_PER_DAY, dimensions))
        durations = np.rint(np.exp(logs)).astype(np.int64)
        rows = []
        for (_, key), of in zip(names(dimensions), durations.T, strict=True):
            buckets, counts = np.unique(np.ceil(np.log(of) / np.log(histograms.GAMMA)).astype(int), return_counts=True)
            sums = (len(of), float(of.sum()), int(of.min()), int(of.max()))
            rows.append((day, "gate", key, "", *sums, buckets.tolist(), counts.tolist()))
        with connection.transaction() as cursor:
            execute_values(
                cursor,
                "INSERT INTO duration_histograms (day, dimension_type, dimension_key, project, count, sum_ms, min_ms,"
                " max_ms, buckets, counts) VALUES %s",
                rows,
                page_size=1000,
            )
            cursor.execute(
                "INSERT INTO duration_histogram_days (day, dimension_type, complete_before)"
                " VALUES (%s, 'gate', now()), (%s, '', now())",
                (day, day),
            )


def learn(connection: Database, days: Window, dimensions: list[Dimension]) -> list[Judgement]:
    """Read the days, find trends and changes, learn baselines, and judge the last week."""
    rows = daily.read(connection, days, dimensions, ["gate"])
    found = trends.daily(rows, len(dimensions), len(days.days), histograms.GAMMA)
    trends.dimension_changes(found, days.start.date(), len(days.days))
    series = levels.days_of(daily_p50s(connection, days, dimensions, ["gate"]))
    changes = levels.change_points(series)
    learned = baselines.learn(series, changes, ())
    return judgement.judge(series, changes, learned, days.end - timedelta(7), days.end)


def incidents_of(bottlenecks: int) -> list[Incident]:
    """Return incidents that slow at least ``bottlenecks`` dimensions together, thirty or more each."""
    rng, made = np.random.default_rng(generate.SEED), []
    while sum(len(incident.slow) for incident in made) < bottlenecks:
        made.append(incidents.one_cause(rng))
    return made


def explain(made: list[Incident]) -> None:
    """Find the causes of incidents from their traces."""
    for incident in made:
        after, before = (forest_of(spans) for spans in (incident.window, incident.baseline))
        causes.causes_of(incident.slow, after, before)


def measurements(options: Options) -> Iterator[Measured]:
    """Measure time and memory; a quick run has a twentieth of the dimensions and a twelfth of the time budget."""
    dimensions, seconds = (500, 5) if options.quick else (10_000, 60)
    end = midnight(datetime.now(UTC).date())
    days = Window(end - judging.HISTORY_DAYS * DAY, end)
    with generate.server() as (_, target), closing(Database(target)) as connection:
        fill(connection, days, dimensions)
        generate.settle(target)
        made = incidents_of(dimensions // SLOW_EVERY)
        began = time.perf_counter()
        judged = learn(connection, days, names(dimensions))
        slow = sum(one.outcome == "bottleneck" for one in judged)
        explain(made)
        took = time.perf_counter() - began
    what = f"{dimensions:,} dimensions, {len(days.days)} days, {slow} got slower"
    yield judge(f"baselines, changes, causes, trends: {what}", took, "s", Budget(seconds, "s"), options)
    yield judge(f"memory of learning: {what}", peak_mb(), "MB", Budget(1000, "MB", timed=False), options)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
