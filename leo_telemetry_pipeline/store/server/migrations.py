"""Migrations: bring a database to the newest version, or report that it has another one.

Belongs here: running the revisions in ``migrations/versions``, the operations that they use, reading the version of a
database. Does not: the objects themselves (``migrations/sql``). Alembic is imported only when a migration runs.
"""

import re
from typing import TYPE_CHECKING, Protocol

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import bundled
from leo_telemetry_pipeline.store.server import schema_objects
from leo_telemetry_pipeline.store.server.access import API_ROLES

if TYPE_CHECKING:
    import psycopg2.extensions


class _Target(Protocol):
    def connect(self) -> "psycopg2.extensions.connection": ...


_COMMENT = re.compile(r"^COMMENT ON .*?';\n", re.MULTILINE | re.DOTALL)
_STATEMENT = re.compile(r"(?:\$\$.*?\$\$|'[^']*'|--[^\n]*|[^;])+", re.DOTALL)
_NO_STATEMENT = re.compile(r"--[^\n]*|\s")
_KINDS = {"tables": "TABLE", "functions": "FUNCTION", "views": "VIEW"}


def newest() -> str:
    """Return the version that this code needs: the name of the newest revision's file."""
    return max(path.stem for path in (bundled("migrations") / "versions").glob("[0-9]*.py"))


def version(connection) -> str | None:
    """Return the version of a database, None if it was never migrated."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return None
        cursor.execute("SELECT max(version_num) FROM alembic_version")
        return cursor.fetchone()[0]


def is_unreleased(has: str | None) -> bool:
    """Return whether a version is older than the first release; such versions are four digits without a name."""
    return re.fullmatch(r"\d{4}", has or "") is not None


def require_upgradable(connection) -> None:
    """Raise UserError for a database that ``migrate`` cannot bring to the newest version."""
    has, needs = version(connection), newest()
    if is_unreleased(has):
        raise UserError(
            f"The database is at the unreleased version {has}: run `leo-telemetry migrate --carry-over`, which keeps"
            " all its rows",
            NO_DATABASE,
        )
    if has is not None and has > needs:
        raise UserError(
            f"The database is at version {has}, newer than this program's {needs}: upgrade leo-telemetry-pipeline",
            NO_DATABASE,
        )


def require_newest(connection) -> None:
    """Raise UserError unless the database has the version that this code needs."""
    require_upgradable(connection)
    has, needs = version(connection), newest()
    if has is None:
        raise UserError("The database has none of our tables yet: run `leo-telemetry migrate`", NO_DATABASE)
    if has != needs:
        raise UserError(
            f"The database is at version {has} and this program needs {needs}: run `leo-telemetry migrate`",
            NO_DATABASE,
        )


def migrate(target: _Target, to: str = "head", *, carry_over: bool = False) -> None:
    """Upgrade a database (with ``base``, downgrade it) in one transaction. Raises UserError if that is impossible.

    ``carry_over`` also accepts a database of an unreleased version, which is refused otherwise.
    """
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")).replace("%", "%%"))
    engine = sa.create_engine("postgresql+psycopg2://", creator=target.connect, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        config.attributes |= {"connection": connection, "carry_over": carry_over}
        (command.downgrade if to != "head" else command.upgrade)(config, to)
        connection.commit()


def apply(*names: str) -> None:
    """Create or replace whole objects from their files, such as ``functions/reap_telemetry_runs``.

    A new object is closed to roles that are not granted it by name; a replaced one keeps its grants.
    """
    # Functions are created with `SET search_path FROM CURRENT`: they see this schema only.
    run_sql("SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)")
    for name in names:
        is_new = not exists(name)
        run_sql(schema_objects.text(name))
        if is_new:
            close(name)


def describe(*names: str) -> None:
    """Set the comments on existing tables and their columns to those in their files."""
    for name in names:
        run_sql("".join(_COMMENT.findall(schema_objects.text(name))))


def drop(*names: str) -> None:
    """Drop objects by the names of their files. Fails if an object that is not ours depends on one."""
    for name in names:
        kind, _, own_name = name.partition("/")
        run_sql(f"DROP {_KINDS[kind]} {own_name}")


def close(name: str) -> None:
    """Close an object to roles that are not granted it by name; ``apply`` does so for the objects that it creates."""
    kind, _, own_name = name.partition("/")
    if kind == "tables":
        run_sql(f"SELECT telemetry_close_table('{own_name}')")
    else:
        on = f"FUNCTION {own_name}" if kind == "functions" else own_name
        run_sql(f"REVOKE ALL ON {on} FROM {_strangers()} CASCADE")


def run_sql(sql: str) -> None:
    """Execute several statements verbatim; nothing in them is a placeholder."""
    from alembic import op

    # Without parameters, the driver's own cursor interprets neither :name nor %s.
    cursor = op.get_bind().connection.cursor()
    # One at a time: for a distributed table, Citus sends to the workers all that it was sent.
    for statement in _STATEMENT.findall(sql):
        if _NO_STATEMENT.sub("", statement):
            cursor.execute(statement)


def rows(sql: str, parameters: tuple = ()) -> list[tuple]:
    """Return the rows of a query."""
    from alembic import op

    return [tuple(row) for row in op.get_bind().exec_driver_sql(sql, parameters or None)]


def exists(name: str) -> bool:
    """Return whether an object exists, by the name of its file."""
    kind, _, own_name = name.partition("/")
    look_up = "to_regproc" if kind == "functions" else "to_regclass"
    [(exists,)] = rows(f"SELECT {look_up}(%s) IS NOT NULL", (own_name,))
    return exists


def _strangers() -> str:
    """Return PUBLIC and the existing API roles, as a list for REVOKE."""
    [(roles,)] = rows(
        "SELECT concat_ws(', ', 'PUBLIC', string_agg(quote_ident(r.rolname), ', '))"
        " FROM pg_roles AS r WHERE r.rolname = ANY(%s)",
        (list(API_ROLES),),
    )
    return roles
