"""pytest plugin: run the integration tests with the roles of docs/deployment.md and forced row-level security.

    python -m pytest -p leo_telemetry_pipeline_tests.as_roles --direct leo_telemetry_pipeline_tests/integration

Tests connect as an owner who is not a superuser and is subject to row-level security; the writer stores spans, and the
reader runs queries. Only on PostgreSQL 15, because rights do not depend on the server.
Belongs here: which role does what. Does not: expectations; tests that these roles cannot run are listed.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest

from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server import migrations, schema_objects
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests import builders, roles, servers
from leo_telemetry_pipeline_tests.servers import DEBIAN, Server, Servers

OWNER, WRITER, READER = "suite_owner", "suite_writer", "suite_reader"
_ROLES = f"""
CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD 'pw';
CREATE ROLE {WRITER} LOGIN PASSWORD 'pw';
CREATE ROLE {READER} LOGIN PASSWORD 'pw';
GRANT pg_read_all_stats, pg_signal_backend, {WRITER}, {READER} TO {OWNER};
"""
# Which attributes are stored and which name conflicts are reported depends on what a writer may read.
_MORE = f"GRANT SELECT ON workflow_trace_log TO {WRITER}"
_FORCED = """
DO $$
DECLARE
    name regclass;
BEGIN
    FOR name IN SELECT polrelid FROM pg_policy WHERE polname = 'telemetry_granted' LOOP
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name);
    END LOOP;
    EXECUTE replace(pg_get_functiondef('telemetry_close_table'::regproc),
        'ENABLE ROW LEVEL SECURITY', 'ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY');
END $$
"""
_CALLS = re.compile("|".join((*schema_objects.names("functions"), "pg_", "set_config")))
_READS = re.compile(r"\s*(?:--[^\n]*\s*)*(?:SELECT|WITH)\b", re.IGNORECASE)
# Roles, and other objects that only a superuser may create.
_SUPERUSERS = re.compile(r"\b(?:(?:CREATE|DROP|ALTER) ROLE|DROP OWNED|CREATE EVENT TRIGGER)\b")


def pytest_configure() -> None:
    """Install the roles before tests are collected, because tests import the replaced functions by name."""
    real_get, real_url, real_direct = Servers.get, Server.url, Server.direct_url
    ready: set[str] = set()

    def get(self: Servers, name: str) -> Server:
        server = real_get(self, name)
        if server.direct not in ready:
            ready.add(server.direct)
            for statement in filter(str.strip, _ROLES.split(";")):
                server.administer(statement)
        return server

    def administer(self: Server, statement: str) -> None:
        if statement.startswith("CREATE DATABASE") and " OWNER " not in statement:
            statement = f"{statement} OWNER {OWNER}"
        _as_superuser(real_direct(self, "postgres"), statement)

    def url(self: Server, database: str) -> str:
        return real_url(self, database) if database == "postgres" else servers.as_role(real_url(self, database), OWNER)

    def direct_url(self: Server, database: str) -> str:
        address = real_direct(self, database)
        return address if database == "postgres" else servers.as_role(address, OWNER)

    Servers.get, Server.administer = get, administer
    Server.url, Server.direct_url = url, direct_url
    _change_database()
    _change_migrations()
    _change_builders()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one server, except those that create all roles or compare the whole schema."""
    left_out = ("test_closed", "test_schema", "test_carry_over")
    items[:] = [
        item for item in items if f"[{DEBIAN}" in item.name and not any(name in item.nodeid for name in left_out)
    ]


def _as_superuser(dsn: str, statement: str, parameters: Any = None) -> int:
    with closing(psycopg2.connect(dsn, user=servers.ROLE)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.rowcount


def _change_database() -> None:
    real_transaction, real_rows = Database.transaction, Database.rows
    acting: dict[int, str] = {}

    @contextmanager
    def transaction(self: Database, **more: Any) -> Iterator[psycopg2.extensions.cursor]:
        with real_transaction(self, **more) as cursor:
            if role := acting.get(id(self)):
                cursor.execute(f"SET LOCAL ROLE {role}")
            yield cursor

    @contextmanager
    def acts_as(database: Database, role: str) -> Iterator[None]:
        if id(database) in acting or OWNER not in database.target.dsn:
            yield
            return
        acting[id(database)] = role
        try:
            yield
        finally:
            del acting[id(database)]

    def rows(self: Database, sql: str, parameters: Any = None) -> list[tuple]:
        with acts_as(self, READER if _READS.match(sql) and not _CALLS.search(sql) else OWNER):
            return real_rows(self, sql, parameters)

    def by_writer(real: Callable) -> Callable:
        @wraps(real)
        def call(database: Database, *arguments: Any, **more: Any) -> Any:
            with acts_as(database, WRITER):
                return real(database, *arguments, **more)

        return call

    Database.transaction, Database.rows = transaction, rows
    for name in ("store", "insert", "quarantine"):
        setattr(spans, name, by_writer(getattr(spans, name)))


def _change_migrations() -> None:
    real = migrations.migrate

    def migrate(target: Target, to: str = "head", **more: Any) -> None:
        real(target, to, **more)
        if to == "head" and OWNER in target.dsn:
            granted = "".join(roles.blocks()[1:]).replace("leo_writer", WRITER).replace("leo_reader", READER)
            with closing(target.connect()) as connection, connection, connection.cursor() as cursor:
                cursor.execute(_FORCED)
                cursor.execute(re.sub(r"GRANT [^;]* TO leo_enqueuer;", "", granted) + _MORE)

    migrations.migrate = migrate


def _change_builders() -> None:
    real = builders.execute

    def execute(db: Database, sql: str, parameters: Any = None) -> int:
        if _SUPERUSERS.search(sql):
            # Before PostgreSQL 16, the creator of a role is not a member of it and may not act as it.
            granted = "".join(f"; GRANT {name} TO {OWNER}" for name in re.findall(r"CREATE ROLE (\w+)", sql))
            return _as_superuser(db.target.dsn, sql.rstrip().rstrip(";") + granted, parameters)
        return real(db, sql, parameters)

    builders.execute = execute
