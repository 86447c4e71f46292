"""Statistics of collection: removed attributes, and the result of each drain.

Belongs here: statements on ``telemetry_removed_keys`` and ``telemetry_drains``.
Does not: spans (spans), open spans (open_spans), which attributes may be kept (redact).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg2
import psycopg2.extensions

from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class Drain:
    """Result of one drain: contents of the spool, and the summed counters of the processes that filled it."""

    drained_by: str
    segments: int
    spans: int
    new_spans: int
    quarantined: int
    torn: int
    counters: dict


def count_removed(cursor: psycopg2.extensions.cursor, removed: Mapping[str, int]) -> None:
    """Add to the counts of removed attributes; ignore failures, since storing spans does not depend on these counts."""
    if not removed:
        return
    cursor.execute("SAVEPOINT counting")
    try:
        # Sorted, so that transactions that count the same names cannot deadlock.
        for key, count in sorted(removed.items()):
            cursor.execute(
                "INSERT INTO telemetry_removed_keys AS r (key, count) VALUES (%s, %s)"
                " ON CONFLICT (key) DO UPDATE SET count = r.count + excluded.count, last_seen = now()",
                (key or "(empty)", count),
            )
    except psycopg2.Error:
        cursor.execute("ROLLBACK TO SAVEPOINT counting")


def removed_keys(database: Database, since: datetime, limit: int = 20) -> list[tuple[str, int]]:
    """Return (name, count) of attributes removed since a given time, most frequent first."""
    return database.rows(
        "SELECT key, count FROM telemetry_removed_keys WHERE last_seen >= %s ORDER BY count DESC, key LIMIT %s",
        (since, limit),
    )


def note_drain(database: Database, drain: Drain) -> None:
    """Store the result of a drain."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO telemetry_drains (drained_by, segments, spans, new_spans, quarantined, torn, counters)"
            " VALUES (%(drained_by)s, %(segments)s, %(spans)s, %(new_spans)s, %(quarantined)s, %(torn)s, %(counters)s)",
            vars(drain) | {"counters": json.dumps(drain.counters)},
        )


def losses(database: Database, since: datetime) -> dict[str, int]:
    """Return how many spans drains have reported lost since a given time, by reason."""
    return dict(
        database.rows(
            """
            SELECT reason, sum(n)::bigint FROM (
                SELECT d.key AS reason, d.value::bigint AS n
                FROM telemetry_drains, jsonb_each_text(coalesce(counters->'dropped', '{}')) AS d
                WHERE drained_at >= %(since)s
                UNION ALL SELECT 'torn', torn FROM telemetry_drains WHERE drained_at >= %(since)s) AS lost
            WHERE n > 0 GROUP BY 1 ORDER BY 2 DESC, 1
            """,
            {"since": since},
        )
    )
