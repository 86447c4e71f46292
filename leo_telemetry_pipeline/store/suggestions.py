"""Suggested thresholds, and the dimensions whose configured ones can be tuned.

Belongs here: statements on ``telemetry_suggestions``, and the dimensions that can be tuned. Does not: what fits them
(analysis.tuning), changing thresholds (thresholds).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

from psycopg2.extras import execute_values

from leo_telemetry_pipeline.dimension import Dimension, OfDimension, Suggestion
from leo_telemetry_pipeline.store.server.database import Database

_AT_ONCE = 1000
# Its evidence is kept as JSON, and when it was applied.
_COLUMNS = [each.name for each in fields(Suggestion)][:-2]


@dataclass(frozen=True)
class Written(OfDimension):
    """The threshold of a dimension of which somebody wrote baseline or multiplier; times in ms.

    ``source``: the nearest row that has one of the two: key, type or global.
    """

    source: str
    baseline_p50_ms: float | None
    has_baseline: bool
    multiplier: float | None


def rows(database: Database) -> list[tuple[str, str | None]]:
    """Return (type, key) of every row with a baseline or a multiplier; the key of a type's row is None."""
    return database.rows(
        "SELECT dimension_type, dimension_key FROM telemetry_thresholds"
        " WHERE baseline_p50_ms IS NOT NULL OR multiplier IS NOT NULL ORDER BY 1, 2 NULLS FIRST"
    )


def written(database: Database, dimensions: Sequence[Dimension]) -> list[Written]:
    """Return the thresholds of those dimensions that somebody wrote one for and that are judged, in their order."""
    found = database.rows(
        """
        WITH said AS (
            SELECT dimension_type, dimension_key FROM telemetry_thresholds
            WHERE baseline_p50_ms IS NOT NULL OR multiplier IS NOT NULL
        )
        SELECT d.of_type, d.of_key,
               CASE WHEN (d.of_type, d.of_key) IN (SELECT * FROM said WHERE dimension_key IS NOT NULL) THEN 'key'
                    WHEN d.of_type IN (SELECT dimension_type FROM said WHERE dimension_key IS NULL) THEN 'type'
                    ELSE 'global' END,
               e.baseline_p50_ms, e.baseline_source IS NOT DISTINCT FROM 'configured', e.multiplier
        FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS d (of_type, of_key, number),
             LATERAL telemetry_effective_threshold(d.of_type, d.of_key) AS e
        WHERE e.is_active AND (e.baseline_source = 'configured' OR e.multiplier_source IN ('key', 'type', 'global'))
        ORDER BY d.number
        """,
        ([a for a, _ in dimensions], [b for _, b in dimensions]),
    )
    return [Written(*row) for row in found]


def put(database: Database, run_id: str, suggested: Sequence[Suggestion]) -> None:
    """Keep what was suggested after a run, in place of what was before."""
    rows = [
        (run_id, *(getattr(one, name) for name in _COLUMNS), json.dumps(one.evidence, allow_nan=False), one.is_applied)
        for one in suggested
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


def of_run(database: Database, run_id: str) -> list[Suggestion]:
    """Return what was suggested after a run, by name."""
    found = database.rows(
        f"SELECT {', '.join(_COLUMNS)}, evidence, applied_at IS NOT NULL FROM telemetry_suggestions"
        " WHERE run_id = %s::uuid ORDER BY 1, 2",
        (run_id,),
    )
    return [Suggestion(*row) for row in found]
