-- Queue and log of analyses: one row per run, whose status only moves forward.
CREATE TABLE telemetry_analysis_runs (
    run_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    scope_type text NOT NULL DEFAULT 'ALL' CHECK (scope_type IN ('ALL', 'PROJECT')),
    scope_id text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'QUEUED' CHECK (
        status IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELLED')),
    triggered_by text NOT NULL DEFAULT 'MANUAL' CHECK (
        triggered_by IN ('SESSION_START', 'SCHEDULED', 'MANUAL', 'CLI')),
    triggered_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    heartbeat_at timestamptz,
    deadline_at timestamptz,
    window_start timestamptz,
    window_end timestamptz,
    attempt integer NOT NULL DEFAULT 1,
    retry_of uuid REFERENCES telemetry_analysis_runs,
    dagster_run_id text UNIQUE,
    correlation_id text,
    findings_count integer,
    top_bottleneck_category text,
    reason_code text CHECK (reason_code IN (
        'COMPLETED', 'INSUFFICIENT_DATA', 'CHECK_FAILED', 'ERROR', 'LAUNCH_FAILED', 'WORKER_LOST',
        'DEADLINE', 'CANCELLED_BY_USER')),
    error_detail text,
    duration_ms bigint,
    output_ref jsonb,
    metadata jsonb NOT NULL DEFAULT '{}',
    CHECK (window_end > window_start AND window_start >= '1970-01-01Z' AND window_end < '9999-01-01Z')
);
COMMENT ON TABLE telemetry_analysis_runs IS 'Queue and log of analyses, one row per run. A final status never changes.';

-- These indexes guarantee "at most one"; a query before an INSERT cannot.
CREATE UNIQUE INDEX telemetry_analysis_runs_one_queued
    ON telemetry_analysis_runs (scope_type, scope_id) WHERE status = 'QUEUED';
CREATE UNIQUE INDEX telemetry_analysis_runs_one_running
    ON telemetry_analysis_runs (scope_type, scope_id) WHERE status = 'RUNNING';
CREATE INDEX telemetry_analysis_runs_latest ON telemetry_analysis_runs (triggered_at DESC);
CREATE INDEX telemetry_analysis_runs_succeeded
    ON telemetry_analysis_runs (scope_type, scope_id, window_end DESC) WHERE status = 'SUCCEEDED';
CREATE INDEX telemetry_analysis_runs_retry_of ON telemetry_analysis_runs (retry_of) WHERE retry_of IS NOT NULL;

CREATE TRIGGER telemetry_analysis_runs_transition BEFORE UPDATE OF status ON telemetry_analysis_runs
    FOR EACH ROW EXECUTE FUNCTION telemetry_check_transition();
