"""Improvement items: reading them, and writing what an analysis decided about them.

Belongs here: statements on ``continuous_improvements``.
Does not: which bottleneck deserves an item (actions.items).
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
# What may become of an item, and the status that says so.
RESOLUTIONS = {"fixed": "RESOLVED", "noise": "DISMISSED", "expected": "DISMISSED"}


@dataclass(frozen=True)
class Item:
    """One row of ``continuous_improvements``; ``source_detail`` is from the analysis that last wrote it."""

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
        """Whether somebody still has to deal with it."""
        return self.status in OPEN

    @property
    def opened_at(self) -> datetime:
        """The end of the window of the analysis that opened it; of others, when its row was made."""
        return _moment(self.source_detail.get("opened_window_end"), self.created_at)

    @property
    def last_seen_at(self) -> datetime:
        """The end of the window of the analysis that last wrote it; of others, when its row was last changed."""
        window = self.source_detail.get("window")
        return _moment(window.get("end") if isinstance(window, dict) else None, self.updated_at)

    @property
    def dimension(self) -> Dimension | None:
        """The dimension that it is about; None where no analysis opened it."""
        of_type, key = (self.source_detail.get(name) for name in ("dimension_type", "dimension_key"))
        return (of_type, key) if of_type and key and isinstance(of_type, str) and isinstance(key, str) else None


def _moment(said: Any, otherwise: datetime) -> datetime:
    """Return when a detail says that something was, in UTC: in what was written by hand that may be anything."""
    try:
        return datetime.fromisoformat(said).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return otherwise.astimezone(UTC)


@dataclass(frozen=True)
class Draft:
    """What an item is to say."""

    fingerprint: str
    title: str
    description: str
    source_detail: dict[str, Any]


# Rows that somebody wrote by hand may have anything for a detail.
_COLUMNS = """id::text, fingerprint, title, description, status,
    CASE jsonb_typeof(source_detail) WHEN 'object' THEN source_detail ELSE '{}' END, created_at, updated_at, resolution,
    closed_at"""


def all_items(database: Database) -> list[Item]:
    """Return every item, open ones first, then by the time they were made."""
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
    """Return every item that analyses of a scope opened."""
    scope = "" if project is None else project
    rows = database.rows(
        f"SELECT {_COLUMNS} FROM continuous_improvements WHERE source = 'TELEMETRY_BOTTLENECK'"
        " AND coalesce(source_detail->>'project', '') = %s ORDER BY created_at, id",
        (scope,),
    )
    return [Item(*row) for row in rows]


def open_ids(cursor: psycopg2.extensions.cursor, fingerprints: Iterable[str]) -> list[tuple[str, str]]:
    """Return (fingerprint, id) of the open items among some."""
    cursor.execute(
        "SELECT fingerprint, id::text FROM continuous_improvements"
        " WHERE fingerprint = ANY(%s) AND status IN ('OPEN', 'IN_PROGRESS')",
        (list(fingerprints),),
    )
    return cursor.fetchall()


def close(database: Database, item_id: str, resolution: str) -> bool:
    """Close an open item as ``fixed``, ``noise`` or ``expected``; say whether there was one."""
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE continuous_improvements SET status = %s, resolution = %s"
            " WHERE id = %s::uuid AND status IN ('OPEN', 'IN_PROGRESS')",
            (RESOLUTIONS[resolution], resolution, item_id),
        )
        return bool(cursor.rowcount)


def update(cursor: psycopg2.extensions.cursor, draft: Draft) -> str | None:
    """Bring the open item of a fingerprint up to date; return its id, or None when it was closed, or is newer.

    What a person wrote on an open item, its status and its title, stays.
    """
    cursor.execute(
        """
        UPDATE continuous_improvements SET source_detail = source_detail || %s::jsonb, description = %s
        WHERE fingerprint = %s AND status IN ('OPEN', 'IN_PROGRESS')
          -- An analysis of an older window has nothing newer to say.
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
    """Open an item, or bring one that was opened meanwhile up to date; return its id."""
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
