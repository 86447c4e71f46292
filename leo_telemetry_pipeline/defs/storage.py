"""Dagster's storage in PostgreSQL: creates its tables atomically, shares a connection pool.

Belongs here: the class that ``dagster.yaml`` loads. Does not: the database's address (store.server.dagster_home).
"""

import os
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorageMetadata
from dagster._core.storage.runs import RunStorageSqlMetadata
from dagster._core.storage.schedules import ScheduleStorageSqlMetadata
from dagster._core.storage.sql import check_alembic_revision, stamp_alembic_rev
from dagster._serdes import ConfigurableClassData
from dagster_postgres import run_storage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_connection, pg_alembic_config

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store.server import own_connection
from leo_telemetry_pipeline.store.server.dagster_home import TABLES_MADE, URL, tables_version

_METADATA = (RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata)
# Advisory lock of the session that completes the tables: an arbitrary number.
_LOCK = 7_365_120_611


class _RunStorage(PostgresRunStorage):
    """Run storage that, when disposed with its instance, closes the connections that all storages share."""

    def dispose(self) -> None:
        """Close all pooled connections."""
        self._engine.dispose()


class _EventLogStorage(PostgresEventLogStorage):
    """Event log storage that caches which tables and columns exist, which Dagster checks for most events."""

    def __init__(self, url: str) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self._there: set[str] = set()

    def has_table(self, table_name: str) -> bool:
        """Return whether a table exists."""
        look = super().has_table
        return self._is_there(table_name, lambda: look(table_name))

    def _has_asset_key_col_on_connection(self, conn: sa.Connection, column_name: str) -> bool:
        look = super()._has_asset_key_col_on_connection
        return self._is_there(f"asset_keys.{column_name}", lambda: look(conn, column_name))

    def _is_there(self, name: str, look: Callable[[], bool]) -> bool:
        if name not in self._there and look():
            self._there.add(name)
        return name in self._there


class Storage(DagsterPostgresStorage):
    """Dagster storage in PostgreSQL, at the address that the environment names."""

    def __init__(self, url: str, inst_data: ConfigurableClassData | None = None) -> None:
        # Dagster creates tables one by one, and after an interruption never creates the missing ones.
        super().__init__(url, should_autocreate_tables=False, inst_data=inst_data)
        self._run_storage = _RunStorage(url, should_autocreate_tables=False)
        self._event_log_storage = _EventLogStorage(url)
        # Dagster opens a connection per event, and a run has hundreds of events.
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=-1, pool_pre_ping=True)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine
        self._complete(url)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Accept no configuration from the file, where a password does not belong."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "Storage":  # noqa: ARG003
        """Create the storage. Exits with one line instead of Dagster's traceback if the address is not valid."""
        url = os.environ.get(URL)
        if not url:
            raise SystemExit('Run eval "$(leo-telemetry env)" first: it names the database and Dagster\'s home.')
        try:
            address = own_connection.for_sqlalchemy(url, URL)
        except UserError as error:
            raise SystemExit(error.message) from None
        return cls(address, inst_data=inst_data)

    def _complete(self, url: str) -> None:
        """Create missing tables, even if an earlier start was killed while creating them."""
        if self._is_complete():
            return
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with create_pg_connection(engine) as alone:
            # A session lock is released if this process is killed.
            alone.execute(sa.text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK})
            alone.commit()
            if self._is_complete():
                return
            with alone.begin():
                _make_tables(alone)
            # Dagster's data migrations. Each records that it is done.
            self._run_storage.migrate()
            self._run_storage.optimize()
            self._event_log_storage.reindex_events()
            self._event_log_storage.reindex_assets()
            self._schedule_storage.migrate()
            self._schedule_storage.optimize()
            self._run_storage.set_cursor_values({TABLES_MADE: tables_version()})

    def _is_complete(self) -> bool:
        with self._run_storage.connect() as connection:
            if connection.execute(sa.text("SELECT to_regclass('kvs') IS NULL")).scalar():
                return False
        return self._run_storage.get_cursor_values({TABLES_MADE}).get(TABLES_MADE) == tables_version()


def make_tables(url: str) -> None:
    """Create Dagster's tables at an address unless they are complete. Raises UserError for an invalid address."""
    Storage(own_connection.for_sqlalchemy(url, URL)).run_storage.dispose()


def _make_tables(connection: sa.Connection) -> None:
    """Create missing tables and indexes within a transaction; leave those of another Dagster version alone."""
    config = pg_alembic_config(run_storage.__file__)
    has, newest = check_alembic_revision(config, connection)
    if has not in (None, newest):
        return
    for metadata in _METADATA:
        metadata.create_all(connection)
        for table in metadata.tables.values():
            for index in table.indexes:
                index.create(connection, checkfirst=True)
    if has is None:
        stamp_alembic_rev(config, connection)
