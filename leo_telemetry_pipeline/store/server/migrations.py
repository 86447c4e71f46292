"""Bring a database to the newest version, and say when it is not.

Belongs here: what runs the files in ``migrations/``, and the question which version a database has.
Does not: the tables themselves. Alembic is imported only when there is something to do.
"""

from typing import TYPE_CHECKING, Protocol

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import bundled
from leo_telemetry_pipeline.store.server.access import API_ROLES

if TYPE_CHECKING:
    import psycopg2.extensions


class _Target(Protocol):
    def connect(self) -> "psycopg2.extensions.connection": ...


def newest() -> str:
    """Return the version that this code needs."""
    return max(path.name[:4] for path in (bundled("migrations") / "versions").glob("[0-9]*.py"))


def version(connection) -> str | None:
    """Return the version a database has, or None when it was never migrated."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return None
        cursor.execute("SELECT max(version_num) FROM alembic_version")
        return cursor.fetchone()[0]


def require_newest(connection) -> None:
    """Raise UserError unless the database has the version that this code needs."""
    has, needs = version(connection), newest()
    if has is None:
        raise UserError("The database has none of our tables yet: run `leo-telemetry migrate`", NO_DATABASE)
    if has < needs:
        raise UserError(
            f"The database is at version {has} and this program needs {needs}: run `leo-telemetry migrate`",
            NO_DATABASE,
        )
    if has > needs:
        raise UserError(
            f"The database is at version {has}, newer than this program ({needs}): upgrade leo-telemetry-pipeline",
            NO_DATABASE,
        )


def migrate(target: _Target, to: str = "head") -> None:
    """Run Alembic up (or, with a lower version or ``base``, down) to a version, in one transaction."""
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")).replace("%", "%%"))
    engine = sa.create_engine("postgresql+psycopg2://", creator=target.connect, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if to != "head" else command.upgrade)(config, to)
        connection.commit()


def run_sql(sql: str) -> None:
    """Execute several statements as they stand: no parameter style, no placeholder, is read into them."""
    from alembic import op

    # The driver's own cursor reads neither :name nor %s into a statement without parameters.
    op.get_bind().connection.cursor().execute(sql)


def rows(sql: str, parameters: tuple = ()) -> list[tuple]:
    """Return the rows of a query."""
    from alembic import op

    return [tuple(row) for row in op.get_bind().exec_driver_sql(sql, parameters or None)]


def strangers() -> str:
    """Return who has no right that was not granted by name, as REVOKE takes them."""
    [(found,)] = rows(
        "SELECT concat_ws(', ', 'PUBLIC', string_agg(quote_ident(r.rolname), ', '))"
        " FROM pg_roles AS r WHERE r.rolname = ANY(%s)",
        (list(API_ROLES),),
    )
    return found


def definer(signature: str) -> None:
    """Let a function run with its owner's rights, for those who are granted EXECUTE."""
    run_sql(f"ALTER FUNCTION {signature} SECURITY DEFINER")
    close_function(signature)


def close_function(signature: str) -> None:
    """Let a function see this schema only, and be executed by those alone who are granted EXECUTE."""
    [(schema,)] = rows("SELECT quote_ident(current_schema())")
    run_sql(f"ALTER FUNCTION {signature} SET search_path = {schema}, pg_temp")
    run_sql(f"REVOKE ALL ON FUNCTION {signature} FROM {strangers()} CASCADE")


def close_view(name: str) -> None:
    """Let a view show only what its reader may read anyway, to those alone who are granted SELECT."""
    run_sql(f"ALTER VIEW {name} SET (security_invoker = true)")
    run_sql(f"REVOKE ALL ON {name} FROM {strangers()} CASCADE")


def close_table(name: str) -> None:
    """Open a table to nobody but those who are granted it: each table that a migration makes needs this."""
    run_sql(f"SELECT telemetry_close_table('{name}')")
