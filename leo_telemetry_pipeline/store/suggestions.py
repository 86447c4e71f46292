"""Suggested thresholds, and the configured thresholds that can be tuned.

Belongs here: statements on ``telemetry_suggestions``; reading tunable thresholds.
Does not: tuning (analysis.tuning), changing thresholds (thresholds).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

from psycopg2.extras import execute_values

from leo_telemetry_pipeline.dimension import Dimension, OfDimension, Suggestion
from leo_telemetry_pipeline.store.server.database import Database

_AT_ONCE = 1000
# All fields but evidence and is_applied, which are stored in another form.
_COLUMNS = [field.name for field in fields(Suggestion)][:-2]


@dataclass(frozen=True)
class TunableThreshold(OfDimension):
    """Threshold of a dimension with a configured baseline or multiplier; times in ms.

    ``source`` is the most specific row that has one of them: key, type or global.
    """

    source: str
    baseline_p50_ms: float | None
    has_baseline: bool
    multiplier: float | None


def rows(database: Database) -> list[tuple[str, str | None]]:
    """Return (type, key) of all rows with a baseline or multiplier; the key of a type's row is None."""
    return database.rows(
        "SELECT dimension_type, dimension_key FROM telemetry_thresholds"
        " WHERE baseline_p50_ms IS NOT NULL OR multiplier IS NOT NULL ORDER BY 1, 2 NULLS FIRST"
    )


def tunable(database: Database, dimensions: Sequence[Dimension]) -> list[TunableThreshold]:
    """Return the thresholds of those dimensions that are active and configured, in their order."""
    selected = database.rows(
        """
        WITH configured AS (
            SELECT dimension_type, dimension_key FROM telemetry_thresholds
            WHERE baseline_p50_ms IS NOT NULL OR multiplier IS NOT NULL
        )
        SELECT d.of_type, d.of_key,
               CASE WHEN (d.of_type, d.of_key) IN (SELECT * FROM configured WHERE dimension_key IS NOT NULL) THEN 'key'
                    WHEN d.of_type IN (SELECT dimension_type FROM configured WHERE dimension_key IS NULL) THEN 'type'
                    ELSE 'global' END,
               e.baseline_p50_ms, e.baseline_source IS NOT DISTINCT FROM 'configured', e.multiplier
        FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS d (of_type, of_key, number),
             LATERAL telemetry_effective_threshold(d.of_type, d.of_key) AS e
        WHERE e.is_active AND (e.baseline_source = 'configured' OR e.multiplier_source IN ('key', 'type', 'global'))
        ORDER BY d.number
        """,
        ([a for a, _ in dimensions], [b for _, b in dimensions]),
    )
    return [TunableThreshold(*row) for row in selected]


def put(database: Database, run_id: str, suggested: Sequence[Suggestion]) -> None:
    """Store the suggestions made after a run, replacing earlier ones."""
    rows = [
        (run_id, *(getattr(it, name) for name in _COLUMNS), json.dumps(it.evidence, allow_nan=False), it.is_applied)
        for it in suggested
    ]
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM telemetry_suggestions WHERE run_id = %s::uuid", (run_id,))
        execute_values(
            cursor,
            f"INSERT INTO telemetry_suggestions (run_id, {', '.join(_COLUMNS)}, evidence, applied_at) VALUES %s",
            rows,
            f"(%s::uuid{', %s' * len(_COLUMNS)}, %s::jsonb, CASE WHEN %s THEN now() END)",
            page_size=_AT_ONCE,
        )


def of_dimensions(database: Database, run_id: str, dimensions: Sequence[Dimension]) -> dict[Dimension, Suggestion]:
    """Return the suggestions made after a run for some dimensions."""
    selected = database.rows(
        f"SELECT {', '.join(_COLUMNS)}, evidence, applied_at IS NOT NULL FROM telemetry_suggestions"
        " WHERE run_id = %s::uuid AND dimension_type = ANY(%s) AND dimension_key = ANY(%s)",
        (run_id, sorted({of_type for of_type, _ in dimensions}), sorted({key for _, key in dimensions})),
    )
    return {one.dimension: one for one in (Suggestion(*row) for row in selected)}


def of_run(database: Database, run_id: str) -> list[Suggestion]:
    """Return the suggestions made after a run, by name."""
    selected = database.rows(
        f"SELECT {', '.join(_COLUMNS)}, evidence, applied_at IS NOT NULL FROM telemetry_suggestions"
        " WHERE run_id = %s::uuid ORDER BY 1, 2",
        (run_id,),
    )
    return [Suggestion(*row) for row in selected]
