"""Decisions on names that hold ids: which templates stand for their names.

Belongs here: statements on ``telemetry_folded_names``. Does not: deciding (history.name_folding), folding a name
(name_templates).
"""

from collections.abc import Collection, Iterable

import psycopg2.extensions
from psycopg2.extras import execute_values

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store.name_templates import Folds, template
from leo_telemetry_pipeline.store.server.database import Database

_ROWS = (
    "SELECT span_type, span_name, is_kept, NULL FROM telemetry_folded_names"
    " UNION ALL SELECT span_type, span_name, NULL, attribute FROM telemetry_name_slices WHERE is_counted"
)


def of(database: Database) -> Folds:
    """Return all decisions."""
    return _folds(database.rows(_ROWS))


def read(cursor: psycopg2.extensions.cursor) -> Folds:
    """Return all decisions, within a transaction."""
    cursor.execute(_ROWS)
    return _folds(cursor.fetchall())


def _folds(rows: Iterable[tuple[str, str, bool | None, str]]) -> Folds:
    rows = list(rows)
    return Folds(
        frozenset((span_type, name) for span_type, name, is_kept, _ in rows if is_kept is False),
        frozenset((span_type, name) for span_type, name, is_kept, _ in rows if is_kept),
        frozenset((span_type, name, attribute) for span_type, name, is_kept, attribute in rows if is_kept is None),
    )


def folded(database: Database, dimension: Dimension) -> Dimension | None:
    """Return the dimension that a name is folded into, None if it is not folded."""
    return folded_ones(database, [dimension]).get(dimension)


def folded_ones(database: Database, dimensions: Collection[Dimension]) -> dict[Dimension, Dimension]:
    """Return the dimensions that names are folded into, without those that are not folded."""
    rows = database.rows(
        f"SELECT span_type, name, {template('name')} FROM unnest(%s::text[], %s::text[]) AS n (span_type, name)",
        ([of_type for of_type, _ in dimensions], [name for _, name in dimensions]),
    )
    folds = of(database)
    return {
        (of_type, name): (of_type, of_name)
        for of_type, name, of_name in rows
        if of_name != name and (of_type, of_name) in folds.templates and (of_type, name) not in folds.kept
    }


def put(
    cursor: psycopg2.extensions.cursor,
    templates: Iterable[Dimension],
    dropped: Collection[Dimension],
    kept: Iterable[Dimension],
) -> None:
    """Add templates, delete the ``dropped`` ones, and replace the names that are kept."""
    cursor.execute(
        "DELETE FROM telemetry_folded_names"
        " WHERE is_kept OR (span_type, span_name) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        ([span_type for span_type, _ in dropped], [name for _, name in dropped]),
    )
    execute_values(
        cursor,
        "INSERT INTO telemetry_folded_names (span_type, span_name, is_kept) VALUES %s ON CONFLICT DO NOTHING",
        [*((*name, False) for name in templates), *((*name, True) for name in kept)],
    )
