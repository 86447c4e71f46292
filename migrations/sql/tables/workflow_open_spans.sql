-- Operations under way, as `leo-telemetry running` shows them.
-- UNLOGGED: it holds only what is running now, so a crash of the server may empty it.
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
COMMENT ON TABLE workflow_open_spans IS 'Operations that have been running for longer than LEO_TELEMETRY_OPEN_AFTER.';
