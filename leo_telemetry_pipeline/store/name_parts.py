"""Parts of names: names whose spans are counted per value of an attribute, beside the name as a whole.

Belongs here: statements on ``telemetry_name_parts``. Does not: deciding (history.part_choice), which dimensions are
parts of which (analysis.parts).
"""

from collections.abc import Collection, Iterable

import psycopg2.extensions
from psycopg2.extras import execute_values

from leo_telemetry_pipeline.store.name_templates import Part
from leo_telemetry_pipeline.store.server.database import Database


def types(database: Database) -> list[str]:
    """Return the dimension types of all counted parts."""
    rows = database.rows(
        "SELECT DISTINCT span_type || '+' || attribute FROM telemetry_name_parts WHERE is_counted ORDER BY 1"
    )
    return [dimension_type for (dimension_type,) in rows]


def left_out(database: Database) -> int:
    """Return the number of names that would have parts, but are left out."""
    return database.rows("SELECT count(*) FROM telemetry_name_parts WHERE NOT is_counted")[0][0]


def known(database: Database) -> dict[Part, bool]:
    """Return all parts, and whether they are counted."""
    rows = database.rows("SELECT span_type, span_name, attribute, is_counted FROM telemetry_name_parts")
    return {(span_type, name, attribute): is_counted for span_type, name, attribute, is_counted in rows}


def put(cursor: psycopg2.extensions.cursor, parts: Iterable[tuple[Part, bool]]) -> None:
    """Add or change parts, each with whether it is counted."""
    execute_values(
        cursor,
        "INSERT INTO telemetry_name_parts (span_type, span_name, attribute, is_counted) VALUES %s"
        " ON CONFLICT (span_type, span_name, attribute) DO UPDATE SET is_counted = excluded.is_counted",
        [(*part, is_counted) for part, is_counted in parts],
    )


def drop(cursor: psycopg2.extensions.cursor, parts: Collection[Part]) -> None:
    """Delete parts."""
    cursor.execute(
        "DELETE FROM telemetry_name_parts WHERE (span_type, span_name, attribute)"
        " IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]))",
        [[part[place] for part in parts] for place in range(3)],
    )
