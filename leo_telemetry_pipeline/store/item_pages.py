"""Improvement items, one page of a list at a time.

Belongs here: the query of a page. Does not: single items and their transitions (items).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from leo_telemetry_pipeline.store.items import ACTIVE, COLUMNS, Item
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class ItemPlace:
    """Place of an item in the list: active ones first, newest first."""

    is_closed: bool
    created_at: datetime
    id: str

    @classmethod
    def of(cls, item: Item) -> "ItemPlace":
        """Return the place of an item."""
        return cls(not item.is_active, item.created_at, item.id)


def after(
    database: Database, place: ItemPlace | None, limit: int, *, statuses: Sequence[str] = (), text: str = ""
) -> list[Item]:
    """Return the next items after a place, only those with one of some statuses and a text in their title."""
    rows = database.rows(
        f"""
        SELECT {COLUMNS} FROM continuous_improvements
        WHERE (%(any)s OR status = ANY(%(statuses)s)) AND position(lower(%(text)s) IN lower(title)) > 0
          AND (%(first)s OR (status <> ALL(%(active)s)) > %(closed)s
               OR (status <> ALL(%(active)s)) = %(closed)s
                  AND (created_at, id) < (%(created_at)s::timestamptz, %(id)s::uuid))
        ORDER BY status <> ALL(%(active)s), created_at DESC, id DESC LIMIT %(limit)s
        """,
        {
            "any": not statuses,
            "statuses": list(statuses),
            "text": text,
            "active": list(ACTIVE),
            "first": place is None,
            "closed": place is not None and place.is_closed,
            "created_at": place and place.created_at,
            "id": place and place.id,
            "limit": limit,
        },
    )
    return [Item(*row) for row in rows]
