"""${message}."""

from leo_telemetry_pipeline.store.server.migrations import apply, run_sql

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    run_sql("")
    apply()


def downgrade() -> None:
    """Nothing: the way back is ``base``, where the first revision drops every object."""
