"""Improvement items as people see them: a page of a list, the active ones, who works on them, how slow they are now.

Belongs here: these queries. Does not: single items and their transitions (items).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from leo_telemetry_pipeline.store.items import ACTIVE, COLUMNS, SYSTEM, Item
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


@dataclass(frozen=True)
class Seen:
    """What an analysis measured of an item; the ratio is None without a baseline."""

    ratio: float | None
    is_fast: bool


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


def active(database: Database) -> list[Item]:
    """Return the active items, newest first."""
    rows = database.rows(
        f"SELECT {COLUMNS} FROM continuous_improvements WHERE status = ANY(%s) ORDER BY created_at DESC, title",
        (list(ACTIVE),),
    )
    return [Item(*row) for row in rows]


def with_ids(database: Database, item_ids: Iterable[str]) -> list[Item]:
    """Return the items with these ids."""
    rows = database.rows(f"SELECT {COLUMNS} FROM continuous_improvements WHERE id = ANY(%s::uuid[])", (list(item_ids),))
    return [Item(*row) for row in rows]


def last_people(database: Database, item_ids: Iterable[str]) -> dict[str, str]:
    """Return who made the last transition of each item, for those where a person made it."""
    rows = database.rows(
        "SELECT item_id::text, (array_agg(actor ORDER BY id DESC))[1] FROM item_events"
        " WHERE item_id = ANY(%s::uuid[]) GROUP BY 1",
        (list(item_ids),),
    )
    return {item_id: actor for item_id, actor in rows if actor != SYSTEM}


def seen_last(database: Database) -> dict[str, Seen]:
    """Return what the newest analysis of each active item's present episode measured, by item id."""
    sql = (
        "SELECT DISTINCT ON (i.id) i.id::text, o.ratio, o.verdict = 'fast' FROM continuous_improvements AS i"
        " JOIN item_occurrences AS o ON o.item_id = i.id AND o.episode = i.episode"
        " WHERE i.status = ANY(%s) ORDER BY i.id, o.window_end DESC"
    )
    return {item_id: Seen(*measured) for item_id, *measured in database.rows(sql, (list(ACTIVE),))}
