"""Database access for every command, hook and asset.

Belongs here: connections, transactions with time limits, Dagster's share of a database.
Does not: parsing addresses (addresses), any query.
psycopg2 is the only driver, and is imported with the first connection.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR, socket
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from leo_telemetry_pipeline.errors import NO_DATABASE, DatabaseAway, UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import access, addresses, migrations, own_connection
from leo_telemetry_pipeline.store.server.embedded import ROLE, Embedded

if TYPE_CHECKING:
    import psycopg2.extensions

DATABASE = "leo_telemetry"
DAGSTER_DATABASE = "dagster"
URL_VARIABLE = PREFIX + "DATABASE_URL"
# Names of error classes that mean the server is unavailable: the driver's, which SQLAlchemy's wrappers share, and ours.
# Refused or cancelled statements raise other classes.
SERVER_GONE = {
    "OperationalError",
    # Itself, without a code of the server: the connection broke.
    "DatabaseError",
    "InterfaceError",
    "AdminShutdown",
    "CrashShutdown",
    "CannotConnectNow",
    # A node of a cluster.
    "ConnectionFailure",
    "DatabaseAway",
}

# Settings of each transaction, and whether the server is the coordinator of a Citus cluster.
_SETTINGS = """
SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL,
       set_config('statement_timeout', %s, true), set_config('lock_timeout', '20s', true),
       set_config('idle_in_transaction_session_timeout', '20s', true),
       set_config('client_connection_check_interval', '1s', true), set_config('timezone', 'UTC', true),
       -- The driver parses only these styles; a role, a database or PGDATESTYLE may set others.
       set_config('datestyle', 'ISO', true), set_config('intervalstyle', 'postgres', true),
       -- JIT compiles each partition of a plan separately, which takes longer than our statements.
       set_config('jit', 'off', true),
       -- Our sorts fit in it; with the server's default they would spill to disk.
       set_config('work_mem', '32MB', true),
       -- The planner takes a day without statistics, such as one just imported, for small, and would use nested loops.
       set_config('enable_nestloop', 'off', true)
"""
# The same for workers of a cluster. Citus passes on only SET, and with it the whole text: it must see a single one.
_OF_WORKERS = """
SET LOCAL timezone = 'UTC'; SET LOCAL jit = off; SET LOCAL work_mem = '32MB';
SET LOCAL citus.propagate_set_commands = 'local'; SET LOCAL enable_nestloop = off
"""


class Target:
    """A database to connect to; ``dagster_url`` is the address of Dagster's tables.

    ``dagster_shown`` is set if Dagster's tables have an address of their own.
    """

    def __init__(
        self, dsn: str, shown: str, dagster_url: str, embedded: Embedded | None = None, *, dagster_shown: str = ""
    ) -> None:
        self.dsn = dsn
        self.shown = shown
        self.dagster_url = dagster_url
        self.embedded = embedded
        self.dagster_shown = dagster_shown

    def connect(self, *, timeout_s: int = 10) -> "psycopg2.extensions.connection":
        """Open a connection. Raises UserError (exit 3) that names the database, never its password."""
        if self.embedded is not None:
            return _connected_to_own(self.embedded, self.dsn, self.shown, timeout_s)
        return _connected(self.dsn, self.shown, URL_VARIABLE, timeout_s)

    def connect_as_dagster(self) -> "psycopg2.extensions.connection":
        """Open a connection to the database of Dagster's own tables. Raises UserError (exit 3)."""
        if self.embedded is not None:
            return _connected_to_own(self.embedded, f"dbname={DAGSTER_DATABASE}", self.shown, 10)
        dsn = self.dagster_url.replace("postgresql+psycopg2", "postgresql", 1)
        if self.dagster_shown:
            return _connected(dsn, self.dagster_shown, addresses.DAGSTER_URL_VARIABLE, 10)
        return _connected(dsn, self.shown, URL_VARIABLE, 10)


def _connected(dsn: str, shown: str, variable: str, timeout_s: int) -> "psycopg2.extensions.connection":
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        connection = psycopg2.connect(
            dsn, application_name="leo-telemetry", connect_timeout=timeout_s, client_encoding="UTF8"
        )
    except psycopg2.OperationalError as error:
        message = addresses.cannot_connect(shown, variable, str(error), parse_dsn(dsn), os.environ)
        raise DatabaseAway(message) from None
    except psycopg2.Error:
        raise UserError(addresses.not_an_address(variable), NO_DATABASE) from None
    if connection.server_version < 150000:
        connection.close()
        raise UserError(
            f"{shown} is PostgreSQL {connection.server_version // 10000}: 15 or newer is needed", NO_DATABASE
        )
    return connection


def _connected_to_own(server: Embedded, dsn: str, shown: str, timeout_s: int) -> "psycopg2.extensions.connection":
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        return own_connection.connect(server, parse_dsn(dsn)["dbname"], timeout_s=timeout_s)
    except psycopg2.Error as error:
        raise DatabaseAway(addresses.cannot_connect_to_own(shown, str(server.home), str(error))) from None


class Database:
    """One connection to a Target, used by one thread; every statement runs in ``transaction()``."""

    def __init__(self, target: Target, *, read_only: bool = False, timeout_s: int = 10) -> None:
        self.target = target
        self.read_only = read_only
        self.timeout_s = timeout_s
        self._connection: psycopg2.extensions.connection | None = None
        self._shared: psycopg2.extensions.cursor | None = None
        self._closing = Lock()

    @contextmanager
    def transaction(self, *, seconds: float = 300, consistent: bool = False) -> "Iterator[psycopg2.extensions.cursor]":
        """Yield a cursor; commit at the end of the block, roll back if it raises.

        ``seconds`` limits each statement; the transaction of a stopped process is aborted after 20 s. With
        ``consistent`` all statements see one snapshot.
        """
        if self._shared is not None:
            yield self._shared
            return
        if self._connection is None or self._connection.closed:
            self._connection = self.target.connect(timeout_s=self.timeout_s)
        with self._connection, self._connection.cursor() as cursor:
            if self.read_only:
                cursor.execute("SET TRANSACTION READ ONLY")
            if consistent:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                # Lock before the snapshot, so that rows are not moved to another partition meanwhile.
                cursor.execute("LOCK TABLE ONLY workflow_trace_log IN ACCESS SHARE MODE")
            cursor.execute(_SETTINGS, (f"{max(1, int(seconds * 1000))}ms",))
            if cursor.fetchall()[0][0]:
                cursor.execute(_OF_WORKERS)
            yield cursor

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make the transactions of the block one, which saves two round trips for each, and commit at its end."""
        with self.transaction() as cursor:
            self._shared = cursor
            try:
                yield
            finally:
                self._shared = None

    def rows(self, sql: str, parameters: Any = None) -> list[tuple]:
        """Run one query in its own transaction and return its rows."""
        with self.transaction() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def cancel(self) -> None:
        """Cancel the running statement; called from a thread other than the one waiting for it."""
        connection = self._connection
        if connection is not None and not connection.closed:
            connection.cancel()

    def cut(self) -> None:
        """Shut down the socket to a server that does not answer, so that the waiting thread gets an error."""
        import psycopg2

        # Without the lock, the descriptor could be closed and reused meanwhile.
        with self._closing, suppress(OSError, psycopg2.InterfaceError):
            if self._connection is not None and not self._connection.closed:
                with socket(fileno=os.dup(self._connection.fileno())) as connection:
                    connection.shutdown(SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        with self._closing:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


@contextmanager
def opened(settings: Settings) -> Iterator[Target]:
    """Yield the database of the settings; the embedded one is started and kept running during the block."""
    if settings.database_url:
        yield outside(settings.database_url, settings.dagster_schema, settings.dagster_database_url)
        return
    target = _embedded(settings)
    server = target.embedded
    assert server is not None
    try:
        try:
            server.acquire(lambda name: _answers(server, name), DATABASE, lambda: _make_databases(server))
        except OSError as error:
            raise UserError(addresses.unusable_home(server.home, error), NO_DATABASE) from None
        yield target
    finally:
        server.release()


def replace_own(target: Target) -> None:
    """Drop our database of an embedded server, with all that is in it, and create it anew, empty."""
    assert target.embedded is not None
    connection = own_connection.connect(target.embedded, "postgres", forget=True)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    finally:
        connection.close()
    _make_databases(target.embedded)


def running(settings: Settings) -> Target:
    """Return the database of the settings without starting it; the embedded one may be down."""
    if settings.database_url:
        return outside(settings.database_url, settings.dagster_schema, settings.dagster_database_url)
    return _embedded(settings)


@contextmanager
def ready(settings: Settings) -> Iterator[Target]:
    """Yield a database with the newest schema.

    The embedded one is migrated; an outside one is the user's to migrate, so it raises UserError (exit 3).
    """
    with opened(settings) as target:
        connection = target.connect()
        try:
            behind = migrations.version(connection) != migrations.newest()
            if behind and target.embedded is None:
                migrations.require_newest(connection)
        finally:
            connection.close()
        if behind:
            migrations.migrate(target)
        yield target


def outside(url: str, dagster_schema: str, dagster_url: str = "") -> Target:
    """Return the Target of an outside database. Raises UserError for an invalid address.

    ``dagster_url`` is the address of Dagster's tables if it differs, such as a direct one past a pooler.
    """
    from psycopg2.extensions import make_dsn

    parts = addresses.parts_of(url, URL_VARIABLE)
    of_dagster = addresses.parts_of(dagster_url, addresses.DAGSTER_URL_VARIABLE) if dagster_url else parts
    options = f"{of_dagster.get('options', '')} -csearch_path={dagster_schema}".strip()
    return Target(
        make_dsn(**parts),
        addresses.shown(parts),
        addresses.for_sqlalchemy(of_dagster | {"options": options}),
        dagster_shown=addresses.shown(of_dagster) if dagster_url else "",
    )


def prepare_for_dagster(target: Target, dagster_schema: str) -> None:
    """Create the schema of Dagster's own tables in an outside database. Raises UserError (exit 3)."""
    if target.embedded is not None:
        return
    import psycopg2
    from psycopg2 import sql

    shown = target.dagster_shown or target.shown
    connection = target.connect_as_dagster()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('search_path'), EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)",
                (dagster_schema,),
            )
            path, exists = cursor.fetchone() or ("", False)
            if path != dagster_schema:
                # A pooler may ignore connection options, and the tables would be created in another schema.
                raise UserError(addresses.needs_direct_address(shown), NO_DATABASE)
            if not exists:
                cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(dagster_schema)))
                access.close_schema(cursor, dagster_schema)
            if roles := access.open_by_default(cursor, dagster_schema):
                raise UserError(
                    f"{shown} would open Dagster's tables in the schema {dagster_schema} to {', '.join(roles)}: "
                    f"set {PREFIX}DAGSTER_SCHEMA to a schema that they may not use, such as dagster",
                    NO_DATABASE,
                )
    except psycopg2.errors.InsufficientPrivilege:
        raise UserError(
            f"{shown} does not let us create the schema {dagster_schema} for Dagster's tables: "
            f"create it, or set {PREFIX}DAGSTER_SCHEMA to an existing one",
            NO_DATABASE,
        ) from None
    finally:
        connection.close()


def _embedded(settings: Settings) -> Target:
    server = Embedded(settings.home)
    return Target(
        f"{server.dsn} dbname={DATABASE}",
        f"the embedded database in {settings.home}",
        _embedded_dagster_url(server),
        server,
    )


def _embedded_dagster_url(server: Embedded) -> str:
    query = f"host={quote(str(server.sockets), safe='')}&passfile={quote(str(server.password_file), safe='')}"
    return f"postgresql+psycopg2://{ROLE}@/{DAGSTER_DATABASE}?{query}"


# Both functions below run only in processes that start a server, never in a measured program.
def _answers(server: Embedded, name: str) -> bool:
    import psycopg2

    try:
        own_connection.connect(server, name, forget=True).close()
    except psycopg2.OperationalError:
        return False
    return True


def _make_databases(server: Embedded) -> None:
    connection = own_connection.connect(server, "postgres", forget=True)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            existing = {name for (name,) in cursor.fetchall()}
            for name in (DAGSTER_DATABASE, DATABASE):
                if name not in existing:
                    cursor.execute(f"CREATE DATABASE {name}")
    finally:
        connection.close()
