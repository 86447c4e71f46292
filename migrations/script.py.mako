"""${message}."""

from leo_telemetry_pipeline.store.server.migrations import apply, run_sql

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    run_sql("")
    apply()


def downgrade() -> None:
    """Do nothing: a downgrade goes to ``base``, and the first revision drops every object."""
