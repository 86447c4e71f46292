"""Slices of names: names whose spans are counted per value of an attribute, beside the name as a whole.

Belongs here: statements on ``telemetry_name_slices``. Does not: deciding (history.slice_choice), which dimensions are
slices of which (analysis.slices).
"""

from collections.abc import Collection, Iterable

import psycopg2.extensions
from psycopg2.extras import execute_values

from leo_telemetry_pipeline.store.name_templates import Slice
from leo_telemetry_pipeline.store.server.database import Database


def types(database: Database) -> list[str]:
    """Return the dimension types of all counted slices."""
    rows = database.rows(
        "SELECT DISTINCT span_type || '+' || attribute FROM telemetry_name_slices WHERE is_counted ORDER BY 1"
    )
    return [dimension_type for (dimension_type,) in rows]


def left_out(database: Database) -> int:
    """Return the number of names that would have slices, but are left out."""
    return database.rows("SELECT count(*) FROM telemetry_name_slices WHERE NOT is_counted")[0][0]


def known(database: Database) -> dict[Slice, bool]:
    """Return all slices, and whether they are counted."""
    rows = database.rows("SELECT span_type, span_name, attribute, is_counted FROM telemetry_name_slices")
    return {(span_type, name, attribute): is_counted for span_type, name, attribute, is_counted in rows}


def put(cursor: psycopg2.extensions.cursor, slices: Iterable[tuple[Slice, bool]]) -> None:
    """Add or change slices, each with whether it is counted."""
    execute_values(
        cursor,
        "INSERT INTO telemetry_name_slices (span_type, span_name, attribute, is_counted) VALUES %s"
        " ON CONFLICT (span_type, span_name, attribute) DO UPDATE SET is_counted = excluded.is_counted",
        [(*slice_, is_counted) for slice_, is_counted in slices],
    )


def drop(cursor: psycopg2.extensions.cursor, slices: Collection[Slice]) -> None:
    """Delete slices."""
    cursor.execute(
        "DELETE FROM telemetry_name_slices WHERE (span_type, span_name, attribute)"
        " IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]))",
        [[slice_[place] for slice_ in slices] for place in range(3)],
    )
