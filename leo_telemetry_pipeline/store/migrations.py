"""Bring a database to the newest version, and say when it is not.

Belongs here: what runs the files in ``migrations/``, and the question which version a database has.
Does not: the tables themselves. Alembic is imported only when there is something to do.
"""

from typing import TYPE_CHECKING

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import bundled

if TYPE_CHECKING:
    from leo_telemetry_pipeline.store.database import Target


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


def migrate(target: "Target", to: str = "head") -> None:
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


def definer(signature: str) -> None:
    """Let a function run with its owner's rights, in this schema only, for those who are granted EXECUTE."""
    from alembic import op

    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    run_sql(f"ALTER FUNCTION {signature} SECURITY DEFINER SET search_path = {schema}, pg_temp")
    run_sql(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
