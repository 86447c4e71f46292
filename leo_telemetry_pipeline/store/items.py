"""Improvement items, their transitions and occurrences.

Belongs here: statements on ``continuous_improvements``, ``item_events`` and ``item_occurrences``.
Does not: which bottleneck gets an item (actions.items), which transitions follow (actions.item_life).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import psycopg2.extensions
from psycopg2.extras import execute_values

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store.server.database import Database

# States in which an item needs attention; all others are closed.
ACTIVE = ("OPEN", "ACKNOWLEDGED", "IN_PROGRESS", "VERIFYING")
# Actor of transitions that analyses make.
SYSTEM = "system"
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Item:
    """Row of ``continuous_improvements``; ``source_detail`` is from the analysis that last wrote it.

    ``status_since`` and ``dismissed_until`` are window times.
    """

    id: str
    fingerprint: str
    title: str
    description: str
    status: str
    source_detail: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    episode: int = 1
    status_since: datetime = _BEFORE_ALL
    dismissed_until: datetime | None = None
    noise_count: int = 0

    @property
    def is_active(self) -> bool:
        """Whether the item still needs attention."""
        return self.status in ACTIVE

    @property
    def opened_at(self) -> datetime:
        """End of the window of the analysis that opened its episode; creation time if no analysis did."""
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


@dataclass(frozen=True)
class Transition:
    """A step in the life of an item, from the state that was read to the next; ``window_end`` is its window time."""

    item_id: str
    from_status: str
    to_status: str
    since: datetime
    window_end: datetime
    actor: str
    reason: str
    run_id: str | None = None
    effect: Mapping[str, Any] | None = None
    dismissed_until: datetime | None = None


@dataclass(frozen=True)
class Event:
    """Row of ``item_events``."""

    episode: int
    from_status: str | None
    to_status: str
    window_end: datetime
    actor: str
    reason: str
    run_id: str | None
    effect: dict[str, Any] | None
    created_at: datetime


@dataclass(frozen=True)
class Occurrence:
    """Row of ``item_occurrences``: what one analysis measured of an active item."""

    item_id: str
    run_id: str
    episode: int
    window_end: datetime
    ratio: float | None
    p50_ms: float
    baseline_p50_ms: float | None
    sample_count: int
    verdict: str


@dataclass(frozen=True)
class Streak:
    """What the analyses of an item's episode saw so far; P50 in ms, None without any.

    ``fast_since``: window end of the first analysis that found it fast, after the last one that found it slow and, for
    a VERIFYING item, after the fix.
    """

    newest: datetime | None = None
    fast_since: datetime | None = None
    worst_p50_ms: float | None = None


# Rows written by hand may have any JSON as detail.
COLUMNS = """id::text, fingerprint, title, description, status,
    CASE jsonb_typeof(source_detail) WHEN 'object' THEN source_detail ELSE '{}' END, created_at, updated_at, closed_at,
    episode, status_since, dismissed_until, noise_count"""


def all_items(database: Database) -> list[Item]:
    """Return all items, active ones first, newest first."""
    rows = database.rows(
        f"SELECT {COLUMNS} FROM continuous_improvements ORDER BY status <> ALL(%s), created_at DESC, title",
        (list(ACTIVE),),
    )
    return [Item(*row) for row in rows]


def get(database: Database, item_id: str) -> Item | None:
    """Return one item, or None."""
    rows = database.rows(f"SELECT {COLUMNS} FROM continuous_improvements WHERE id = %s::uuid", (item_id,))
    return Item(*rows[0]) if rows else None


def changed_at(database: Database) -> datetime | None:
    """Return when an item last changed."""
    return database.rows("SELECT max(updated_at) FROM continuous_improvements")[0][0]


def of_scope(database: Database, project: str | None) -> list[Item]:
    """Return all items that analyses of a scope opened."""
    rows = database.rows(
        f"SELECT {COLUMNS} FROM continuous_improvements WHERE source = 'TELEMETRY_BOTTLENECK'"
        " AND coalesce(source_detail->>'project', '') = %s ORDER BY created_at, id",
        (project or "",),
    )
    return [Item(*row) for row in rows]


def active_ids(cursor: psycopg2.extensions.cursor, fingerprints: Iterable[str]) -> list[tuple[str, str]]:
    """Return (fingerprint, id) of the active items with these fingerprints."""
    cursor.execute(
        "SELECT fingerprint, id::text FROM continuous_improvements WHERE fingerprint = ANY(%s) AND status = ANY(%s)",
        (list(fingerprints), list(ACTIVE)),
    )
    return cursor.fetchall()


def streaks(database: Database, project: str | None) -> dict[str, Streak]:
    """Return what analyses saw of the active items of a scope in their current episodes, by item id."""
    rows = database.rows(
        """
        WITH seen AS (
            SELECT o.*, CASE WHEN i.status = 'VERIFYING' THEN i.status_since ELSE '-infinity' END AS fixed_at,
                max(o.window_end) FILTER (WHERE o.verdict = 'slow') OVER (PARTITION BY o.item_id) AS last_slow
            FROM continuous_improvements AS i
            JOIN item_occurrences AS o ON o.item_id = i.id AND o.episode = i.episode
            WHERE i.status = ANY(%s) AND i.source = 'TELEMETRY_BOTTLENECK'
              AND coalesce(i.source_detail->>'project', '') = %s
        )
        SELECT item_id::text, max(window_end),
            min(window_end) FILTER (WHERE verdict = 'fast' AND window_end > fixed_at
                AND (last_slow IS NULL OR window_end > last_slow)),
            max(p50_ms)
        FROM seen GROUP BY 1
        """,
        (list(ACTIVE), project or ""),
    )
    return {item_id: Streak(*seen) for item_id, *seen in rows}


def events(database: Database, item_id: str) -> list[Event]:
    """Return the transitions of an item, oldest first."""
    rows = database.rows(
        "SELECT episode, from_status, to_status, window_end, actor, reason, run_id::text, effect, created_at"
        " FROM item_events WHERE item_id = %s::uuid ORDER BY id",
        (item_id,),
    )
    return [Event(*row) for row in rows]


def events_of_scope(database: Database, project: str | None) -> dict[str, list[Event]]:
    """Return the transitions of all items that analyses of a scope opened, by item id, oldest first."""
    rows = database.rows(
        "SELECT e.item_id::text, e.episode, e.from_status, e.to_status, e.window_end, e.actor, e.reason,"
        " e.run_id::text, e.effect, e.created_at FROM item_events AS e"
        " JOIN continuous_improvements AS i ON i.id = e.item_id WHERE i.source = 'TELEMETRY_BOTTLENECK'"
        " AND coalesce(i.source_detail->>'project', '') = %s ORDER BY e.id",
        (project or "",),
    )
    found: dict[str, list[Event]] = defaultdict(list)
    for item_id, *event in rows:
        found[item_id].append(Event(*event))
    return dict(found)


def moved(cursor: psycopg2.extensions.cursor, item_ids: Iterable[str], run_id: str) -> list[tuple[Item, Event]]:
    """Return the transitions that a run made of some items, in order, with the items as they are now."""
    ids = list(item_ids)
    cursor.execute(
        "SELECT i.*, e.episode, e.from_status, e.to_status, e.window_end, e.actor, e.reason, e.run_id::text,"
        " e.effect, e.created_at FROM item_events AS e"
        f" JOIN (SELECT {COLUMNS} FROM continuous_improvements WHERE id = ANY(%s::uuid[])) AS i"
        " ON i.id = e.item_id::text"
        " WHERE e.item_id = ANY(%s::uuid[]) AND e.run_id = %s::uuid ORDER BY e.id",
        (ids, ids, run_id),
    )
    size = len(fields(Item))
    return [(Item(*row[:size]), Event(*row[size:])) for row in cursor.fetchall()]


def move(cursor: psycopg2.extensions.cursor, step: Transition, draft: Draft | None = None) -> bool:
    """Make a transition, with the contents of a ``draft`` if an item returns.

    Return False if the item has changed since it was read. Raises psycopg2.errors.CheckViolation for an illegal step.
    """
    _set_transition(cursor, step)
    contents, parameters = "", {}
    if draft:
        contents = ", title = %(title)s, description = %(description)s, source_detail = source_detail || %(detail)s"
        parameters = {"title": draft.title, "description": draft.description, "detail": _json(draft.source_detail)}
    cursor.execute(
        f"UPDATE continuous_improvements SET status = %(to)s, dismissed_until = %(until)s{contents}"
        " WHERE id = %(id)s::uuid AND status = %(from)s AND status_since = %(since)s",
        parameters
        | {"to": step.to_status, "until": step.dismissed_until, "id": step.item_id, "from": step.from_status}
        | {"since": step.since},
    )
    moved = bool(cursor.rowcount)
    cursor.execute("SELECT set_config('leo_telemetry.transition', '', true)")
    return moved


def _set_transition(cursor: psycopg2.extensions.cursor, step: Transition) -> None:
    # Triggers read it, so that an event is recorded for plain SQL, too.
    given = {
        "actor": step.actor,
        "reason": step.reason,
        "window_end": step.window_end.isoformat(),
        "run_id": step.run_id,
        "effect": step.effect,
    }
    cursor.execute("SELECT set_config('leo_telemetry.transition', %s, true)", (_json(given),))


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False)


def put_occurrences(cursor: psycopg2.extensions.cursor, occurrences: Sequence[Occurrence]) -> None:
    """Store what an analysis measured of active items."""
    execute_values(
        cursor,
        "INSERT INTO item_occurrences (item_id, run_id, episode, window_end, ratio, p50_ms, baseline_p50_ms,"
        " sample_count, verdict) VALUES %s ON CONFLICT (item_id, run_id) DO NOTHING",
        [tuple(vars(one).values()) for one in occurrences],
        "(%s::uuid, %s::uuid, %s, %s, %s::float8, %s, %s::float8, %s, %s)",
    )


def update(cursor: psycopg2.extensions.cursor, draft: Draft) -> str | None:
    """Update the active item of a fingerprint, except status and title, which people edit.

    Return its id, or None if it is closed or from a later window.
    """
    cursor.execute(
        """
        UPDATE continuous_improvements SET source_detail = source_detail || %s::jsonb, description = %s
        WHERE fingerprint = %s AND status = ANY(%s)
          -- An analysis of an older window must not overwrite a newer one.
          AND coalesce((source_detail->'window'->>'end')::timestamptz, '-infinity') <= %s
        RETURNING id::text
        """,
        (
            _json(draft.source_detail),
            draft.description,
            draft.fingerprint,
            list(ACTIVE),
            draft.source_detail["window"]["end"],
        ),
    )
    row = cursor.fetchone()
    return row[0] if row else None


def write(cursor: psycopg2.extensions.cursor, draft: Draft, step: Transition) -> str | None:
    """Open a new item and return its id.

    If the fingerprint has an item by now, that one is not changed: return its id, or None if it is closed.
    """
    _set_transition(cursor, step)
    cursor.execute(
        """
        INSERT INTO continuous_improvements (fingerprint, title, description, source_detail)
        VALUES (%s, %s, %s, %s) ON CONFLICT (fingerprint) DO NOTHING RETURNING id::text
        """,
        (draft.fingerprint, draft.title, draft.description, _json(draft.source_detail)),
    )
    row = cursor.fetchone()
    cursor.execute("SELECT set_config('leo_telemetry.transition', '', true)")
    return row[0] if row else dict(active_ids(cursor, [draft.fingerprint])).get(draft.fingerprint)
