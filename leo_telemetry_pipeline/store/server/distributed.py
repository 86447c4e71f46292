"""Distribution of the span table on a Citus cluster, by trace; all other tables stay local.

Belongs here: distributing the table, and reporting why it failed; grants on its columns. Does not: managing the
cluster's nodes and shards.
"""

from dataclasses import dataclass

import psycopg2
import psycopg2.extensions

from leo_telemetry_pipeline.errors import NO_DATABASE, NOT_SUCCEEDED, UserError
from leo_telemetry_pipeline.store.server.database import Database

SPANS = "workflow_trace_log"
# Each day's partition has all shards, and a statement visits all shards of its days, so Citus' own default of 32 would
# be slow. Used unless citus.shard_count is set.
SHARDS_PER_NODE = 4
_IS_DISTRIBUTED = "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = %s::regclass"
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
            cursor.execute(_IS_DISTRIBUTED, (SPANS,))
            now = not _one(cursor)
            if now:
                cursor.execute("SELECT source <> 'default' FROM pg_settings WHERE name = 'citus.shard_count'")
                if not _one(cursor):
                    cursor.execute("SET LOCAL citus.shard_count = %s", (SHARDS_PER_NODE * max(1, _nodes(cursor)),))
                cursor.execute("SELECT create_distributed_table(%s, 'trace_id')", (SPANS,))
            return Distributed(now, _nodes(cursor))
    except psycopg2.Error as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{shown} could not distribute {SPANS} ({reason}); nothing was changed", NO_DATABASE) from None


# Partitions are reached through the table, so its own shards suffice. A role has one GRANT per privilege.
_COLUMN_GRANTS = """
SELECT format('GRANT %%s (%%s) ON %%%%s TO %%s', g.privilege_type,
              string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), coalesce(quote_ident(r.rolname), 'PUBLIC'))
FROM pg_attribute AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS g LEFT JOIN pg_roles AS r ON r.oid = g.grantee
WHERE a.attrelid = %s::regclass
GROUP BY g.privilege_type, r.rolname
ORDER BY 1
"""


def pass_on_column_grants(database: Database) -> None:
    """Repeat on the shards what is granted on columns of the span table, if it is distributed.

    Citus 13 does this neither for a GRANT nor when it distributes a table or moves a shard. Raises UserError if a node
    refuses.
    """
    with database.transaction() as cursor:
        if not is_distributed(cursor):
            return
        cursor.execute(_COLUMN_GRANTS, (SPANS,))
        for (grant,) in cursor.fetchall():
            cursor.execute("SELECT result FROM run_command_on_shards(%s, %s) WHERE NOT success LIMIT 1", (SPANS, grant))
            for (reason,) in cursor.fetchall():
                raise UserError(f"{grant.replace('%s', SPANS)} failed on a shard: {reason}", NOT_SUCCEEDED)


def is_distributed(cursor: psycopg2.extensions.cursor) -> bool:
    """Return whether the span table is distributed."""
    cursor.execute("SELECT to_regclass('pg_dist_partition') IS NOT NULL")
    if not _one(cursor):
        return False
    cursor.execute(_IS_DISTRIBUTED, (SPANS,))
    return bool(_one(cursor))


def join(cursor: psycopg2.extensions.cursor, table: str) -> None:
    """Distribute a new partition like the span table, if that is distributed, so that rows move only within nodes."""
    if is_distributed(cursor):
        cursor.execute("SELECT create_distributed_table(%s, 'trace_id', colocate_with => %s)", (table, SPANS))


def size_function(cursor: psycopg2.extensions.cursor) -> str:
    """Return the name of the SQL function for the size of a partition with its indexes."""
    return "citus_total_relation_size" if is_distributed(cursor) else "pg_total_relation_size"


def recover(cursor: psycopg2.extensions.cursor) -> None:
    """On a cluster, finish commits that a worker missed while it was away, so that their spans can be seen.

    Citus does so once a minute; a role without the right to do it relies on that.
    """
    cursor.execute(
        "SELECT count(*) FROM pg_proc WHERE oid = to_regproc('pg_catalog.recover_prepared_transactions')"
        " AND has_function_privilege(oid, 'EXECUTE')"
    )
    if _one(cursor):
        cursor.execute("SELECT recover_prepared_transactions()")


def _nodes(cursor: psycopg2.extensions.cursor) -> int:
    cursor.execute("SELECT count(*) FROM pg_dist_node WHERE isactive AND shouldhaveshards")
    return _one(cursor)


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
