"""Improvement items.

Belongs here: statements on ``continuous_improvements``. Does not: which bottleneck gets an item (actions.items).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg2.extensions

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store.server.database import Database

OPEN = ("OPEN", "IN_PROGRESS")
# Resolutions and the status of a closed item.
RESOLUTIONS = {"fixed": "RESOLVED", "noise": "DISMISSED", "expected": "DISMISSED"}


@dataclass(frozen=True)
class Item:
    """Row of ``continuous_improvements``; ``source_detail`` is from the analysis that last wrote it."""

    id: str
    fingerprint: str
    title: str
    description: str
    status: str
    source_detail: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    resolution: str | None = None
    closed_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the item still needs attention."""
        return self.status in OPEN

    @property
    def opened_at(self) -> datetime:
        """End of the window of the analysis that opened it; creation time if no analysis did."""
        return _moment(self.source_detail.get("opened_window_end"), self.created_at)

    @property
    def last_seen_at(self) -> datetime:
        """End of the window of the analysis that last wrote it; time of the last change if no analysis did."""
        window = self.source_detail.get("window")
        return _moment(window.get("end") if isinstance(window, dict) else None, self.updated_at)

    @property
    def dimension(self) -> Dimension | None:
        """Dimension of the item; None if no analysis opened it."""
        of_type, key = (self.source_detail.get(name) for name in ("dimension_type", "dimension_key"))
        return (of_type, key) if of_type and key and isinstance(of_type, str) and isinstance(key, str) else None


def _moment(value: Any, fallback: datetime) -> datetime:
    """Return a time from an item's detail in UTC, or the fallback if it is invalid, as in a detail written by hand."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return fallback.astimezone(UTC)


@dataclass(frozen=True)
class Draft:
    """Contents of an item to write."""

    fingerprint: str
    title: str
    description: str
    source_detail: dict[str, Any]


# Rows written by hand may have any JSON as detail.
_COLUMNS = """id::text, fingerprint, title, description, status,
    CASE jsonb_typeof(source_detail) WHEN 'object' THEN source_detail ELSE '{}' END, created_at, updated_at, resolution,
    closed_at"""


def all_items(database: Database) -> list[Item]:
    """Return all items, open ones first, newest first."""
    rows = database.rows(
        f"SELECT {_COLUMNS} FROM continuous_improvements"
        " ORDER BY status NOT IN ('OPEN', 'IN_PROGRESS'), created_at DESC, title"
    )
    return [Item(*row) for row in rows]


def get(database: Database, item_id: str) -> Item | None:
    """Return one item, or None."""
    rows = database.rows(f"SELECT {_COLUMNS} FROM continuous_improvements WHERE id = %s::uuid", (item_id,))
    return Item(*rows[0]) if rows else None


def of_scope(database: Database, project: str | None) -> list[Item]:
    """Return all items that analyses of a scope opened."""
    rows = database.rows(
        f"SELECT {_COLUMNS} FROM continuous_improvements WHERE source = 'TELEMETRY_BOTTLENECK'"
        " AND coalesce(source_detail->>'project', '') = %s ORDER BY created_at, id",
        (project or "",),
    )
    return [Item(*row) for row in rows]


def open_ids(cursor: psycopg2.extensions.cursor, fingerprints: Iterable[str]) -> list[tuple[str, str]]:
    """Return (fingerprint, id) of the open items with these fingerprints."""
    cursor.execute(
        "SELECT fingerprint, id::text FROM continuous_improvements"
        " WHERE fingerprint = ANY(%s) AND status IN ('OPEN', 'IN_PROGRESS')",
        (list(fingerprints),),
    )
    return cursor.fetchall()


def close(database: Database, item_id: str, resolution: str) -> bool:
    """Close an open item as ``fixed``, ``noise`` or ``expected``; return False if it is not open."""
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE continuous_improvements SET status = %s, resolution = %s"
            " WHERE id = %s::uuid AND status IN ('OPEN', 'IN_PROGRESS')",
            (RESOLUTIONS[resolution], resolution, item_id),
        )
        return bool(cursor.rowcount)


def update(cursor: psycopg2.extensions.cursor, draft: Draft) -> str | None:
    """Update the open item of a fingerprint, except status and title, which people edit.

    Return its id, or None if it is closed or from a later window.
    """
    cursor.execute(
        """
        UPDATE continuous_improvements SET source_detail = source_detail || %s::jsonb, description = %s
        WHERE fingerprint = %s AND status IN ('OPEN', 'IN_PROGRESS')
          -- An analysis of an older window must not overwrite a newer one.
          AND coalesce((source_detail->'window'->>'end')::timestamptz, '-infinity') <= %s
        RETURNING id::text
        """,
        (
            json.dumps(draft.source_detail, allow_nan=False),
            draft.description,
            draft.fingerprint,
            draft.source_detail["window"]["end"],
        ),
    )
    row = cursor.fetchone()
    return row[0] if row else None


def write(cursor: psycopg2.extensions.cursor, draft: Draft) -> str:
    """Open an item, or update one that was opened meanwhile; return its id."""
    cursor.execute(
        """
        INSERT INTO continuous_improvements (fingerprint, title, description, source_detail)
        VALUES (%s, %s, %s, %s)
        ON CONFLICT (fingerprint) WHERE status IN ('OPEN', 'IN_PROGRESS')
        DO UPDATE SET source_detail = continuous_improvements.source_detail || excluded.source_detail,
                      description = excluded.description
        RETURNING id::text
        """,
        (draft.fingerprint, draft.title, draft.description, json.dumps(draft.source_detail, allow_nan=False)),
    )
    row = cursor.fetchone()
    assert row is not None
    return row[0]
