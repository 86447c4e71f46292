"""What an analysis measured, and how it judged it: a row a dimension of each run.

Belongs here: statements on ``dimension_p50``. Does not: measuring (measure, buckets), judging (analysis).
"""

from collections.abc import Sequence

import psycopg2.extensions
from psycopg2.extras import execute_values

from leo_telemetry_pipeline.store.database import Database
from leo_telemetry_pipeline.store.runs import fence

_P50 = "dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms, p99_ms, sum_ms, queue_p50_ms, method"
_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in _P50.split(", ")[2:])
_AT_ONCE = 1000
JUDGEMENT = (
    "baseline_p50_ms",
    "baseline_source",
    "multiplier",
    "min_samples",
    "outcome",
    "evidence_trace_ids",
)


def replace_p50(
    database: Database, run_id: str, dagster_run_id: str | None, types: Sequence[str], rows: Sequence[tuple]
) -> None:
    """Store the P50s of some dimension types of a run in place of those that it has.

    Rows: the columns of ``dimension_p50`` after run_id. With ``dagster_run_id`` the run must be RUNNING for it,
    or LostRun is raised; without, the P50s of a run that ended are computed once more.
    """
    with database.transaction() as cursor:
        _fence(cursor, run_id, dagster_run_id)
        # What is still measured keeps how it was judged until it is judged again.
        cursor.execute(
            "DELETE FROM dimension_p50 WHERE run_id = %s::uuid AND dimension_type = ANY(%s)"
            " AND NOT (dimension_type, dimension_key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
            (run_id, list(types), [row[0] for row in rows], [row[1] for row in rows]),
        )
        execute_values(
            cursor,
            f"INSERT INTO dimension_p50 (run_id, {_P50}) VALUES %s"
            f" ON CONFLICT (run_id, dimension_type, dimension_key) DO UPDATE SET {_REPLACED}",
            [(run_id, *row) for row in rows],
            page_size=_AT_ONCE,
        )


def put_judgements(database: Database, run_id: str, dagster_run_id: str | None, rows: Sequence[tuple]) -> None:
    """Store how each dimension of a run was judged; the fence is that of ``replace_p50``.

    Rows: dimension_type, dimension_key, then the columns of JUDGEMENT.
    """
    with database.transaction() as cursor:
        _fence(cursor, run_id, dagster_run_id)
        execute_values(
            cursor,
            f"UPDATE dimension_p50 AS p SET {', '.join(f'{name} = judged.{name}' for name in JUDGEMENT)}"
            f" FROM (VALUES %s) AS judged (run_id, dimension_type, dimension_key, {', '.join(JUDGEMENT)})"
            " WHERE p.run_id = judged.run_id AND p.dimension_type = judged.dimension_type"
            " AND p.dimension_key = judged.dimension_key",
            [(run_id, *row) for row in rows],
            "(%s::uuid, %s, %s, %s::float8, %s, %s::float8, %s::integer, %s, %s::text[])",
            page_size=_AT_ONCE,
        )


def judgements(database: Database, run_id: str) -> list[tuple]:
    """Return what ``p50`` does, then the columns of JUDGEMENT, for every dimension of a run."""
    return database.rows(
        f"SELECT {_P50}, {', '.join(JUDGEMENT)} FROM dimension_p50 WHERE run_id = %s::uuid ORDER BY 1, 2",
        (run_id,),
    )


def p50(database: Database, run_id: str, named: Sequence[str], *, others: bool) -> list[tuple]:
    """Return the stored P50s of the ``named`` types of a run, or with ``others`` of all types but those."""
    return database.rows(
        f"SELECT {_P50} FROM dimension_p50 WHERE run_id = %s::uuid AND (dimension_type = ANY(%s)) <> %s ORDER BY 1, 2",
        (run_id, list(named), others),
    )


def _fence(cursor: psycopg2.extensions.cursor, run_id: str, dagster_run_id: str | None) -> None:
    if dagster_run_id is not None:
        fence(cursor, run_id, dagster_run_id)
