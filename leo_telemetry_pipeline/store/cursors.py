"""Cursors: how far each place of a source with a past was read.

Belongs here: statements on ``telemetry_source_cursors``. Does not: what a position means, which only its source knows.
"""

import json
from collections.abc import Mapping
from typing import Any

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.store.server.database import Database


def get(database: Database, source: str, place: str) -> dict[str, Any] | None:
    """Return how far a place was read, None if it never was."""
    rows = database.rows(
        "SELECT position FROM telemetry_source_cursors WHERE source = %s AND place = %s", (source, redact.text(place))
    )
    return rows[0][0] if rows else None


def put(database: Database, source: str, place: str, position: Mapping[str, Any]) -> None:
    """Keep how far a place was read. Everything before it is stored."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO telemetry_source_cursors AS c (source, place, position) VALUES (%s, %s, %s)"
            " ON CONFLICT (source, place) DO UPDATE SET position = excluded.position, read_at = now()",
            (source, redact.text(place), json.dumps(position)),
        )
