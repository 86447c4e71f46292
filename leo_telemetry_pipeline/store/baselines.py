"""Learned baselines of the dimensions of a scope.

Belongs here: statements on ``telemetry_baselines``.
Does not: learning (analysis.baselines), configured baselines (thresholds).
"""

import json
from collections.abc import Sequence
from datetime import datetime

from psycopg2.extras import execute_values

from leo_telemetry_pipeline.dimension import Baseline, Dimension
from leo_telemetry_pipeline.store.history.watermark import Fence
from leo_telemetry_pipeline.store.server.database import Database

_AT_ONCE = 1000


def of_scope(database: Database, project: str | None) -> list[Baseline]:
    """Return all learned baselines of a scope."""
    rows = database.rows(
        "SELECT dimension_type, dimension_key, p50_ms, multiplier, regime_start, regime_days, evidence, window_end,"
        " moved_at, accepted_at FROM telemetry_baselines WHERE scope_type = %s AND scope_id = %s ORDER BY 1, 2",
        _scope(project),
    )
    return [Baseline(*row) for row in rows]


def of_dimensions(
    database: Database, project: str | None, dimensions: Sequence[Dimension]
) -> dict[Dimension, tuple[float, float]]:
    """Return the learned P50 in ms and multiplier of some dimensions."""
    rows = database.rows(
        "SELECT dimension_type, dimension_key, p50_ms, multiplier FROM telemetry_baselines"
        " WHERE scope_type = %s AND scope_id = %s AND dimension_type = ANY(%s) AND dimension_key = ANY(%s)",
        (*_scope(project), sorted({of_type for of_type, _ in dimensions}), sorted({key for _, key in dimensions})),
    )
    return {(of_type, key): (p50_ms, multiplier) for of_type, key, p50_ms, multiplier in rows}


def put(
    database: Database, project: str | None, window_end: datetime, learned: Sequence[Baseline], fence: Fence
) -> None:
    """Store the baselines that an analysis learned, without overwriting those of a later window.

    Calls ``fence`` first; if it raises, nothing is written.
    """
    scope = _scope(project)
    with database.transaction() as cursor:
        fence(cursor)
        execute_values(
            cursor,
            "INSERT INTO telemetry_baselines AS b (scope_type, scope_id, dimension_type, dimension_key, p50_ms,"
            " multiplier, regime_start, regime_days, evidence, window_end, moved_at) VALUES %s"
            " ON CONFLICT (scope_type, scope_id, dimension_type, dimension_key) DO UPDATE"
            " SET p50_ms = excluded.p50_ms, multiplier = excluded.multiplier, regime_start = excluded.regime_start,"
            " regime_days = excluded.regime_days, evidence = excluded.evidence, window_end = excluded.window_end,"
            # An analysis that leaves a baseline unchanged reports one of these words.
            " updated_at = now(), moved_at = CASE WHEN excluded.evidence->>'moved' IN ('kept', 'settling')"
            " THEN b.moved_at ELSE now() END"
            " WHERE b.window_end IS NULL OR b.window_end <= excluded.window_end",
            [
                (
                    *scope,
                    *baseline.dimension,
                    baseline.p50_ms,
                    baseline.multiplier,
                    baseline.regime_start,
                    baseline.regime_days,
                    json.dumps(baseline.evidence, allow_nan=False),
                    window_end,
                )
                for baseline in learned
            ],
            "(%s, %s, %s, %s, %s, %s, %s::date, %s, %s::jsonb, %s::timestamptz, now())",
            page_size=_AT_ONCE,
        )


def accept(database: Database, project: str | None, dimension_type: str, key: str) -> bool:
    """Let a dimension's baseline rise to its current level; return False if the dimension has no baseline."""
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE telemetry_baselines SET accepted_at = now() WHERE scope_type = %s AND scope_id = %s"
            " AND dimension_type = %s AND dimension_key = %s",
            (*_scope(project), dimension_type, key),
        )
        return bool(cursor.rowcount)


def _scope(project: str | None) -> tuple[str, str]:
    return ("ALL", "") if project is None else ("PROJECT", project)
