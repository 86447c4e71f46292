"""How far sources with a past were read."""

from leo_telemetry_pipeline.store.server.migrations import apply, exists

revision = "0005_source_cursors"
down_revision = "0004_signed_thresholds"


def upgrade() -> None:
    if not exists("tables/telemetry_source_cursors"):
        apply("tables/telemetry_source_cursors")


def downgrade() -> None:
    """Nothing: the way back is ``base``, where the first revision drops every object."""
