"""Decisions on names that hold ids: which templates stand for their names.

Belongs here: statements on ``telemetry_folded_names``. Does not: deciding (history.name_folding), folding a name
(name_templates).
"""

from collections.abc import Iterable

import psycopg2.extensions
from psycopg2.extras import execute_values

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store.name_templates import Folds
from leo_telemetry_pipeline.store.server.database import Database

_ROWS = "SELECT span_type, span_name, is_kept FROM telemetry_folded_names"


def of(database: Database) -> Folds:
    """Return all decisions."""
    return _folds(database.rows(_ROWS))


def read(cursor: psycopg2.extensions.cursor) -> Folds:
    """Return all decisions, within a transaction."""
    cursor.execute(_ROWS)
    return _folds(cursor.fetchall())


def _folds(rows: Iterable[tuple[str, str, bool]]) -> Folds:
    rows = list(rows)
    return Folds(
        frozenset((span_type, name) for span_type, name, is_kept in rows if not is_kept),
        frozenset((span_type, name) for span_type, name, is_kept in rows if is_kept),
    )


def put(cursor: psycopg2.extensions.cursor, templates: Iterable[Dimension], kept: Iterable[Dimension]) -> None:
    """Add templates, and replace the names that are kept."""
    cursor.execute("DELETE FROM telemetry_folded_names WHERE is_kept")
    execute_values(
        cursor,
        "INSERT INTO telemetry_folded_names (span_type, span_name, is_kept) VALUES %s ON CONFLICT DO NOTHING",
        [*((*name, False) for name in templates), *((*name, True) for name in kept)],
    )
