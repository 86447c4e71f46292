"""Closing the loop: alerts."""

from leo_telemetry_pipeline.store.server.migrations import apply, exists

revision = "0003_loop"
down_revision = "0002_microseconds"


TABLES = ("tables/alert_outbox",)


def upgrade() -> None:
    apply(*(table for table in TABLES if not exists(table)))


def downgrade() -> None:
    """Nothing: the way back is ``base``, where the first revision drops every object."""
