"""Forecasts made after an analysis, and their backtests.

Belongs here: statements on ``dimension_forecasts`` and ``telemetry_backtests``. Does not: forecasting (analysis).
"""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from psycopg2.extras import execute_values

from leo_telemetry_pipeline.store.server.database import Database

_AT_ONCE = 1000


class Expected(NamedTuple):
    """Forecast of a dimension for one day; times in ms. Without a probability, ``reason`` says why."""

    horizon_days: int
    day: date
    probability: float | None
    p50_ms: float | None
    low_ms: float | None
    high_ms: float | None
    reason: str


def put_backtest(
    database: Database,
    run_id: str,
    verdict: str,
    scores: Sequence[dict[str, Any]],
    bins: Sequence[dict[str, Any]],
    calibration: dict[str, Any],
) -> None:
    """Store the backtest made after a run, replacing an earlier one."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO telemetry_backtests (run_id, verdict, scores, bins, calibration)"
            " VALUES (%s::uuid, %s, %s, %s, %s) ON CONFLICT (run_id) DO UPDATE SET verdict = excluded.verdict,"
            " scores = excluded.scores, bins = excluded.bins, calibration = excluded.calibration, made_at = now()",
            (run_id, verdict, *(json.dumps(part, allow_nan=False) for part in (scores, bins, calibration))),
        )


def calibration(database: Database, run_id: str) -> dict[str, float] | None:
    """Return the calibration of a run's backtest, None without a backtest."""
    rows = database.rows("SELECT calibration FROM telemetry_backtests WHERE run_id = %s::uuid", (run_id,))
    return rows[0][0] if rows else None


def put(database: Database, run_id: str, expected: Sequence[tuple[str, str, Expected]]) -> None:
    """Store the forecasts made after a run, as (type, key, forecast), replacing earlier ones."""
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM dimension_forecasts WHERE run_id = %s::uuid", (run_id,))
        execute_values(
            cursor,
            f"INSERT INTO dimension_forecasts (run_id, dimension_type, dimension_key, {', '.join(Expected._fields)})"
            " VALUES %s",
            [(run_id, dimension_type, key, *forecast) for dimension_type, key, forecast in expected],
            page_size=_AT_ONCE,
        )


def of_dimension(database: Database, run_id: str, dimension_type: str, key: str) -> list[Expected]:
    """Return the forecasts of a dimension made after a run, nearest day first."""
    rows = database.rows(
        f"SELECT {', '.join(Expected._fields)} FROM dimension_forecasts"
        " WHERE run_id = %s::uuid AND dimension_type = %s AND dimension_key = %s ORDER BY horizon_days",
        (run_id, dimension_type, key),
    )
    return [Expected(*row) for row in rows]
