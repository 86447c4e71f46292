"""Episodes of items: those of a dimension, and when the present ones began.

Belongs here: the query on ``continuous_improvements`` and ``item_events``. Does not: anything else of items (items).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg2.extensions

from leo_telemetry_pipeline.store.items import ACTIVE
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class Episode:
    """Episode of an item, in window time. ``closed_at``: None while it is active; ``status``: its last state."""

    item_id: str
    title: str
    number: int
    opened_at: datetime
    closed_at: datetime | None
    status: str


def of(database: Database, fingerprint: str, item_ids: Sequence[str]) -> list[Episode]:
    """Return the episodes of the items with a fingerprint or one of the ids, oldest first."""
    titles = dict(
        database.rows(
            "SELECT id::text, title FROM continuous_improvements WHERE fingerprint = %s"
            " UNION SELECT id::text, title FROM continuous_improvements WHERE id = ANY(%s::uuid[])",
            (fingerprint, list(item_ids)),
        )
    )
    rows = database.rows(
        "SELECT item_id::text, episode, to_status, window_end FROM item_events WHERE item_id = ANY(%s::uuid[])"
        " ORDER BY item_id, id",
        (list(titles),),
    )
    return sorted(episodes(titles, rows), key=lambda one: (one.opened_at, one.item_id))


def openings(cursor: psycopg2.extensions.cursor, item_ids: Iterable[str]) -> dict[str, datetime]:
    """Return the window time at which the present episode of each item began, also if a person began it."""
    cursor.execute(
        "SELECT i.id::text, min(e.window_end) FROM continuous_improvements AS i"
        " JOIN item_events AS e ON e.item_id = i.id AND e.episode = i.episode AND e.to_status = 'OPEN'"
        " WHERE i.id = ANY(%s::uuid[]) GROUP BY 1",
        (list(item_ids),),
    )
    return dict(cursor.fetchall())


def episodes(titles: dict[str, str], rows: Iterable[tuple[str, int, str, datetime]]) -> list[Episode]:
    """Return the episodes that transitions make; each row is item, episode, new state and window time, in order."""
    found: list[Episode] = []
    for item_id, number, status, moment in rows:
        closed_at = None if status in ACTIVE else moment
        last = found[-1] if found and found[-1].item_id == item_id else None
        if last and last.number == number:
            found[-1] = Episode(item_id, last.title, number, last.opened_at, closed_at, status)
            continue
        if last and last.closed_at is None:
            # A fix without effect ends an episode and opens the next at once.
            found[-1] = Episode(item_id, last.title, last.number, last.opened_at, moment, last.status)
        found.append(Episode(item_id, titles[item_id], number, moment, closed_at, status))
    return found
