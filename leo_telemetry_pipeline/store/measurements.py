"""What an analysis measured, and how it judged it: a row a dimension of each run.

Belongs here: statements on ``dimension_p50``. Does not: measuring (spans, histograms), judging (analysis).
"""

from collections.abc import Sequence

import psycopg2.extensions

from leo_telemetry_pipeline.store.database import Database
from leo_telemetry_pipeline.store.runs import fence

_P50 = "dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms, p99_ms, sum_ms, queue_p50_ms, method"
_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in _P50.split(", ")[2:])
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
        cursor.executemany(
            f"INSERT INTO dimension_p50 (run_id, {_P50})"
            " VALUES (%s::uuid, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            f" ON CONFLICT (run_id, dimension_type, dimension_key) DO UPDATE SET {_REPLACED}",
            [(run_id, *row) for row in rows],
        )


def put_judgements(database: Database, run_id: str, dagster_run_id: str | None, rows: Sequence[tuple]) -> None:
    """Store how each dimension of a run was judged; the fence is that of ``replace_p50``.

    Rows: dimension_type, dimension_key, then the columns of JUDGEMENT.
    """
    with database.transaction() as cursor:
        _fence(cursor, run_id, dagster_run_id)
        cursor.executemany(
            "UPDATE dimension_p50 SET baseline_p50_ms = %s, baseline_source = %s, multiplier = %s, min_samples = %s,"
            " outcome = %s, evidence_trace_ids = %s"
            " WHERE run_id = %s::uuid AND dimension_type = %s AND dimension_key = %s",
            [(*row[2:], run_id, *row[:2]) for row in rows],
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
