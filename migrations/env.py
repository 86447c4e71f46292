"""Alembic environment: run the revisions in ``versions`` on the database of the settings.

Belongs here: the connection and the transaction of a migration. Does not: any table.
"""

import sqlalchemy as sa
from alembic import context
from alembic.operations import Operations

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server import carry_over, database, migrations


def migrate() -> None:
    """Run the requested revisions in one transaction; concurrent migrations wait for each other."""
    handed_over = context.config.attributes.get("connection")
    if handed_over is not None:
        _run(handed_over)
        return
    with database.opened(Settings()) as target:
        engine = sa.create_engine("postgresql+psycopg2://", creator=target.connect, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            _run(connection)


def _run(connection: sa.Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('leo_telemetry_pipeline.migrate'))")
        # On a cluster, functions and tables can only then be changed in one transaction.
        connection.exec_driver_sql("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
        if context.config.attributes.get("carry_over"):
            with Operations.context(context.get_context()):
                carry_over.carry_over(connection.connection)
        migrations.require_upgradable(connection.connection)
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit(
        "alembic --sql is not supported, since the migrations read the database: run `leo-telemetry migrate`"
    )
migrate()
