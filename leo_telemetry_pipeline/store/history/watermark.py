"""Commit watermark: no span older than this can still arrive.

Belongs here: the watermark, and the lock of a day. Does not: what is counted, or when.
"""

from collections.abc import Callable
from datetime import date, datetime

import psycopg2.extensions

from leo_telemetry_pipeline.store.server.database import Database

# Called last in a transaction that writes; raises when the caller may no longer write. Called earlier it would hold
# the row of the run for long, which has to beat meanwhile.
Fence = Callable[[psycopg2.extensions.cursor], None]


def watermark(cursor: psycopg2.extensions.cursor, no_later_than: datetime) -> datetime:
    """Return a moment such that no span that is still to be committed has an older created_at.

    A span carries the start of its transaction, so that is the start of the oldest one under way. Those of other
    roles are hidden from whoever lacks pg_read_all_stats: then a day's margin. ``no_later_than`` was read from the
    database's clock in a transaction before, so that none which began by then is still too young to be listed.
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
    """Return what the database's clock says."""
    return database.rows("SELECT now()")[0][0]


def lock(cursor: psycopg2.extensions.cursor, first: date, days: int = 1) -> None:
    """Keep others from counting some days in a row until the transaction ends.

    Two at once would both delete what is there and collide on what they insert. Counting a large day takes longer
    than other locks are waited for.
    """
    cursor.execute("SELECT set_config('lock_timeout', '300s', true)")
    cursor.execute(
        "SELECT pg_advisory_xact_lock(hashtext('duration_histograms'), day)"
        " FROM generate_series(%(first)s, %(first)s + %(days)s - 1) AS day",
        {"first": first.toordinal(), "days": days},
    )
    cursor.execute("SELECT set_config('lock_timeout', '20s', true)")
