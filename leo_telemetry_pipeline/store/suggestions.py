"""Which thresholds people wrote for which dimensions, and what was suggested in their place.

Belongs here: statements on ``telemetry_suggestions``, and the dimensions that can be tuned. Does not: what fits them
(analysis.tuning), changing thresholds (thresholds).
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg2.extras import execute_values

from leo_telemetry_pipeline.store.server.database import Database

_AT_ONCE = 1000


class Written(NamedTuple):
    """The threshold of a dimension of which somebody wrote baseline or multiplier; times in ms.

    ``source``: the nearest row that has one of the two: key, type or global.
    """

    dimension_type: str
    dimension_key: str
    source: str
    baseline_p50_ms: float | None
    has_baseline: bool
    multiplier: float | None


class Kept(NamedTuple):
    """A row of ``telemetry_suggestions`` after its run; times in ms."""

    dimension_type: str
    dimension_key: str
    source: str
    current_baseline_p50_ms: float | None
    current_multiplier: float
    baseline_p50_ms: float | None
    multiplier: float | None
    alarms_a_year_now: float | None
    alarms_a_year_then: float | None
    share_over_now: float | None
    is_slower: bool
    reason: str
    evidence: dict[str, Any]
    is_applied: bool


_COLUMNS = ", ".join(Kept._fields[:-1])


def rows(database: Database) -> list[tuple[str, str | None]]:
    """Return (type, key) of every row with a baseline or a multiplier; the key of a type's row is None."""
    return database.rows(
        "SELECT dimension_type, dimension_key FROM telemetry_thresholds"
        " WHERE baseline_p50_ms IS NOT NULL OR multiplier IS NOT NULL ORDER BY 1, 2 NULLS FIRST"
    )


def written(database: Database, dimensions: Sequence[tuple[str, str]]) -> list[Written]:
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


def put(database: Database, run_id: str, suggested: Sequence[Kept]) -> None:
    """Keep what was suggested after a run, in place of what was before."""
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM telemetry_suggestions WHERE run_id = %s::uuid", (run_id,))
        execute_values(
            cursor,
            f"INSERT INTO telemetry_suggestions (run_id, {_COLUMNS}, applied_at) VALUES %s",
            [(run_id, *one[:-2], json.dumps(one.evidence, allow_nan=False), one.is_applied) for one in suggested],
            f"(%s::uuid{', %s' * (len(Kept._fields) - 2)}, %s::jsonb, CASE WHEN %s THEN now() END)",
            page_size=_AT_ONCE,
        )


def of_run(database: Database, run_id: str) -> list[Kept]:
    """Return what was suggested after a run, by name."""
    found = database.rows(
        f"SELECT {_COLUMNS}, applied_at IS NOT NULL FROM telemetry_suggestions WHERE run_id = %s::uuid ORDER BY 1, 2",
        (run_id,),
    )
    return [Kept(*row) for row in found]
