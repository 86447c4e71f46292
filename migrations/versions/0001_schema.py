"""The whole schema as of the first release."""

from leo_telemetry_pipeline.store.server.migrations import apply, close, drop, run_sql

revision = "0001_schema"
down_revision = None

# Each object follows those that it needs. The body of a plpgsql function needs nothing until the function is called.
OBJECTS = (
    "functions/telemetry_close_table",
    "functions/telemetry_set_updated_at",
    "functions/telemetry_check_transition",
    "functions/telemetry_check_item",
    "functions/telemetry_record_item",
    "functions/telemetry_check_directive",
    "functions/telemetry_record_directive",
    "functions/telemetry_sign_threshold",
    "tables/workflow_trace_log",
    "tables/workflow_open_spans",
    "tables/telemetry_quarantine",
    "tables/telemetry_intake_notices",
    "tables/telemetry_removed_keys",
    "tables/telemetry_drains",
    "tables/telemetry_thresholds",
    "tables/telemetry_baselines",
    "tables/telemetry_analysis_runs",
    "tables/dimension_p50",
    "tables/dimension_forecasts",
    "tables/telemetry_backtests",
    "tables/telemetry_suggestions",
    "tables/continuous_improvements",
    "tables/item_events",
    "tables/item_occurrences",
    "tables/strategic_directives",
    "tables/directive_items",
    "tables/directive_events",
    "tables/alert_outbox",
    "tables/duration_histograms",
    "tables/duration_histogram_days",
    "tables/duration_histogram_blocks",
    "tables/duration_histogram_blocks_made",
    "tables/workflow_trace_counts",
    "tables/telemetry_sealed_days",
    "tables/telemetry_upkeep",
    "tables/telemetry_folded_names",
    "tables/telemetry_shared_names",
    "tables/telemetry_name_slices",
    "tables/telemetry_source_cursors",
    "functions/telemetry_effective_threshold",
    "functions/telemetry_enqueue_retry",
    "functions/telemetry_window_start",
    "functions/reap_telemetry_runs",
    "functions/enqueue_telemetry_analysis",
    "functions/claim_telemetry_run",
    "functions/begin_telemetry_run",
    "functions/beat_telemetry_run",
    "functions/finish_telemetry_run",
    "functions/cancel_telemetry_run",
    "functions/fail_unlaunched_telemetry_run",
    "functions/ensure_trace_partitions",
    "views/current_p50",
    "views/p50_by_phase",
    "views/p50_by_gate",
    "views/p50_by_subagent",
    "views/p50_by_handoff",
    "views/p50_by_sd_type",
    "views/p50_by_gate_sd_type",
    "views/p50_by_other",
    "views/telemetry_effective_thresholds",
)


def upgrade() -> None:
    apply(*OBJECTS)
    # Alembic creates its own table before the first revision.
    close("tables/alembic_version")


def downgrade() -> None:
    drop(*reversed(OBJECTS))
    run_sql("DROP POLICY telemetry_granted ON alembic_version; ALTER TABLE alembic_version DISABLE ROW LEVEL SECURITY")
