"""Where the data lies and how to talk to it: one way for every command, hook and asset.

Belongs here: addresses, connections, transactions with their time limits, errors a person can act on.
Does not: any query. psycopg2 is the only driver, and is imported with the first connection.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR, socket
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import migrations
from leo_telemetry_pipeline.store.embedded import ROLE, Embedded

if TYPE_CHECKING:
    import psycopg2.extensions

DATABASE = "leo_telemetry"
DAGSTER_DATABASE = "dagster"
URL_VARIABLE = PREFIX + "DATABASE_URL"


class Target:
    """A database that answers: ``connect()`` opens a connection to it, ``dagster_url`` is Dagster's share."""

    def __init__(self, dsn: str, shown: str, dagster_url: str, embedded: Embedded | None = None) -> None:
        self.dsn = dsn
        self.shown = shown
        self.dagster_url = dagster_url
        self.embedded = embedded

    def connect(self, *, timeout_s: int = 10) -> "psycopg2.extensions.connection":
        """Open a connection. Raises UserError (exit 3) that names the database, never its password."""
        import psycopg2

        try:
            connection = psycopg2.connect(self.dsn, application_name="leo-telemetry", connect_timeout=timeout_s)
        except psycopg2.OperationalError as error:
            raise UserError(_cannot_connect(self.shown, str(error)), NO_DATABASE) from None
        except psycopg2.Error:
            raise UserError(f"{URL_VARIABLE} is no PostgreSQL address: {_EXAMPLE}", NO_DATABASE) from None
        if connection.server_version < 150000:
            connection.close()
            raise UserError(
                f"{self.shown} is PostgreSQL {connection.server_version // 10000}: 15 or newer is needed",
                NO_DATABASE,
            )
        return connection


_EXAMPLE = "it looks like postgresql://user:password@host:5432/database"


class Database:
    """One connection to a Target, used by one thread; every statement runs in ``transaction()``."""

    def __init__(self, target: Target, *, read_only: bool = False, timeout_s: int = 10) -> None:
        self.target = target
        self.read_only = read_only
        self.timeout_s = timeout_s
        self._connection: psycopg2.extensions.connection | None = None
        self._closing = Lock()

    @contextmanager
    def transaction(self, *, seconds: float = 300) -> "Iterator[psycopg2.extensions.cursor]":
        """Yield a cursor whose statements commit together, or not at all when the block raises.

        ``seconds`` limits each statement; a stopped process loses its transaction after a third of a minute.
        """
        if self._connection is None or self._connection.closed:
            self._connection = self.target.connect(timeout_s=self.timeout_s)
        with self._connection, self._connection.cursor() as cursor:
            if self.read_only:
                cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', '20s', true),"
                " set_config('idle_in_transaction_session_timeout', '20s', true),"
                " set_config('client_connection_check_interval', '1s', true), set_config('timezone', 'UTC', true)",
                (f"{max(1, int(seconds * 1000))}ms",),
            )
            yield cursor

    def rows(self, sql: str, parameters: Any = None) -> list[tuple]:
        """Run one query in a transaction of its own and return its rows."""
        with self.transaction() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def cancel(self) -> None:
        """Cancel the statement under way; for another thread than the one that waits for it."""
        connection = self._connection
        if connection is not None and not connection.closed:
            connection.cancel()

    def cut(self) -> None:
        """Cut the line to a server that does not answer, so that whoever waits for it goes on with an error."""
        import psycopg2

        # Closed meanwhile, its number could be that of another file.
        with self._closing, suppress(OSError, psycopg2.InterfaceError):
            if self._connection is not None and not self._connection.closed:
                with socket(fileno=os.dup(self._connection.fileno())) as line:
                    line.shutdown(SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back; the next transaction opens another."""
        with self._closing:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


@contextmanager
def opened(settings: Settings) -> Iterator[Target]:
    """Yield the database that the settings name, started for as long as the block lasts if it is embedded."""
    if settings.database_url:
        yield outside(settings.database_url, settings.dagster_schema)
        return
    target = _embedded(settings)
    server = target.embedded
    assert server is not None
    try:
        server.acquire(lambda name: _answers(server, name), DATABASE, lambda: _make_databases(server))
        yield target
    finally:
        server.release()


def running(settings: Settings) -> Target:
    """Return the database that the settings name, without starting it; the embedded one may be down."""
    if settings.database_url:
        return outside(settings.database_url, settings.dagster_schema)
    return _embedded(settings)


@contextmanager
def ready(settings: Settings) -> Iterator[Target]:
    """Yield a database that has the newest tables.

    The embedded one is brought there; an outside one is somebody's, so it is only asked for: UserError (exit 3).
    """
    with opened(settings) as target:
        connection = target.connect()
        try:
            has, needs = migrations.version(connection), migrations.newest()
            behind = has != needs
            if behind and (target.embedded is None or (has or "") > needs):
                migrations.require_newest(connection)
        finally:
            connection.close()
        if behind:
            migrations.migrate(target)
        yield target


def outside(url: str, dagster_schema: str) -> Target:
    """Return the Target of an outside database, Supabase included. Raises UserError for what is no address."""
    import psycopg2
    from psycopg2.extensions import make_dsn, parse_dsn

    scheme, found, rest = url.partition("://")
    try:
        # libpq's own reading: another one would cut a password elsewhere, and print the rest of it.
        parts = parse_dsn(f"postgresql://{rest}")
    except psycopg2.ProgrammingError:
        parts = {}
    if not found or scheme not in ("postgresql", "postgres", "postgresql+psycopg2") or not parts.get("host"):
        raise UserError(f"{URL_VARIABLE} is no PostgreSQL address: {_EXAMPLE}", NO_DATABASE)
    if "@" in parts["host"]:
        raise UserError(
            f"{URL_VARIABLE} has more than one @: write one that belongs to the password as %40", NO_DATABASE
        )
    port = f":{parts['port']}" if "port" in parts else ""
    shown = f"postgresql://{parts.get('user', '')}@{parts['host']}{port}/{parts.get('dbname', '')}"
    options = f"{parts.get('options', '')} -csearch_path={dagster_schema}".strip()
    # SQLAlchemy hands what follows the question mark to libpq as it is.
    query = urlencode({name: value for name, value in (parts | {"options": options}).items() if name != "dbname"})
    dagster_url = f"postgresql+psycopg2:///{quote(parts.get('dbname', ''), safe='')}?{query}"
    return Target(make_dsn(**parts), shown, dagster_url)


def prepare_for_dagster(target: Target, dagster_schema: str) -> None:
    """Make the schema that holds Dagster's own tables in an outside database."""
    if target.embedded is not None:
        return
    import psycopg2
    from psycopg2 import sql

    connection = target.connect()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (dagster_schema,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(dagster_schema)))
    except psycopg2.errors.InsufficientPrivilege:
        raise UserError(
            f"{target.shown} does not let us create the schema {dagster_schema} for Dagster's tables: "
            f"create it, or name one in {PREFIX}DAGSTER_SCHEMA",
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


def _answers(server: Embedded, name: str) -> bool:
    import psycopg2

    try:
        psycopg2.connect(f"{server.dsn} dbname={name} connect_timeout=10").close()
    except psycopg2.OperationalError:
        return False
    return True


def _make_databases(server: Embedded) -> None:
    import psycopg2

    connection = psycopg2.connect(f"{server.dsn} dbname=postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            there = {name for (name,) in cursor.fetchall()}
            for name in (DAGSTER_DATABASE, DATABASE):
                if name not in there:
                    cursor.execute(f"CREATE DATABASE {name}")
    finally:
        connection.close()


def _cannot_connect(shown: str, said: str) -> str:
    reason = said.strip().splitlines()[0] if said.strip() else "no answer"
    if "password authentication failed" in said or "no password supplied" in said:
        return f"{shown} refuses the user or the password: check them in {URL_VARIABLE}"
    if "does not exist" in said and "database" in said:
        return f"{shown} does not exist: create it, or correct {URL_VARIABLE}"
    return f"{shown} does not answer ({reason.split('failed: ')[-1]}): is it running, and is {URL_VARIABLE} right?"
