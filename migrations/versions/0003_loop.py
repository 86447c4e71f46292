"""The closed loop: directives drafted from improvement items."""

from leo_telemetry_pipeline.store.server.migrations import apply, exists

revision = "0003_loop"
down_revision = "0002_microseconds"

# Functions first: the triggers of new tables call them.
FUNCTIONS = ("functions/telemetry_check_directive", "functions/telemetry_record_directive")
TABLES = ("tables/strategic_directives", "tables/directive_items", "tables/directive_events")


def upgrade() -> None:
    apply(*FUNCTIONS, *(table for table in TABLES if not exists(table)))


def downgrade() -> None:
    """Nothing: the way back is ``base``, where the first revision drops every object."""
