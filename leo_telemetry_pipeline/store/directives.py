"""Directives: work drafted from improvement items.

Belongs here: statements on ``strategic_directives``, ``directive_items`` and ``directive_events``, and their rows.
Does not: drafting (actions.directives), which items get one (actions.directive_policy).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import psycopg2.errors
import psycopg2.extensions

from leo_telemetry_pipeline.store.items import ACTIVE, SYSTEM
from leo_telemetry_pipeline.store.server.database import Database

# Statuses of a directive that has ended; an item may then get another one.
ENDED = ("completed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class DirectiveContent:
    """What a directive says: the columns that are written once, when it is drafted. Texts are Markdown."""

    title: str
    description: str
    scope: str
    rationale: str
    strategic_intent: str
    sd_type: str
    priority: str
    category: str
    target_application: str
    strategic_objectives: Sequence[dict[str, str]]
    success_criteria: Sequence[dict[str, str]]
    success_metrics: Sequence[dict[str, str]]
    key_changes: Sequence[dict[str, str]]
    smoke_test_steps: Sequence[dict[str, Any]]
    key_principles: Sequence[str]
    risks: Sequence[dict[str, str]]
    dependencies: Sequence[str]
    metadata: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Directive(DirectiveContent):
    """Row of ``strategic_directives``, with the ids of its items."""

    id: str
    sd_key: str
    sd_code_user_facing: str
    status: str
    current_phase: str
    created_at: datetime
    updated_at: datetime
    item_ids: Sequence[str]

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.status not in ENDED


@dataclass(frozen=True)
class DirectivePlace:
    """Place of a directive in the list: live ones first, newest first."""

    has_ended: bool
    created_at: datetime
    sd_key: str

    @classmethod
    def of(cls, directive: Directive) -> "DirectivePlace":
        """Return the place of a directive."""
        return cls(not directive.is_live, directive.created_at, directive.sd_key)


@dataclass(frozen=True)
class DirectiveEvent:
    """Row of ``directive_events``: a change of status."""

    from_status: str | None
    to_status: str
    actor: str
    reason: str
    created_at: datetime


@dataclass(frozen=True)
class WorkOn:
    """Newest directive of an item: its key and status."""

    sd_key: str
    status: str


class IllegalStep(Exception):
    """The status of a directive does not allow a step; nothing was written."""


_CONTENT = [field.name for field in fields(DirectiveContent)]
_OWN = [field.name for field in fields(Directive) if field.name not in (*_CONTENT, "item_ids")]
_COLUMNS = ", ".join("d.id::text" if name == "id" else f"d.{name}" for name in (*_CONTENT, *_OWN))
_ITEMS = """ARRAY(SELECT i.item_id::text FROM directive_items AS i WHERE i.directive_id = d.id ORDER BY i.item_id)"""


def all_directives(database: Database) -> list[Directive]:
    """Return all directives, live ones first, newest first."""
    return _read(database, "ORDER BY d.status = ANY(%s), d.created_at DESC, d.sd_key", (list(ENDED),))


def after(
    database: Database, place: DirectivePlace | None, limit: int, *, statuses: Sequence[str] = (), text: str = ""
) -> list[Directive]:
    """Return the next directives after a place, only those with one of some statuses and a text in key or title."""
    return _read(
        database,
        """
        WHERE (%(any)s OR d.status = ANY(%(statuses)s))
          AND position(lower(%(text)s) IN lower(d.sd_key || ' ' || d.title)) > 0
          AND (%(first)s OR (d.status = ANY(%(over)s)) > %(ended)s
               OR (d.status = ANY(%(over)s)) = %(ended)s
                  AND (d.created_at, d.sd_key) < (%(created_at)s::timestamptz, %(key)s))
        ORDER BY d.status = ANY(%(over)s), d.created_at DESC, d.sd_key DESC LIMIT %(limit)s
        """,
        {
            "any": not statuses,
            "statuses": list(statuses),
            "text": text,
            "over": list(ENDED),
            "first": place is None,
            "ended": place is not None and place.has_ended,
            "created_at": place and place.created_at,
            "key": place and place.sd_key,
            "limit": limit,
        },
    )


def live(database: Database) -> list[Directive]:
    """Return the directives that have not ended, oldest first."""
    return _read(database, "WHERE NOT d.status = ANY(%s) ORDER BY d.created_at, d.sd_key", (list(ENDED),))


def without_active_items(database: Database) -> list[str]:
    """Return the keys of live directives none of whose items is active."""
    rows = database.rows(
        """
        SELECT d.sd_key FROM strategic_directives AS d
        WHERE NOT d.status = ANY(%s) AND NOT EXISTS (
            SELECT FROM directive_items AS i JOIN continuous_improvements AS c ON c.id = i.item_id
            WHERE i.directive_id = d.id AND c.status = ANY(%s))
        ORDER BY 1
        """,
        (list(ENDED), list(ACTIVE)),
    )
    return [key for (key,) in rows]


def get(database: Database, key: str) -> Directive | None:
    """Return the directive with a key or id, or None."""
    found = _read(database, "WHERE d.sd_key = %s OR d.id::text = %s", (key, key))
    return found[0] if found else None


def of_items(database: Database, item_ids: Iterable[str]) -> dict[str, WorkOn]:
    """Return the newest directive of each item that has one."""
    rows = database.rows(
        "SELECT DISTINCT ON (i.item_id) i.item_id::text, d.sd_key, d.status"
        " FROM directive_items AS i JOIN strategic_directives AS d ON d.id = i.directive_id"
        " WHERE i.item_id = ANY(%s::uuid[]) ORDER BY i.item_id, i.is_live DESC, d.created_at DESC",
        (list(item_ids),),
    )
    return {item_id: WorkOn(key, status) for item_id, key, status in rows}


def changed_at(database: Database) -> datetime | None:
    """Return when a directive last changed."""
    return database.rows("SELECT max(updated_at) FROM strategic_directives")[0][0]


def days_seen(database: Database) -> dict[str, int]:
    """Return on how many days of window time analyses found each item slow in its present episode."""
    rows = database.rows(
        """
        WITH seen AS (
            SELECT item_id, episode, window_end FROM item_occurrences WHERE verdict = 'slow'
            UNION ALL
            SELECT item_id, episode, window_end FROM item_events WHERE to_status = 'OPEN' AND actor = %s
        )
        SELECT i.id::text, count(DISTINCT (s.window_end AT TIME ZONE 'UTC')::date)
        FROM continuous_improvements AS i JOIN seen AS s ON s.item_id = i.id AND s.episode = i.episode
        WHERE i.status = ANY(%s) GROUP BY i.id
        """,
        (SYSTEM, list(ACTIVE)),
    )
    return dict(rows)


def events(database: Database, directive_id: str) -> list[DirectiveEvent]:
    """Return the status changes of a directive, oldest first."""
    rows = database.rows(
        "SELECT from_status, to_status, actor, reason, created_at FROM directive_events"
        " WHERE directive_id = %s::uuid ORDER BY id",
        (directive_id,),
    )
    return [DirectiveEvent(*row) for row in rows]


def add(
    cursor: psycopg2.extensions.cursor, prefix: str, content: DirectiveContent, item_ids: Iterable[str]
) -> str | None:
    """Store a draft under the next free key of a prefix, and return the key.

    Return None, with nothing written, if one of its items has a live directive or no longer exists.
    """
    # One draft at a time: otherwise two would take the same number, or the same item.
    cursor.execute("LOCK TABLE strategic_directives IN SHARE ROW EXCLUSIVE MODE")
    wanted = list(item_ids)
    cursor.execute(
        "SELECT count(*) FROM continuous_improvements AS c WHERE c.id = ANY(%s::uuid[])"
        " AND NOT EXISTS (SELECT FROM directive_items AS i WHERE i.item_id = c.id AND i.is_live)",
        (wanted,),
    )
    if _value(cursor) != len(wanted):
        return None
    cursor.execute(
        r"SELECT coalesce(max(substring(sd_key FROM '\d+$')::bigint), 0) + 1 FROM strategic_directives"
        r" WHERE left(sd_key, length(%s)) = %s AND substr(sd_key, length(%s) + 1) ~ '^-\d+$'",
        (prefix, prefix, prefix),
    )
    key = f"{prefix}-{_value(cursor):03d}"
    values = [_json(getattr(content, name)) for name in _CONTENT]
    cursor.execute(
        f"INSERT INTO strategic_directives (sd_key, {', '.join(_CONTENT)})"
        f" VALUES ({', '.join(['%s'] * (1 + len(values)))}) RETURNING id",
        (key, *values),
    )
    directive_id = _value(cursor)
    cursor.execute(
        "INSERT INTO directive_items (directive_id, item_id) SELECT %s::uuid, unnest(%s::uuid[])",
        (directive_id, wanted),
    )
    return key


def move(
    cursor: psycopg2.extensions.cursor,
    directive: Directive,
    to: str,
    *,
    outcome: dict[str, Any] | None = None,
) -> None:
    """Change the status of a directive, and add its outcome to the metadata if there is one.

    Raises IllegalStep if the database does not allow it, or another process moved the directive first.
    """
    try:
        cursor.execute(
            "UPDATE strategic_directives SET status = %s, metadata = metadata || %s::jsonb"
            " WHERE id = %s::uuid AND status = %s",
            (to, _json({"outcome": outcome} if outcome else {}), directive.id, directive.status),
        )
    except psycopg2.errors.CheckViolation as refusal:
        raise IllegalStep(refusal.diag.message_primary or str(refusal)) from None
    if not cursor.rowcount:
        raise IllegalStep("it was changed by someone else meanwhile")


def act_as(cursor: psycopg2.extensions.cursor, actor: str, reason: str) -> None:
    """Set who makes the changes of this transaction, and why; triggers record both."""
    given = _json({"actor": actor, "reason": reason})
    cursor.execute("SELECT set_config('leo_telemetry.transition', %s, true)", (given,))


def _read(database: Database, where: str, parameters: tuple | dict[str, Any]) -> list[Directive]:
    rows = database.rows(f"SELECT {_COLUMNS}, {_ITEMS} FROM strategic_directives AS d {where}", parameters)
    return [Directive(**dict(zip((*_CONTENT, *_OWN, "item_ids"), row, strict=True))) for row in rows]


def _json(value: Any) -> Any:
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)


def _value(cursor: psycopg2.extensions.cursor) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row[0]
