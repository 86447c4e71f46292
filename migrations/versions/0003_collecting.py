"""Tables of collecting: what runs now, what was not kept, what drains brought."""

from leo_telemetry_pipeline.store.server.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql("""
        -- Only the present is in it, so a crash of the server may empty it.
        CREATE UNLOGGED TABLE workflow_open_spans (
            trace_id uuid NOT NULL,
            span_id uuid NOT NULL,
            parent_span_id uuid,
            span_type text NOT NULL,
            span_name text NOT NULL,
            sd_id text,
            project text NOT NULL DEFAULT '',
            start_time_ms bigint NOT NULL,
            host text NOT NULL,
            pid integer NOT NULL,
            beat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (trace_id, span_id)
        );
        COMMENT ON TABLE workflow_open_spans IS 'Operations that have been open for a while and have not ended.';

        CREATE TABLE telemetry_removed_keys (
            key text PRIMARY KEY CHECK (key <> ''),
            count bigint NOT NULL CHECK (count > 0),
            last_seen timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE telemetry_removed_keys IS 'Names of attributes that were not kept, and how often.';

        CREATE TABLE telemetry_drains (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            drained_at timestamptz NOT NULL DEFAULT now(),
            drained_by text NOT NULL,
            segments integer NOT NULL,
            spans bigint NOT NULL,
            new_spans bigint NOT NULL,
            quarantined bigint NOT NULL,
            torn bigint NOT NULL,
            counters jsonb NOT NULL DEFAULT '{}'
        );
        CREATE INDEX telemetry_drains_drained_at ON telemetry_drains (drained_at);
        COMMENT ON TABLE telemetry_drains IS
            'What each emptying of a spool brought, and what the processes that filled it had counted.';
    """)


def downgrade() -> None:
    run_sql("DROP TABLE workflow_open_spans, telemetry_removed_keys, telemetry_drains")
