"""A database as large as the dashboard must cope with: dimensions with history, analyses, items, directives, a trace.

Belongs here: its content. Does not: measurements.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from psycopg2.extras import execute_values

from benchmarks import generate
from leo_telemetry_pipeline.actions import directives as wording
from leo_telemetry_pipeline.actions import items as planning
from leo_telemetry_pipeline.dimension import Baseline, Guard, Judgement
from leo_telemetry_pipeline.store import directives, items, runs, spans
from leo_telemetry_pipeline.store.days import DAY, Window, midnight, milliseconds
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.items import SYSTEM
from leo_telemetry_pipeline.store.server.database import Database, Target

DAYS, SLOW_DAYS = 90, 5
# One dimension in SLOW_EVERY is slow; of PARTS in WHOLE, each is a part of another one, by host.
SLOW_EVERY, WHOLE, PARTS, HOSTS = 10, 10, 4, 10
# Items of the overview have directives, and others.
DIRECTIVES = 200
# Analyses whose results were kept, besides the last.
PAST = 4
# Spans that arrived in the last hour.
RECENT = 5_000
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
_BASELINES = f"""
INSERT INTO telemetry_baselines (dimension_type, dimension_key, p50_ms, multiplier)
SELECT of_type, of_key, p50_ms, 1.15 FROM ({_NAMED}) AS named
"""
# Older runs, with outputs like the last one's but of ten bottlenecks.
_RUNS = """
INSERT INTO telemetry_analysis_runs (status, triggered_by, triggered_at, started_at, finished_at, window_start,
                                     window_end, findings_count, reason_code, duration_ms, output_ref)
SELECT CASE WHEN n % 20 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END, 'SCHEDULED', at, at, at + interval '1 minute',
       at - interval '7 days', at, 10, CASE WHEN n % 20 = 0 THEN 'ERROR' ELSE 'COMPLETED' END, 60000, %s
FROM (SELECT n, now() - n * interval '2 hours' AS at FROM generate_series(1, %s) AS n) AS past
RETURNING run_id::text
""".replace("% 20", "%% 20")
_TRACE = f"""
INSERT INTO workflow_trace_log (trace_id, span_id, parent_span_id, span_type, span_name, start_time_ms, end_time_ms,
                                duration_ms, attributes)
SELECT %(trace)s::uuid, md5('large' || n)::uuid,
       CASE WHEN n > 0 THEN md5('large' || CASE WHEN n <= 50 THEN 0 ELSE 1 + n %% 50 END)::uuid END,
       CASE WHEN n = 0 THEN 'handoff' WHEN n <= 50 THEN 'phase' ELSE 'tool' END,
       CASE WHEN n = 0 THEN 'LEAD-TO-PLAN' WHEN n <= 50 THEN 'PHASE-' || n WHEN n %% 3 = 0 THEN 'T' || n
            ELSE 'T' || n %% 400 END,
       from_ms, from_ms + took_ms, took_ms, '{{"host": "web-1", "service.name": "build", "retry_attempt": 0}}'
FROM (SELECT n,
             %(from_ms)s + CASE WHEN n = 0 THEN 0 WHEN n <= 50 THEN (n - 1) * 60000
                                ELSE n %% 50 * 60000 + (50000 * {generate.random("n", 3)})::bigint END AS from_ms,
             CASE WHEN n = 0 THEN 3000000 WHEN n <= 50 THEN 60000
                  ELSE (5 + 9000 * power({generate.random("n", 4)}, 8))::bigint END AS took_ms
      FROM generate_series(0, %(spans)s - 1) AS n) AS placed
"""
_RECENT = """
INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, end_time_ms, duration_ms,
                                created_at)
SELECT md5('recent' || n / 15)::uuid, md5('recent span' || n)::uuid, 'tool', 'T' || n %% 25,
       (extract(epoch FROM at) * 1000)::bigint - 2000, (extract(epoch FROM at) * 1000)::bigint - 1000, 1000, at
FROM (SELECT n, now() - n * interval '1 hour' / %(spans)s AS at FROM generate_series(0, %(spans)s - 1) AS n) AS arrived
"""


@dataclass(frozen=True)
class Size:
    """How much of everything; ``trace``: spans of the large trace."""

    dimensions: int
    runs: int
    spans: int
    trace: int

    def __str__(self) -> str:
        return f"{self.dimensions:,} dimensions, {self.spans:,} spans"


@dataclass(frozen=True)
class Content:
    """Names and ids of what is in the database, for the addresses of pages."""

    slow: str
    other: str
    item: str
    directive: str
    last_run: str
    small_trace: str
    large_trace: str


def fill(target: Target, size: Size) -> Content:
    """Fill an empty database."""
    end = midnight(datetime.now(UTC).date())
    window = Window(end - DAYS * DAY, end)
    with closing(Database(target)) as connection:
        large = _spans(connection, size)
        past = _past_runs(connection, size.runs)
        run_id, found = _analysis(connection, window, size.dimensions, past)
        keys = [_directive(connection, one) for one in found[:DIRECTIVES]]
        [[small]] = connection.rows("SELECT trace_id::text FROM workflow_trace_log WHERE span_type = 'handoff' LIMIT 1")
    generate.settle(target)
    return Content(f"gate:G{PARTS}", f"gate:G{PARTS + 1}", found[0]["improvement_id"], keys[0], run_id, small, large)


def _spans(connection: Database, size: Size) -> str:
    """Insert spans, those of a large trace, and a few that arrived in the last hour; return the id of the trace."""
    default = "ALTER TABLE workflow_trace_log ALTER COLUMN created_at SET DEFAULT"
    with connection.transaction() as cursor:
        # Stored yesterday: the history did not arrive in the last hour.
        cursor.execute(f"{default} now() - interval '1 day'")
    generate.fill(connection.target, size.spans, 1_000, DAYS)
    trace = large_trace(connection, size.trace)
    with connection.transaction() as cursor:
        cursor.execute(f"{default} now()")
        cursor.execute(_RECENT, {"spans": RECENT})
    return trace


def _past_runs(connection: Database, count: int) -> list[str]:
    output = {"bottlenecks": [_bottleneck(f"G{number}", 180.0, 100.0, "2026-01-01") for number in range(10)]}
    with connection.transaction() as cursor:
        cursor.execute(_RUNS, (json.dumps(output), count))
        return [run_id for (run_id,) in cursor.fetchall()][:PAST]


def _analysis(
    connection: Database, window: Window, dimensions: int, past: Sequence[str]
) -> tuple[str, list[dict[str, Any]]]:
    """Insert a history, analyses of it, and an item per slow dimension; return the last run and what it found."""
    _, run_id = runs.begin(connection, _DAGSTER_RUN, 600, window_end=window.end)
    assert run_id is not None
    onset = (window.end - SLOW_DAYS * DAY).date()
    learned = json.dumps(_judgement(onset).as_json())
    parameters = {"dimensions": dimensions, "first": window.start.date(), "onset": onset, "learned": learned}
    with connection.transaction(seconds=3600) as cursor:
        cursor.execute(_HISTORY, parameters)
        cursor.execute(_BASELINES, parameters)
        for one in (*past, run_id):
            cursor.execute(_RESULTS, parameters | {"run_id": one})
        cursor.execute(
            "SELECT dimension_key, observed_p50_ms, baseline_p50_ms FROM dimension_p50"
            " WHERE outcome = 'bottleneck' AND run_id = %s::uuid ORDER BY length(dimension_key), dimension_key",
            (run_id,),
        )
        slow = [_bottleneck(key, seen, normal, onset.isoformat()) for key, seen, normal in cursor.fetchall()]
        drafts = [planning.worded(one, None, run_id, window.start, window.end) for one in slow]
        ids = execute_values(
            cursor,
            "INSERT INTO continuous_improvements (fingerprint, title, description, source_detail) VALUES %s"
            " RETURNING id::text",
            [(one.fingerprint, one.title, one.description, json.dumps(one.source_detail)) for one in drafts],
            fetch=True,
        )
        found = [one | {"improvement_id": item} for one, (item,) in zip(slow, ids, strict=True)]
        output = {"bottlenecks": found, "dimensions_evaluated": dimensions, "traces_scanned": 1_000_000}
        assert runs.finish(cursor, run_id, _DAGSTER_RUN, "SUCCEEDED", "COMPLETED", output_ref=output)
    return run_id, found


def _directive(connection: Database, found: dict[str, Any]) -> str:
    item = items.get(connection, found["improvement_id"])
    assert item is not None
    with connection.transaction() as cursor:
        directives.act_as(cursor, SYSTEM, "drafted")
        key = directives.add(cursor, wording.key_prefix(item), wording.draft([item]), [item.id])
    assert key is not None
    return key


def large_trace(connection: Database, count: int) -> str:
    """Insert a trace of many spans, a third of them with names of their own; return its id."""
    now = datetime.now(UTC)
    spans.ensure_partitions(connection, now - DAY, now + DAY)
    trace = "5ca1ab1e-0000-4000-8000-000000000000"
    begin = milliseconds(now - timedelta(hours=2))
    with connection.transaction(seconds=600) as cursor:
        cursor.execute(_TRACE, {"trace": trace, "spans": count, "from_ms": begin})
    return trace


def _judgement(onset: date) -> Judgement:
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
        "baseline_source": "learned",
        "multiplier": 1.15,
        "sample_count": 140,
        "ratio": observed_ms / baseline_ms,
        "onset_day": onset,
        "p_value": 1e-9,
        "lost_ms_a_week": 140 * (observed_ms - baseline_ms),
        "why": f"gate:{key} +9.9 s: own time (no spans below it) 100 %",
        "cause": f"gate:{key}",
        "set_apart_by": ["host=web-1: 73 % of slow spans, 32 % of the others"],
        "evidence_trace_ids": [],
    }
