"""Outbox of alerts: written with the event that they report, claimed by a delivering process, acknowledged after it.

Belongs here: statements on ``alert_outbox``. Does not: which events make alerts (actions.alerts), sending (delivery).

An alert is delivered at least once. A process claims it for the duration of a lease, sends it and acknowledges it; if
the process dies, another one claims it after the lease. Alerts about one episode of an item reach a channel in order.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import psycopg2.extensions
import psycopg2.extras

from leo_telemetry_pipeline.store.server.database import Database

# An alert that no channel accepted for this long becomes a dead letter, since nobody wants it any more.
LONGEST_WAIT = timedelta(days=3)
# With the delays between attempts, a channel may be away for about two days.
MOST_ATTEMPTS = 20
KEPT = timedelta(days=90)
# The kinds that caps limit: an item, or a running operation, demands attention.
LOUD = ("new", "worse", "back", "reminder", "slow_span")


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Event to report: its idempotency key, kind, severity, title, and its facts as JSON."""

    key: str
    kind: str
    severity: str
    title: str
    body: Mapping[str, Any] = field(default_factory=dict)
    item_id: str | None = None
    episode: int | None = None
    run_id: str | None = None
    window_end: datetime | None = None


@dataclass(frozen=True)
class Claimed:
    """Alert that this process may deliver until its lease ends, and the channels that may have it now.

    ``attempts``: failed ones. Those of processes that died do not count, so that their claims end no alert.
    """

    id: str
    key: str
    kind: str
    severity: str
    title: str
    body: dict[str, Any]
    created_at: datetime
    attempts: int
    channels: Sequence[str]


@dataclass(frozen=True)
class Stored:
    """Row of ``alert_outbox`` as people see it."""

    id: str
    key: str
    kind: str
    severity: str
    title: str
    created_at: datetime
    not_before: datetime
    attempts: int
    delivered_to: list[str]
    delivered_at: datetime | None
    failed_at: datetime | None
    last_error: str | None

    @property
    def state(self) -> str:
        """``delivered``, ``dead`` or ``waiting``."""
        if self.delivered_at:
            return "delivered"
        return "dead" if self.failed_at else "waiting"


@dataclass(frozen=True)
class Backlog:
    """Undelivered alerts: those that wait, since when, and dead letters; the newest error of either."""

    waiting: int = 0
    oldest: datetime | None = None
    dead: int = 0
    last_error: str | None = None


def write(cursor: psycopg2.extensions.cursor, alerts: Iterable[Alert]) -> int:
    """Add alerts in the caller's transaction, except those whose key exists; return how many were added."""
    rows = [
        (
            one.key, one.kind, one.severity, one.title, json.dumps(dict(one.body), allow_nan=False), one.item_id,
            one.episode, one.run_id, one.window_end,
        )
        for one in alerts
    ]  # fmt: skip
    if not rows:
        return 0
    added = psycopg2.extras.execute_values(
        cursor,
        "INSERT INTO alert_outbox (key, kind, severity, title, body, item_id, episode, run_id, window_end) VALUES %s"
        " ON CONFLICT (key) DO NOTHING RETURNING 1",
        rows,
        "(%s, %s, %s, %s, %s::jsonb, %s::uuid, %s, %s::uuid, %s)",
        fetch=True,
    )
    return len(added)


def written_on(cursor: psycopg2.extensions.cursor, day: date, kinds: Sequence[str] = LOUD) -> int:
    """Return how many alerts of some kinds, by default all that caps limit, are of windows that end on a UTC day."""
    cursor.execute(
        "SELECT count(*) FROM alert_outbox WHERE kind = ANY(%s)"
        " AND window_end >= %s::date::timestamp AT TIME ZONE 'UTC'"
        " AND window_end < (%s::date + 1)::timestamp AT TIME ZONE 'UTC'",
        (list(kinds), day, day),
    )
    return (cursor.fetchone() or (0,))[0]


def written(cursor: psycopg2.extensions.cursor, keys: Collection[str]) -> set[str]:
    """Return which of some keys were written already.

    Until the transaction ends, no other one gets an answer, so that two do not exceed a cap together.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('alert_outbox'))")
    cursor.execute("SELECT key FROM alert_outbox WHERE key = ANY(%s)", (list(keys),))
    return {key for (key,) in cursor.fetchall()}


# Undelivered alerts that are due, with the channels that lack them and have all earlier alerts of their episode, except
# dead letters. In quiet hours only critical ones are due.
_DUE = """
    FROM alert_outbox AS a
    CROSS JOIN LATERAL (
        SELECT array_agg(channel) AS channels FROM unnest(%(channels)s::text[]) AS channel
        WHERE channel <> ALL (a.delivered_to) AND NOT EXISTS (
            SELECT FROM alert_outbox AS earlier
            WHERE earlier.item_id = a.item_id AND earlier.episode = a.episode AND earlier.number < a.number
              AND earlier.delivered_at IS NULL AND earlier.failed_at IS NULL AND channel <> ALL (earlier.delivered_to))
    ) AS ready
    WHERE a.delivered_at IS NULL AND a.failed_at IS NULL AND ready.channels IS NOT NULL
      AND a.not_before <= clock_timestamp() AND coalesce(a.claimed_until, '-infinity') < clock_timestamp()
      AND (a.severity = 'critical' OR NOT %(quiet)s)
"""


def is_due(database: Database, channels: Sequence[str], *, quiet: bool) -> bool:
    """Return whether an alert can be delivered now."""
    parameters = {"channels": list(channels), "quiet": quiet}
    return database.rows(f"SELECT EXISTS (SELECT {_DUE})", parameters)[0][0]


def claim(database: Database, channels: Sequence[str], most: int, lease_s: float, *, quiet: bool) -> list[Claimed]:
    """Claim due alerts, oldest first, so that no other process delivers them during the lease."""
    with database.transaction() as cursor:
        cursor.execute(
            f"""
            WITH due AS (
                SELECT a.id, ready.channels {_DUE} ORDER BY a.number LIMIT %(most)s FOR UPDATE OF a SKIP LOCKED
            ), claimed AS (
                UPDATE alert_outbox AS a
                SET claimed_until = clock_timestamp() + make_interval(secs => %(lease)s)
                FROM due WHERE a.id = due.id
                RETURNING a.number, a.id::text, a.key, a.kind, a.severity, a.title, a.body, a.created_at, a.attempts,
                          due.channels
            )
            SELECT id, key, kind, severity, title, body, created_at, attempts, channels FROM claimed ORDER BY number
            """,
            {"channels": list(channels), "quiet": quiet, "most": most, "lease": lease_s},
        )
        return [Claimed(*row) for row in cursor.fetchall()]


def settle(
    database: Database,
    alert_id: str,
    delivered: Sequence[str],
    channels: Sequence[str],
    *,
    error: str | None,
    delay_s: float,
) -> None:
    """End a claim: record the channels that accepted the alert; after an error, try again later or give up.

    The alert is delivered once all ``channels`` have it. After the last attempt it becomes a dead letter.
    """
    with database.transaction() as cursor:
        # If the server crashes, the last acknowledgements are lost, and those alerts are sent again.
        cursor.execute("SELECT set_config('synchronous_commit', 'off', true)")
        cursor.execute(
            """
            UPDATE alert_outbox AS a SET
                delivered_to = now_has.channels,
                delivered_at = CASE WHEN now_has.channels @> %(channels)s::text[] THEN clock_timestamp() END,
                attempts = a.attempts + (%(error)s::text IS NOT NULL)::int,
                failed_at = CASE WHEN %(error)s::text IS NOT NULL AND a.attempts + 1 >= %(most)s
                    THEN clock_timestamp() END,
                not_before = CASE WHEN %(error)s::text IS NULL THEN a.not_before
                    ELSE clock_timestamp() + make_interval(secs => %(delay)s) END,
                claimed_until = NULL,
                last_error = %(error)s
            FROM (
                SELECT id, ARRAY(SELECT DISTINCT unnest(delivered_to || %(delivered)s::text[]) ORDER BY 1) AS channels
                FROM alert_outbox WHERE id = %(id)s::uuid FOR UPDATE
            ) AS now_has
            WHERE a.id = now_has.id AND a.delivered_at IS NULL
            """,
            {
                "id": alert_id,
                "delivered": list(delivered),
                "channels": list(channels),
                "error": error,
                "most": MOST_ATTEMPTS,
                "delay": delay_s,
            },
        )


def release(database: Database, alert_ids: Sequence[str]) -> None:
    """Give back claims of alerts that were not tried."""
    if not alert_ids:
        return
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE alert_outbox SET claimed_until = NULL WHERE id = ANY(%s::uuid[]) AND delivered_at IS NULL",
            (list(alert_ids),),
        )


def finish(database: Database, channels: Sequence[str]) -> None:
    """Mark alerts as delivered that all configured channels have; other channels were removed since."""
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE alert_outbox SET delivered_at = clock_timestamp(), claimed_until = NULL"
            " WHERE delivered_at IS NULL AND failed_at IS NULL"
            " AND cardinality(delivered_to) > 0 AND delivered_to @> %s::text[]",
            (list(channels),),
        )


def expire(database: Database) -> None:
    """Make dead letters of alerts that waited too long, and delete old alerts."""
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE alert_outbox SET failed_at = clock_timestamp(),"
            " last_error = coalesce(last_error, 'no channel could take it in time')"
            " WHERE delivered_at IS NULL AND failed_at IS NULL"
            " AND not_before < clock_timestamp() - %s"
            " AND coalesce(claimed_until, '-infinity') < clock_timestamp()",
            (LONGEST_WAIT,),
        )
        cursor.execute(
            "DELETE FROM alert_outbox WHERE coalesce(delivered_at, failed_at) < clock_timestamp() - %s", (KEPT,)
        )


def retry(database: Database) -> int:
    """Let dead letters and waiting alerts be tried now; return how many."""
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE alert_outbox SET failed_at = NULL, attempts = 0, not_before = clock_timestamp()"
            " WHERE delivered_at IS NULL AND (failed_at IS NOT NULL OR attempts > 0)"
            " AND coalesce(claimed_until, '-infinity') < clock_timestamp()"
        )
        return cursor.rowcount


def newest(database: Database, most: int) -> list[Stored]:
    """Return the newest alerts, undelivered ones first."""
    rows = database.rows(
        "SELECT id::text, key, kind, severity, title, created_at, not_before, attempts, delivered_to, delivered_at,"
        " failed_at, last_error FROM alert_outbox ORDER BY delivered_at IS NOT NULL, number DESC LIMIT %s",
        (most,),
    )
    return [Stored(*row) for row in rows]


def last_digest(database: Database) -> datetime | None:
    """Return when the last daily digest was written."""
    return database.rows("SELECT max(created_at) FROM alert_outbox WHERE key LIKE 'digest:day:%'")[0][0]


def backlog(database: Database) -> Backlog:
    """Count the undelivered alerts."""
    [row] = database.rows(
        "SELECT count(*) FILTER (WHERE failed_at IS NULL), min(created_at) FILTER (WHERE failed_at IS NULL),"
        " count(failed_at), (array_agg(last_error ORDER BY number DESC) FILTER (WHERE last_error IS NOT NULL))[1]"
        " FROM alert_outbox WHERE delivered_at IS NULL"
    )
    return Backlog(*row)
