"""Commit watermark: no span older than this can still arrive.

Belongs here: the watermark, and the locks of days. Does not: counting (histograms).
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime

import psycopg2.extensions

from leo_telemetry_pipeline.store.server import distributed
from leo_telemetry_pipeline.store.server.database import Database

# Fence of a run: raises if the caller may no longer write. Called last in a transaction, since it locks the row of
# the run, which heartbeats update.
Fence = Callable[[psycopg2.extensions.cursor], None]


def watermark(cursor: psycopg2.extensions.cursor, no_later_than: datetime) -> datetime:
    """Return the watermark: every span that is not yet committed has this created_at or a later one.

    created_at is the start of a transaction, so this is the start of the oldest open one, or a day ago if the role
    lacks pg_read_all_stats and cannot see all. ``no_later_than`` is the database's time from an earlier transaction,
    so that every transaction that began before it is listed.
    """
    cursor.execute(
        """
        SELECT least(%s, min(xact_start), CASE WHEN bool_or(backend_type IS NULL) THEN now() - interval '1 day' END)
        FROM pg_stat_activity WHERE datname = current_database()
        """,
        (no_later_than,),
    )
    [moment] = cursor.fetchone() or (no_later_than,)
    return moment


def now(database: Database) -> datetime:
    """Return the database's time, from a transaction after which all older spans that are committed can be seen."""
    with database.transaction() as cursor:
        distributed.recover(cursor)
        cursor.execute("SELECT now()")
        [(moment,)] = cursor.fetchall()
    return moment


def lock(cursor: psycopg2.extensions.cursor, days: Iterable[date]) -> None:
    """Prevent others from counting some days until the transaction ends.

    Concurrent counts would each delete the old rows, then conflict on the new ones. The lock timeout is long, since
    counting a large day takes long.
    """
    cursor.execute("SELECT set_config('lock_timeout', '300s', true)")
    # Sorted, so that transactions that lock the same days cannot deadlock.
    cursor.execute(
        "SELECT pg_advisory_xact_lock(hashtext('duration_histograms'), day) FROM unnest(%s) AS day",
        (sorted(day.toordinal() for day in days),),
    )
    cursor.execute("SELECT set_config('lock_timeout', '20s', true)")
