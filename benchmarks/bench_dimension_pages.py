"""Pages of the dashboard on dimensions, with 90 days of 10,000 dimensions and 1,000 items, beside their bare queries.

Belongs here: the history, and the measurements. Does not: the pages.

A page is read and rendered in at most 3 x the time of the queries that it sends, which are recorded once and then sent
by themselves, and in 50 ms; it has at most 60 kB.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2.extras import execute_values

from benchmarks import generate
from benchmarks.measure import Budget, Options, alternating, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.actions.items import fingerprint
from leo_telemetry_pipeline.dimension import Baseline, Guard, Judgement
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.days import DAY, Window, midnight
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard.minutes import Minutes
from leo_telemetry_pipeline.web.dashboard.page import Asked
from leo_telemetry_pipeline.web.dashboard.pages import dimension, dimensions
from leo_telemetry_pipeline.web.dashboard.rendering import render

DAYS, SLOW_DAYS = 90, 5
# One dimension in SLOW_EVERY is slow; of PARTS in WHOLE, each is a part of another one, by host.
SLOW_EVERY, WHOLE, PARTS, HOSTS = 10, 10, 4, 10
_DAGSTER_RUN = "benchmark"

# Name and P50 of each dimension.
_NAMED = f"""
SELECT n, CASE WHEN n %% {WHOLE} < {PARTS} THEN 'gate+host' ELSE 'gate' END AS of_type,
       CASE WHEN n %% {WHOLE} < {PARTS}
            THEN 'G' || (n / {HOSTS * WHOLE} * {WHOLE} + {PARTS}) || ':web-' || n %% {HOSTS * WHOLE}
            ELSE 'G' || n END AS of_key,
       n %% {SLOW_EVERY} = {PARTS} AS is_slow, exp(4 + 9 * {generate.random("n", 1)}) AS p50_ms
FROM generate_series(0, %(dimensions)s - 1) AS n
"""
_HISTORY = f"""
INSERT INTO duration_histograms (day, dimension_type, dimension_key, project, count, sum_ms, min_ms, max_ms, buckets,
                                 counts, p50_ms, center, tail)
SELECT %(first)s::date + day, of_type, of_key, '', 20, 20 * ms, ms / 2, 2 * ms,
       (SELECT array_agg(ceil(ln(ms) / ln({GAMMA}::float8))::integer + 6 * step ORDER BY step)
        FROM generate_series(-10, 9) AS step),
       array_fill(1::bigint, ARRAY[20]), ms, ln(ms), ln(ms) + 0.3
FROM (
    SELECT *, p50_ms * exp(0.1::float8 * ({generate.random("n * 97 + day", 2)} - 0.5))
              * CASE WHEN is_slow AND day >= {DAYS - SLOW_DAYS} THEN 1.8::float8 ELSE 1 END AS ms
    FROM ({_NAMED}) AS named CROSS JOIN generate_series(0, {DAYS - 1}) AS day
    OFFSET 0  -- Computes each time once.
) AS daily
"""
_RESULTS = f"""
INSERT INTO dimension_p50 (run_id, dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms, p99_ms, sum_ms,
                           method, observed_p50_ms, baseline_p50_ms, baseline_source, multiplier, min_samples, outcome,
                           onset_day, resolution_ms, learned)
SELECT %(run_id)s::uuid, of_type, of_key, 140, ms, 1.3 * ms, 1.4 * ms, 1.5 * ms, 140 * ms, 'histogram', ms, p50_ms,
       'learned', 1.15, 10, CASE WHEN is_slow THEN 'bottleneck' ELSE 'ok' END,
       CASE WHEN is_slow THEN %(onset)s::date END, 1, %(learned)s
FROM (SELECT *, p50_ms * CASE WHEN is_slow THEN 1.8::float8 ELSE 1 END AS ms FROM ({_NAMED}) AS named) AS judged
"""


class Recorder(Database):
    """Records the queries of a page, so that they can be sent by themselves."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.queries: list[bytes] = []

    @contextmanager
    def transaction(self, **named: Any) -> Iterator[Any]:
        """Yield a cursor that records."""
        with super().transaction(**named) as cursor:
            yield _Cursor(cursor, self.queries)

    def send(self) -> None:
        """Send the recorded queries, and read all rows."""
        with Database.transaction(self) as cursor:
            for query in self.queries:
                cursor.execute(query)
                cursor.fetchall()


class _Cursor:
    def __init__(self, cursor: Any, queries: list[bytes]) -> None:
        self._cursor, self._queries = cursor, queries

    def execute(self, sql: str, parameters: Any = None) -> None:
        """Execute and record a statement."""
        self._cursor.execute(sql, parameters)
        if self._cursor.description:
            self._queries.append(self._cursor.query)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


def fill(connection: Database, window: Window, count: int) -> None:
    """Insert a history, an analysis of its last week, and an item per slow dimension."""
    _, run_id = runs.begin(connection, _DAGSTER_RUN, 600, window_end=window.end)
    assert run_id is not None
    onset = (window.end - SLOW_DAYS * DAY).date()
    parameters = {"dimensions": count, "first": window.start.date(), "run_id": run_id, "onset": onset}
    with connection.transaction(seconds=3600) as cursor:
        cursor.execute(_HISTORY, parameters)
        cursor.execute(_RESULTS, parameters | {"learned": json.dumps(_judgement(onset).as_json())})
        cursor.execute(
            "SELECT dimension_key, observed_p50_ms, baseline_p50_ms FROM dimension_p50 WHERE outcome = 'bottleneck'"
        )
        slow = [_bottleneck(key, seen, normal, onset.isoformat()) for key, seen, normal in cursor.fetchall()]
        items = execute_values(
            cursor,
            "INSERT INTO continuous_improvements (fingerprint, title, description, source_detail) VALUES %s"
            " RETURNING id::text",
            [(fingerprint("gate", one["dimension_key"], None), "slow", "slow", json.dumps(one)) for one in slow],
            fetch=True,
        )
        found = [one | {"improvement_id": item} for one, (item,) in zip(slow, items, strict=True)]
        output = {"bottlenecks": found, "dimensions_evaluated": count}
        assert runs.finish(cursor, run_id, _DAGSTER_RUN, "SUCCEEDED", "COMPLETED", output_ref=output)


def _judgement(onset: Any) -> Judgement:
    guards = tuple(Guard(f"guard_{number}", True, 1.0, 1.0, "seven days of the window " * 2) for number in range(6))
    evidence = {"moved": "kept", "days": 28, "reference": dict.fromkeys(("p50", "rho", "level", "sigma"), 8.5)}
    baseline = Baseline("gate", "G", 100.0, 1.15, onset - timedelta(60), 60, evidence)
    return Judgement("gate", "G", guards, True, baseline, 1.15, 180.0, 1.8, 140, onset, onset, onset)


def _bottleneck(key: str, observed_ms: float, baseline_ms: float, onset: str) -> dict[str, Any]:
    return {
        "dimension_type": "gate",
        "dimension_key": key,
        "observed_p50_ms": observed_ms,
        "baseline_p50_ms": baseline_ms,
        "ratio": observed_ms / baseline_ms,
        "onset_day": onset,
        "p_value": 1e-9,
        "why": f"gate:{key} +9.9 s: own time (no spans below it) 100 %",
        "cause": f"gate:{key}",
        "set_apart_by": ["host=web-1: 73 % of slow spans, 32 % of the others"],
        "evidence_trace_ids": [],
    }


def measurements(options: Options) -> Iterator[Measured]:
    """Measure both pages; a quick run has a twentieth of the dimensions."""
    count = 500 if options.quick else 10_000
    end = midnight(datetime.now(UTC).date())
    pages = {
        "list of dimensions": (dimensions, "dimensions.html", {}),
        "search in it": (dimensions, "dimensions.html", {"q": "web-1", "sort": "ratio"}),
        "a dimension": (dimension, "dimension.html", {"name": f"gate:G{PARTS}"}),
        "two dimensions": (dimension, "dimension.html", {"name": f"gate:G{PARTS}", "with": f"gate:G{PARTS + 1}"}),
    }
    with generate.server() as (home, target), closing(Database(target)) as connection:
        fill(connection, Window(end - DAYS * DAY, end), count)
        generate.settle(target)
        settings = Settings({"LEO_TELEMETRY_HOME": str(home)})
        for name, (page, template, query) in pages.items():
            asked = Asked(settings, Minutes(), query=query)

            def shown(page: Any = page, template: str = template, asked: Asked = asked) -> str:
                model = page.read(connection, asked)
                return render(template, page=model, path="/", navigation=())

            with closing(Recorder(target)) as recorder:
                page.read(recorder, asked)
                took = alternating({"ours": shown, "bare": recorder.send}, 20)
            what = f"page, {name}: {count:,} dimensions, {DAYS} days, {count // SLOW_EVERY:,} items"
            ours, bare = took["ours"] * 1000, ("its queries", took["bare"] * 1000)
            yield judge(what, ours, "ms", Budget(3), options, reference=bare)
            yield judge(f"time of {what}", ours, "ms", Budget(50, "ms"), options)
            yield judge(f"size of {what}", len(shown().encode()) / 1000, "kB", Budget(60, "kB", timed=False), options)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
