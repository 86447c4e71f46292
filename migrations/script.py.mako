"""${message}."""

from leo_telemetry_pipeline.store.migrations import apply, run_sql

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    run_sql("")
    apply()


def downgrade() -> None:
    raise NotImplementedError
