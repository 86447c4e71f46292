"""The closed loop: the life of items, directives drafted from them, alerts; functions that work on a cluster."""

from leo_telemetry_pipeline.store.server import schema_objects
from leo_telemetry_pipeline.store.server.migrations import apply, describe, exists, run_sql

revision = "0003_loop"
down_revision = "0002_microseconds"

TABLES = (
    "tables/item_events",
    "tables/item_occurrences",
    "tables/strategic_directives",
    "tables/directive_items",
    "tables/directive_events",
    "tables/alert_outbox",
)


def upgrade() -> None:
    apply("functions/telemetry_check_item", "functions/telemetry_record_item")
    apply("functions/ensure_trace_partitions", "functions/reap_telemetry_runs")
    apply("functions/telemetry_check_directive", "functions/telemetry_record_directive")
    apply(*(table for table in TABLES if not exists(table)))
    run_sql(schema_objects.text("item_life"))
    describe("tables/continuous_improvements")


def downgrade() -> None:
    """Nothing: the way back is ``base``, where the first revision drops every object."""
