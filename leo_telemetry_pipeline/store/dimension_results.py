"""Results of a run: how each dimension was measured and judged, one row per run and dimension.

Belongs here: statements on ``dimension_p50``.
Does not: measuring (exact_percentiles, history.buckets), judging (analysis).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import psycopg2.extensions
from psycopg2.extras import execute_values

from leo_telemetry_pipeline.dimension import Dimension, DimensionResult, Judgement
from leo_telemetry_pipeline.slow_calls import SlowCalls
from leo_telemetry_pipeline.store.runs import fence
from leo_telemetry_pipeline.store.server.database import Database

_P50 = "dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms, p99_ms, sum_ms, queue_p50_ms, method"
_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in _P50.split(", ")[2:])
_JUDGED = (
    "observed_p50_ms",
    "baseline_p50_ms",
    "baseline_source",
    "multiplier",
    "min_samples",
    "outcome",
    "onset_day",
    "p_value",
    "evidence_trace_ids",
    "resolution_ms",
    "slow_calls",
)
_AT_ONCE = 1000


def replace_p50(
    database: Database, run_id: str, dagster_run_id: str | None, types: Sequence[str], rows: Sequence[tuple]
) -> None:
    """Replace the P50s of some dimension types of a run.

    Rows have the columns of ``dimension_p50`` after run_id. Raises LostRun unless the run is RUNNING for
    ``dagster_run_id``. With None as ``dagster_run_id``, the P50s of a run that has ended are recomputed.
    """
    with database.transaction() as cursor:
        _fence(cursor, run_id, dagster_run_id)
        # Remaining dimensions keep their judgement until they are judged again.
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


def put_judged(database: Database, run_id: str, dagster_run_id: str | None, results: Sequence[DimensionResult]) -> None:
    """Store how each dimension of a run was judged, with the fence of ``replace_p50``."""
    with database.transaction() as cursor:
        _fence(cursor, run_id, dagster_run_id)
        execute_values(
            cursor,
            f"UPDATE dimension_p50 AS p SET {', '.join(f'{name} = judged.{name}' for name in _JUDGED)}"
            f" FROM (VALUES %s) AS judged (run_id, dimension_type, dimension_key, {', '.join(_JUDGED)})"
            " WHERE p.run_id = judged.run_id AND p.dimension_type = judged.dimension_type"
            " AND p.dimension_key = judged.dimension_key",
            [(run_id, *result.dimension, *_values(result)) for result in results],
            "(%s::uuid, %s, %s, %s::float8, %s::float8, %s, %s::float8, %s::integer, %s, %s::date, %s::float8,"
            " %s::text[], %s::float8, %s::jsonb)",
            page_size=_AT_ONCE,
        )


def put_learned(database: Database, run_id: str, dagster_run_id: str | None, judgements: Sequence[Judgement]) -> None:
    """Store judgements by a dimension's own history, with the fence of ``replace_p50``."""
    with database.transaction() as cursor:
        _fence(cursor, run_id, dagster_run_id)
        cursor.execute("UPDATE dimension_p50 SET learned = NULL WHERE run_id = %s::uuid", (run_id,))
        execute_values(
            cursor,
            "UPDATE dimension_p50 AS p SET learned = l.learned"
            " FROM (VALUES %s) AS l (run_id, dimension_type, dimension_key, learned)"
            " WHERE p.run_id = l.run_id AND p.dimension_type = l.dimension_type AND p.dimension_key = l.dimension_key",
            [(run_id, *it.dimension, json.dumps(it.as_json(), allow_nan=False)) for it in judgements],
            "(%s::uuid, %s, %s, %s::jsonb)",
            page_size=_AT_ONCE,
        )


def learned(database: Database, run_id: str) -> list[Judgement]:
    """Return the judgements that ``put_learned`` stored."""
    rows = database.rows(
        "SELECT dimension_type, dimension_key, learned FROM dimension_p50"
        " WHERE run_id = %s::uuid AND learned IS NOT NULL ORDER BY 1, 2",
        (run_id,),
    )
    return [Judgement.from_json(*row) for row in rows]


def of_run(database: Database, run_id: str) -> list[DimensionResult]:
    """Return all dimensions of a run by name, without learned judgements."""
    rows = database.rows(
        f"SELECT {_P50}, {', '.join(_JUDGED)} FROM dimension_p50 WHERE run_id = %s::uuid ORDER BY 1, 2", (run_id,)
    )
    return [_result(*row) for row in rows]


def of_dimension(database: Database, run_id: str, dimension_type: str, key: str) -> DimensionResult | None:
    """Return one dimension of a run with its learned judgement, None if the run did not measure it."""
    rows = database.rows(
        f"SELECT {_P50}, {', '.join(_JUDGED)}, learned FROM dimension_p50"
        " WHERE run_id = %s::uuid AND dimension_type = %s AND dimension_key = %s",
        (run_id, dimension_type, key),
    )
    for *result, kept in rows:
        return replace(_result(*result), learned=kept and Judgement.from_json(dimension_type, key, kept))
    return None


def p50s_of(database: Database, run_id: str, dimensions: Sequence[Dimension]) -> dict[Dimension, tuple[int, float]]:
    """Return the number of spans and the P50 in ms of some dimensions of a run."""
    rows = database.rows(
        "SELECT dimension_type, dimension_key, sample_count, p50_ms FROM dimension_p50"
        " WHERE run_id = %s::uuid AND dimension_type = ANY(%s) AND dimension_key = ANY(%s)",
        (run_id, sorted({of_type for of_type, _ in dimensions}), sorted({key for _, key in dimensions})),
    )
    return {(of_type, key): (spans, p50_ms) for of_type, key, spans, p50_ms in rows}


# How lists are sorted, each largest first. The time lost is that over the baseline, as in Bottleneck.
SORTS = {
    "lost": (
        "CASE WHEN outcome = 'bottleneck' THEN greatest(0, observed_p50_ms - baseline_p50_ms) * sample_count"
        " * coalesce((slow_calls->>'share')::float8, 1) ELSE 0 END"
    ),
    "ratio": "coalesce(observed_p50_ms / nullif(baseline_p50_ms, 0), 0)",
    "total": "sum_ms",
}
_LISTED = f"""
SELECT {_P50}, {", ".join(_JUDGED)}, lost_ms, sort_value
FROM (SELECT *, {SORTS["lost"]} AS lost_ms, ({{sort}})::float8 AS sort_value FROM dimension_p50) AS d
WHERE run_id = %(run_id)s::uuid
  AND (%(of_type)s = '' OR dimension_type = %(of_type)s)
  AND (%(outcome)s = '' OR outcome = %(outcome)s)
  AND (%(text)s = '' OR position(lower(%(text)s) IN lower(dimension_type || ':' || dimension_key)) > 0)
  AND (%(after)s::text[] IS NULL OR (-sort_value, -sum_ms, dimension_type, dimension_key)
       > (-(%(after)s::text[])[1]::float8, -(%(after)s::text[])[2]::float8,
          (%(after)s::text[])[3], (%(after)s::text[])[4]))
ORDER BY -sort_value, -sum_ms, dimension_type, dimension_key LIMIT %(limit)s
"""
# Place in a list: sort value, total time, type and key of a dimension.
Place = tuple[float, float, str, str]


@dataclass(frozen=True)
class Listed:
    """Result in a list. ``lost_ms``: time over the baseline in the window. ``place``: where the list continues."""

    result: DimensionResult
    lost_ms: float
    place: Place


def listed(
    database: Database,
    run_id: str,
    *,
    sort: str,
    text: str = "",
    of_type: str = "",
    outcome: str = "",
    after: Place | None = None,
    limit: int,
) -> list[Listed]:
    """Return results of a run, largest first, with ``text`` in their name; ``after``: from there on."""
    parameters = {
        "run_id": run_id,
        "of_type": of_type,
        "outcome": outcome,
        "text": text,
        "after": after and [repr(after[0]), repr(after[1]), *after[2:]],
        "limit": limit,
    }
    with database.transaction() as cursor:
        # With its default, the planner reads the rows of all runs rather than those of one by the index.
        cursor.execute("SELECT set_config('random_page_cost', '1.1', true)")
        cursor.execute(_LISTED.format(sort=SORTS[sort]), parameters)
        rows = cursor.fetchall()
    found = [(_result(*row), lost_ms, value) for *row, lost_ms, value in rows]
    return [Listed(one, lost_ms, (value, one.sum_ms, *one.dimension)) for one, lost_ms, value in found]


def types(database: Database, run_id: str) -> list[str]:
    """Return the dimension types of a run, by one look-up each."""
    rows = database.rows(
        """
        WITH RECURSIVE t (name) AS (
            SELECT min(dimension_type) FROM dimension_p50 WHERE run_id = %(run_id)s::uuid
            UNION ALL
            SELECT (SELECT min(dimension_type) FROM dimension_p50
                    WHERE run_id = %(run_id)s::uuid AND dimension_type > name)
            FROM t WHERE name IS NOT NULL
        )
        SELECT name FROM t WHERE name IS NOT NULL
        """,
        {"run_id": run_id},
    )
    return [name for (name,) in rows]


def parts(database: Database, run_id: str, dimension: Dimension, of_types: Sequence[str]) -> list[DimensionResult]:
    """Return the results of a run that may be parts of a dimension, among ``of_types``.

    Keys begin with that of the dimension in types such as ``gate+host`` for ``gate``, and end with it in others.
    """
    columns = f"SELECT {_P50}, {', '.join(_JUDGED)} FROM dimension_p50 WHERE run_id = %(run_id)s::uuid"
    by_name = [name for name in of_types if name.startswith(f"{dimension[0]}+")]
    rows = database.rows(
        # Not OR, so that an index finds the prefix where the collation allows that.
        f"{columns} AND dimension_type = ANY(%(by_name)s) AND starts_with(dimension_key, %(key)s || ':')"
        f" UNION ALL {columns} AND dimension_type = ANY(%(by_value)s)"
        " AND right(dimension_key, length(%(key)s) + 1) = ':' || %(key)s",
        {
            "run_id": run_id,
            "by_name": by_name,
            "by_value": sorted({*of_types} - {*by_name}),
            "key": dimension[1],
        },
    )
    return [_result(*row) for row in rows]


def _values(result: DimensionResult) -> list[Any]:
    """Return the values of the columns _JUDGED."""
    values = [getattr(result, name) for name in _JUDGED]
    return [json.dumps(asdict(value)) if isinstance(value, SlowCalls) else value for value in values]


def _result(*row: Any) -> DimensionResult:
    *columns, kept = row
    return DimensionResult(*columns, slow_calls=kept and SlowCalls(**kept))


def p50(database: Database, run_id: str, named: Sequence[str], *, others: bool) -> list[tuple]:
    """Return the stored P50s of the ``named`` types of a run, or, with ``others``, those of all other types."""
    return database.rows(
        f"SELECT {_P50} FROM dimension_p50 WHERE run_id = %s::uuid AND (dimension_type = ANY(%s)) <> %s ORDER BY 1, 2",
        (run_id, list(named), others),
    )


def _fence(cursor: psycopg2.extensions.cursor, run_id: str, dagster_run_id: str | None) -> None:
    if dagster_run_id is not None:
        fence(cursor, run_id, dagster_run_id)
