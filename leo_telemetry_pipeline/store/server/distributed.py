"""Distribution of the span table on a Citus cluster, by trace; all other tables stay local.

Belongs here: distributing the table, and reporting why it failed. Does not: managing the cluster's nodes and shards.
"""

from dataclasses import dataclass

import psycopg2
import psycopg2.extensions

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.store.server.database import Database

SPANS = "workflow_trace_log"
# Existing spans are copied to the workers in one transaction.
_LONGEST_S = 86_400


@dataclass(frozen=True)
class Distributed:
    """Result: whether the table was distributed just now, and the number of nodes with shards."""

    now: bool
    nodes: int


def distribute(database: Database) -> Distributed:
    """Distribute the span table by trace, unless it is distributed already, in one transaction.

    Raises UserError (exit 3) if the server has no Citus, or does not allow it.
    """
    shown = database.target.shown
    if database.target.embedded is not None:
        raise UserError(
            f"{shown} runs on one machine: set LEO_TELEMETRY_DATABASE_URL to the coordinator of a Citus cluster",
            NO_DATABASE,
        )
    try:
        with database.transaction(seconds=_LONGEST_S) as cursor:
            _require_citus(cursor, shown)
            cursor.execute("SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = %s::regclass", (SPANS,))
            now = not _one(cursor)
            if now:
                cursor.execute("SELECT create_distributed_table(%s, 'trace_id')", (SPANS,))
            cursor.execute("SELECT count(*) FROM pg_dist_node WHERE isactive AND shouldhaveshards")
            return Distributed(now, _one(cursor))
    except psycopg2.Error as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{shown} could not distribute {SPANS} ({reason}); nothing was changed", NO_DATABASE) from None


def _require_citus(cursor: psycopg2.extensions.cursor, shown: str) -> None:
    cursor.execute("SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'citus'")
    row = cursor.fetchone()
    if row is None:
        raise UserError(
            f"{shown} has no Citus: install the extension and add it to shared_preload_libraries, "
            "or leave out --distributed",
            NO_DATABASE,
        )
    if not row[0]:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS citus")


def _one(cursor: psycopg2.extensions.cursor) -> int:
    return (cursor.fetchone() or (0,))[0]
