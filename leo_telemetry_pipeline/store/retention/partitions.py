"""Partitions of the span table: one per UTC day, and a default partition for all other days.

Belongs here: which days have one, moving spans out of the default partition, dropping a day.
Does not: when a day may be dropped (rules), partitions that writers need (``ensure_trace_partitions``).
"""

import re
from datetime import date, datetime

import psycopg2.extensions

from leo_telemetry_pipeline.store.days import DAY, whole
from leo_telemetry_pipeline.store.server import distributed
from leo_telemetry_pipeline.store.server.database import Database

TABLE = "workflow_trace_log"
DEFAULT = f"{TABLE}_default"
DAYS_AHEAD = 3
PATIENCE_S = 5

_OF_A_DAY = "start_time_ms >= %(from_ms)s AND start_time_ms < %(to_ms)s"
_ATTACHED = (
    "SELECT c.relname, {size}(c.oid) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
    f" WHERE i.inhparent = '{TABLE}'::regclass"
)
# Columns of the table itself, including those added by its users.
_COLUMN_LIST = (
    "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
    f" WHERE attrelid = '{TABLE}'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
)


class Busy(Exception):
    """Another maintenance run is at this step."""


def name_of(day: date) -> str:
    """Return the name of a day's partition."""
    return f"{TABLE}_{day:%Y%m%d}"


def in_range(today: date, keep_days: int) -> list[date]:
    """Return the days with a partition of their own: from the retention limit to three days ahead."""
    return [today + n * DAY for n in range(-keep_days, DAYS_AHEAD + 1)]


def attached(database: Database) -> dict[date, int]:
    """Return the size of each day's partition in bytes, including indexes."""
    sizes = {}
    with database.transaction() as cursor:
        cursor.execute(_ATTACHED.format(size=distributed.size_function(cursor)))
        rows = cursor.fetchall()
    for name, size in rows:
        if digits := re.fullmatch(TABLE + r"_(\d{8})", name):
            sizes[datetime.strptime(digits[1], "%Y%m%d").date()] = size  # noqa: DTZ007  # a day has no time zone
    return sizes


def in_default(database: Database, first: date, last: date) -> dict[date, int]:
    """Return the number of spans in the default partition per day from ``first`` to ``last``."""
    rows = database.rows(
        f"SELECT start_time_ms / 86400000, count(*) FROM {DEFAULT} WHERE {_OF_A_DAY} GROUP BY 1 ORDER BY 1",
        {"from_ms": whole(first).parameters()["from_ms"], "to_ms": whole(last).parameters()["to_ms"]},
    )
    return {date(1970, 1, 1) + number * DAY: spans for number, spans in rows}


def make(database: Database, first: date, last: date) -> int:
    """Create the missing partitions from ``first`` to ``last``, and return how many."""
    return database.rows("SELECT ensure_trace_partitions(%s, %s)", (first, last))[0][0]


def move(database: Database, day: date) -> int:
    """Move a day's spans from the default partition to a new one, and return how many.

    They keep their ``created_at``. Writers wait meanwhile, readers only for the last step. Raises Busy.
    """
    with database.transaction() as cursor:
        hold(cursor, "move", day)
        cursor.execute(f"SELECT count(*) FROM {DEFAULT} WHERE {_OF_A_DAY}", whole(day).parameters())
        if cursor.fetchone() == (0,):
            return 0
        name, window = name_of(day), whole(day).parameters()
        cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL)")
        cursor.execute("SELECT telemetry_close_table(%s)", (name,))
        distributed.join(cursor, name)
        cursor.execute(_COLUMN_LIST)
        [(columns,)] = cursor.fetchall()
        cursor.execute(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {DEFAULT} WHERE {_OF_A_DAY}", window)
        moved = cursor.rowcount
        cursor.execute(f"DELETE FROM {DEFAULT} WHERE {_OF_A_DAY}", window)
        # A query planned without the new partition would not find the moved spans.
        cursor.execute(f"LOCK TABLE ONLY {TABLE} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM (%(from_ms)s) TO (%(to_ms)s)", window
        )
    return moved


def drop(cursor: psycopg2.extensions.cursor, day: date) -> int:
    """Drop a day's partition, or delete its spans from the default one; return the freed bytes.

    The caller holds off writers in the same transaction. Raises Busy if another maintenance run has dropped it.
    """
    attached_as = _ATTACHED.format(size=distributed.size_function(cursor))
    cursor.execute(f"{attached_as} AND c.relname = %s", (name_of(day),))
    partition = cursor.fetchone()
    if partition is None:
        # Deleting rows frees space only for other spans, so it counts as 0.
        cursor.execute(f"DELETE FROM {TABLE} WHERE {_OF_A_DAY}", whole(day).parameters())
        if not cursor.rowcount:
            raise Busy
        return 0
    cursor.execute(f"DROP TABLE {name_of(day)}")
    return partition[1]


def hold(cursor: psycopg2.extensions.cursor, step: str, day: date) -> None:
    """Block writers of spans until the transaction ends, without waiting long for those that are writing.

    Raises Busy if another maintenance run is at the same step of the day, and psycopg2.errors.LockNotAvailable.
    """
    take(cursor, step, day)
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{PATIENCE_S}s",))
    # Lock the table before its partitions, like everyone else, to avoid a deadlock.
    cursor.execute(f"LOCK TABLE ONLY {TABLE} IN SHARE ROW EXCLUSIVE MODE")


def take(cursor: psycopg2.extensions.cursor, step: str, day: date) -> None:
    """Lock a step of a day against other maintenance runs until the transaction ends. Raises Busy."""
    cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s), %s)", (f"maintain {step}", day.toordinal()))
    if cursor.fetchone() != (True,):
        raise Busy
