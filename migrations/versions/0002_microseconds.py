"""Microseconds, slow calls, and names that are folded, shared or counted in slices."""

from leo_telemetry_pipeline.store.server import schema_objects
from leo_telemetry_pipeline.store.server.migrations import apply, describe, exists, run_sql

revision = "0002_microseconds"
down_revision = "0001_schema"


TABLES = ("tables/telemetry_folded_names", "tables/telemetry_shared_names", "tables/telemetry_name_slices")


def upgrade() -> None:
    run_sql(schema_objects.text("microseconds"))
    apply(*(table for table in TABLES if not exists(table)))
    apply("functions/begin_telemetry_run")
    describe("tables/workflow_trace_log", "tables/dimension_p50", "tables/duration_histograms")


def downgrade() -> None:
    """Nothing: the way back is ``base``, where the first revision drops every object."""
