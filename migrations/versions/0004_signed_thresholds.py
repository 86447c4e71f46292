"""Who changed a threshold, and why."""

from leo_telemetry_pipeline.store.server import schema_objects
from leo_telemetry_pipeline.store.server.migrations import apply, describe, run_sql

revision = "0004_signed_thresholds"
down_revision = "0003_loop"


def upgrade() -> None:
    apply("functions/telemetry_sign_threshold")
    run_sql(schema_objects.text("signed_thresholds"))
    run_sql(
        """
        CREATE OR REPLACE TRIGGER telemetry_thresholds_signed BEFORE INSERT OR UPDATE ON telemetry_thresholds
            FOR EACH ROW EXECUTE FUNCTION telemetry_sign_threshold();
        """
    )
    describe("tables/telemetry_thresholds")


def downgrade() -> None:
    """Nothing: the way back is ``base``, where the first revision drops every object."""
