"""Configured thresholds: reading, resolving and changing them.

Belongs here: statements on ``telemetry_thresholds``, and calls of the function that resolves them.
Does not: judging by thresholds (analysis.bottlenecks).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from leo_telemetry_pipeline.dimension import Dimension, Threshold
from leo_telemetry_pipeline.store.server.database import Database

VALUES = ("baseline_p50_ms", "multiplier", "min_samples")


def named_types(database: Database) -> list[str]:
    """Return the dimension types that have rows."""
    return [name for (name,) in database.rows("SELECT DISTINCT dimension_type FROM telemetry_thresholds")]


def effective(database: Database, dimensions: Sequence[Dimension]) -> list[Threshold]:
    """Return the effective threshold of each dimension."""
    rows = database.rows(
        """
        SELECT d.of_type, d.of_key, e.is_active, e.baseline_p50_ms, e.baseline_source, e.multiplier, e.min_samples,
               e.max_items_per_run, e.max_items_per_day, e.cooldown_hours
        FROM unnest(%s::text[], %s::text[]) AS d (of_type, of_key),
             LATERAL telemetry_effective_threshold(d.of_type, d.of_key) AS e
        """,
        ([a for a, _ in dimensions], [b for _, b in dimensions]),
    )
    return [Threshold(*row) for row in rows]


def multipliers(database: Database, dimensions: Sequence[Dimension]) -> dict[Dimension, float]:
    """Return the configured multipliers, set for the key, its type or globally; dimensions without one are absent."""
    rows = database.rows(
        """
        SELECT d.of_type, d.of_key, e.multiplier
        FROM unnest(%s::text[], %s::text[]) AS d (of_type, of_key),
             LATERAL telemetry_effective_threshold(d.of_type, d.of_key) AS e
        WHERE e.multiplier_source <> 'learned'
        """,
        ([a for a, _ in dimensions], [b for _, b in dimensions]),
    )
    return {(dimension_type, key): multiplier for dimension_type, key, multiplier in rows}


def configured(database: Database) -> list[tuple]:
    """Return all rows: type, key, baseline, multiplier, min_samples, active, updated_at."""
    return database.rows(
        "SELECT dimension_type, dimension_key, baseline_p50_ms, multiplier, min_samples, is_active, updated_at"
        " FROM telemetry_thresholds ORDER BY dimension_type, dimension_key NULLS FIRST"
    )


def of_types(database: Database) -> list[tuple[str, float | None, float | None, int | None, bool]]:
    """Return the rows that apply to whole types: type, baseline, multiplier, min_samples, active."""
    return database.rows(
        "SELECT dimension_type, baseline_p50_ms, multiplier, min_samples, is_active FROM telemetry_thresholds"
        " WHERE dimension_key IS NULL ORDER BY dimension_type"
    )


def names_after(
    database: Database, run_id: str | None, place: Dimension | None, limit: int, text: str
) -> list[Dimension]:
    """Return the next dimensions by name, measured by a run or configured, with a text in their name."""
    of_type, key = place or (None, None)
    rows = database.rows(
        """
        (SELECT dimension_type, dimension_key FROM dimension_p50
         WHERE run_id = %(run)s::uuid AND position(lower(%(text)s) IN lower(dimension_type || ':' || dimension_key)) > 0
           AND (%(type)s::text IS NULL OR (dimension_type, dimension_key) > (%(type)s, %(key)s))
         ORDER BY 1, 2 LIMIT %(limit)s)
        UNION
        (SELECT dimension_type, dimension_key FROM telemetry_thresholds
         WHERE dimension_key IS NOT NULL
           AND position(lower(%(text)s) IN lower(dimension_type || ':' || dimension_key)) > 0
           AND (%(type)s::text IS NULL OR (dimension_type, dimension_key) > (%(type)s, %(key)s))
         ORDER BY 1, 2 LIMIT %(limit)s)
        ORDER BY 1, 2 LIMIT %(limit)s
        """,
        {"run": run_id, "text": text, "type": of_type, "key": key, "limit": limit},
    )
    return [tuple(row) for row in rows]


@dataclass(frozen=True)
class Change:
    """Last change of a row: when, by whom and why; None for a row from before these were recorded."""

    at: datetime
    by: str | None
    reason: str | None


def last_change(database: Database, dimension: Dimension) -> Change | None:
    """Return the last change of a dimension's own row, None if it has none."""
    rows = database.rows(
        "SELECT updated_at, changed_by, reason FROM telemetry_thresholds"
        " WHERE dimension_type = %s AND dimension_key = %s",
        dimension,
    )
    return Change(*rows[0]) if rows else None


def put(
    database: Database,
    dimension_type: str,
    key: str | None,
    values: Mapping[str, float | bool],
    *,
    by: str | None = None,
    reason: str = "no reason given",
) -> None:
    """Write the given columns of one row; other columns keep their values. Without ``by``, the database user did it."""
    columns = [name for name in (*VALUES, "is_active") if name in values]
    chosen = ", ".join(columns)
    given = ", ".join(f"%({name})s" for name in columns)
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns)
    # A trigger records both.
    signature = json.dumps({"reason": reason} | ({"actor": by} if by else {}))
    with database.transaction() as cursor:
        cursor.execute("SELECT set_config('leo_telemetry.transition', %s, true)", (signature,))
        cursor.execute(
            f"INSERT INTO telemetry_thresholds (dimension_type, dimension_key, {chosen})"
            f" VALUES (%(type)s, %(key)s, {given})"
            f" ON CONFLICT (dimension_type, dimension_key) DO UPDATE SET {changed}",
            dict(values) | {"type": dimension_type, "key": key},
        )


def is_known(database: Database, dimension_type: str, key: str | None) -> bool:
    """Return whether a dimension was ever measured or configured."""
    return database.rows(
        """
        -- One look-up per run, as the index begins with it.
        SELECT EXISTS (SELECT FROM dimension_p50
                       WHERE run_id = ANY(ARRAY(SELECT run_id FROM telemetry_analysis_runs)) AND dimension_type = %(t)s
                       AND (%(k)s::text IS NULL OR dimension_key = %(k)s))
            OR EXISTS (SELECT FROM telemetry_thresholds WHERE dimension_type = %(t)s
                       AND dimension_key IS NOT DISTINCT FROM %(k)s)
        """,
        {"t": dimension_type, "k": key},
    )[0][0]
