"""Tables and views: spans, thresholds, runs, P50s, histograms, items, quarantine."""

from leo_telemetry_pipeline.store.server.migrations import run_sql

revision = "0001"
down_revision = None

SPANS = """
CREATE TABLE workflow_trace_log (
    trace_id uuid NOT NULL,
    span_id uuid NOT NULL,
    parent_span_id uuid,
    workflow_execution_id text,
    sd_id text,
    project text DEFAULT '',
    phase text,
    gate_name text,
    subagent_name text,
    -- The other words are the dimension grammar's own: spans of such a type could be named by no dimension.
    span_type text NOT NULL CHECK (
        span_type <> '' AND span_type NOT LIKE '%+%' AND span_type NOT IN ('sd_type', 'global')),
    span_name text NOT NULL CHECK (span_name <> ''),
    start_time_ms bigint NOT NULL CHECK (start_time_ms >= 0),
    end_time_ms bigint,
    duration_ms bigint CHECK (duration_ms >= 0),
    queue_wait_ms bigint CHECK (queue_wait_ms >= 0),
    status text,
    attributes jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (end_time_ms >= start_time_ms),
    PRIMARY KEY (trace_id, span_id, start_time_ms)
) PARTITION BY RANGE (start_time_ms);
CREATE TABLE workflow_trace_log_default PARTITION OF workflow_trace_log DEFAULT;
-- Spans arrive roughly in the order of both times, so block ranges prune well and cost next to nothing.
CREATE INDEX workflow_trace_log_start ON workflow_trace_log USING brin (start_time_ms);
CREATE INDEX workflow_trace_log_created ON workflow_trace_log USING brin (created_at);
COMMENT ON TABLE workflow_trace_log IS 'A row a span: one timed operation. Insert only.';

CREATE TABLE telemetry_quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    content text NOT NULL,
    content_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, line, content_hash)
);
COMMENT ON TABLE telemetry_quarantine IS 'Input that could not become a span, and why.';
"""

CONFIGURATION = """
CREATE TABLE telemetry_thresholds (
    dimension_type text NOT NULL CHECK (dimension_type <> ''),
    dimension_key text CHECK (dimension_key <> ''),
    baseline_p50_ms double precision CHECK (baseline_p50_ms > 0 AND baseline_p50_ms < 'Infinity'),
    multiplier double precision CHECK (multiplier > 0 AND multiplier < 'Infinity'),
    min_samples integer CHECK (min_samples > 0),
    is_active boolean NOT NULL DEFAULT true,
    max_items_per_run integer CHECK (max_items_per_run >= 0),
    max_items_per_day integer CHECK (max_items_per_day >= 0),
    cooldown_hours integer CHECK (cooldown_hours >= 0),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (dimension_type, dimension_key)
);
COMMENT ON TABLE telemetry_thresholds IS
    'Only what people wrote. No key: the default of the type; type global: of everyone. NULL: inherited.';

CREATE FUNCTION telemetry_set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER telemetry_thresholds_updated_at BEFORE UPDATE ON telemetry_thresholds
    FOR EACH ROW EXECUTE FUNCTION telemetry_set_updated_at();

CREATE TABLE telemetry_baselines (
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    p50_ms double precision NOT NULL CHECK (p50_ms > 0),
    multiplier double precision NOT NULL CHECK (multiplier > 0),
    regime_start timestamptz,
    evidence jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dimension_type, dimension_key)
);
COMMENT ON TABLE telemetry_baselines IS 'What the system learned to be normal; below anything a person wrote.';

-- The one place that says which value applies to a dimension, and where it comes from.
CREATE FUNCTION telemetry_effective_threshold(
    of_type text, of_key text,
    OUT is_active boolean,
    OUT baseline_p50_ms double precision, OUT baseline_source text,
    OUT multiplier double precision, OUT multiplier_source text,
    OUT min_samples integer, OUT min_samples_source text,
    OUT max_items_per_run integer, OUT max_items_per_day integer, OUT cooldown_hours integer
) LANGUAGE sql STABLE AS $$
    SELECT
        coalesce(k.is_active, true) AND coalesce(t.is_active, true) AND coalesce(g.is_active, true),
        coalesce(k.baseline_p50_ms, t.baseline_p50_ms, g.baseline_p50_ms, b.p50_ms),
        CASE WHEN coalesce(k.baseline_p50_ms, t.baseline_p50_ms, g.baseline_p50_ms) IS NOT NULL
             THEN 'configured' WHEN b.p50_ms IS NOT NULL THEN 'learned' END,
        coalesce(k.multiplier, t.multiplier, g.multiplier, b.multiplier),
        CASE WHEN k.multiplier IS NOT NULL THEN 'key' WHEN t.multiplier IS NOT NULL THEN 'type'
             WHEN g.multiplier IS NOT NULL THEN 'global' WHEN b.multiplier IS NOT NULL THEN 'learned' END,
        coalesce(k.min_samples, t.min_samples, g.min_samples),
        CASE WHEN k.min_samples IS NOT NULL THEN 'key' WHEN t.min_samples IS NOT NULL THEN 'type'
             WHEN g.min_samples IS NOT NULL THEN 'global' END,
        coalesce(t.max_items_per_run, g.max_items_per_run),
        coalesce(t.max_items_per_day, g.max_items_per_day),
        coalesce(t.cooldown_hours, g.cooldown_hours)
    FROM (SELECT 1) AS one
    LEFT JOIN telemetry_thresholds AS k ON k.dimension_type = of_type AND k.dimension_key = of_key
    LEFT JOIN telemetry_thresholds AS t ON t.dimension_type = of_type AND t.dimension_key IS NULL
    LEFT JOIN telemetry_thresholds AS g ON g.dimension_type = 'global' AND g.dimension_key IS NULL
    LEFT JOIN telemetry_baselines AS b ON b.dimension_type = of_type AND b.dimension_key = of_key
$$;
"""

RUNS = """
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
-- The truth about "at most one": no look before an insert can promise what these do.
CREATE UNIQUE INDEX telemetry_analysis_runs_one_queued
    ON telemetry_analysis_runs (scope_type, scope_id) WHERE status = 'QUEUED';
CREATE UNIQUE INDEX telemetry_analysis_runs_one_running
    ON telemetry_analysis_runs (scope_type, scope_id) WHERE status = 'RUNNING';
CREATE INDEX telemetry_analysis_runs_latest ON telemetry_analysis_runs (triggered_at DESC);
CREATE INDEX telemetry_analysis_runs_succeeded
    ON telemetry_analysis_runs (scope_type, scope_id, window_end DESC) WHERE status = 'SUCCEEDED';

CREATE FUNCTION telemetry_check_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT (
        (OLD.status = 'QUEUED' AND NEW.status IN ('RUNNING', 'FAILED', 'CANCELLED'))
        OR (OLD.status = 'RUNNING' AND NEW.status IN ('SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELLED'))
    ) THEN
        RAISE EXCEPTION 'an analysis run cannot go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'check_violation', HINT = 'Final states are final: a retry is a new row.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER telemetry_analysis_runs_transition BEFORE UPDATE OF status ON telemetry_analysis_runs
    FOR EACH ROW EXECUTE FUNCTION telemetry_check_transition();
"""

RESULTS = """
CREATE TABLE dimension_p50 (
    run_id uuid NOT NULL REFERENCES telemetry_analysis_runs ON DELETE CASCADE,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    sample_count bigint NOT NULL,
    p50_ms double precision NOT NULL,
    p90_ms double precision NOT NULL,
    p95_ms double precision NOT NULL,
    p99_ms double precision NOT NULL,
    sum_ms double precision NOT NULL,
    queue_p50_ms double precision,
    method text NOT NULL CHECK (method IN ('exact', 'histogram')),
    baseline_p50_ms double precision,
    baseline_source text,
    multiplier double precision,
    min_samples integer,
    outcome text,
    evidence_trace_ids text[],
    PRIMARY KEY (run_id, dimension_type, dimension_key)
);

COMMENT ON COLUMN dimension_p50.outcome IS
    'How it was judged: ok, bottleneck, too_few, no_baseline, switched_off. NULL: not judged yet.';
"""

HISTORY = """
CREATE TABLE duration_histograms (
    day date NOT NULL,
    project text NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    count bigint NOT NULL,
    sum_ms bigint NOT NULL,
    min_ms bigint NOT NULL,
    max_ms bigint NOT NULL,
    buckets integer[] NOT NULL,
    counts bigint[] NOT NULL,
    PRIMARY KEY (day, project, dimension_type, dimension_key)
);
CREATE TABLE duration_histogram_days (
    day date NOT NULL,
    dimension_type text NOT NULL,
    complete_before timestamptz NOT NULL,
    PRIMARY KEY (day, dimension_type)
);
COMMENT ON COLUMN duration_histogram_days.complete_before IS
    'Every span of that day with an older created_at is counted in duration_histograms.';
"""

FINDINGS = """
CREATE VIEW current_p50 AS
    SELECT p.* FROM dimension_p50 AS p
    WHERE p.run_id = (
        SELECT r.run_id FROM telemetry_analysis_runs AS r
        WHERE r.status = 'SUCCEEDED' AND r.scope_type = 'ALL'
        ORDER BY r.window_end DESC NULLS LAST, r.finished_at DESC NULLS LAST LIMIT 1);
CREATE VIEW p50_by_phase AS SELECT * FROM current_p50 WHERE dimension_type = 'phase';
CREATE VIEW p50_by_gate AS SELECT * FROM current_p50 WHERE dimension_type = 'gate';
CREATE VIEW p50_by_subagent AS SELECT * FROM current_p50 WHERE dimension_type = 'subagent';
CREATE VIEW p50_by_handoff AS SELECT * FROM current_p50 WHERE dimension_type = 'handoff';
CREATE VIEW p50_by_sd_type AS SELECT * FROM current_p50 WHERE dimension_type = 'sd_type';
CREATE VIEW p50_by_gate_sd_type AS SELECT * FROM current_p50 WHERE dimension_type = 'gate+sd_type';
CREATE VIEW p50_by_other AS SELECT * FROM current_p50
    WHERE dimension_type NOT IN ('phase', 'gate', 'subagent', 'handoff', 'sd_type', 'gate+sd_type');

CREATE VIEW telemetry_effective_thresholds AS
    SELECT d.dimension_type, d.dimension_key, e.*
    FROM (
        SELECT dimension_type, dimension_key FROM current_p50
        UNION SELECT dimension_type, dimension_key FROM telemetry_thresholds WHERE dimension_key IS NOT NULL
        UNION SELECT dimension_type, dimension_key FROM telemetry_baselines
    ) AS d, LATERAL telemetry_effective_threshold(d.dimension_type, d.dimension_key) AS e;

CREATE TABLE continuous_improvements (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    source text NOT NULL DEFAULT 'TELEMETRY_BOTTLENECK',
    fingerprint text NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    source_detail jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'IN_PROGRESS', 'RESOLVED', 'DISMISSED')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX continuous_improvements_one_open
    ON continuous_improvements (fingerprint) WHERE status IN ('OPEN', 'IN_PROGRESS');
CREATE INDEX continuous_improvements_fingerprint ON continuous_improvements (fingerprint, created_at);
CREATE TRIGGER continuous_improvements_updated_at BEFORE UPDATE ON continuous_improvements
    FOR EACH ROW EXECUTE FUNCTION telemetry_set_updated_at();
"""


def upgrade() -> None:
    for part in (SPANS, CONFIGURATION, RUNS, RESULTS, HISTORY, FINDINGS):
        run_sql(part)


def downgrade() -> None:
    run_sql("""
        DROP VIEW telemetry_effective_thresholds, p50_by_phase, p50_by_gate, p50_by_subagent, p50_by_handoff,
            p50_by_sd_type, p50_by_gate_sd_type, p50_by_other, current_p50;
        DROP TABLE continuous_improvements, duration_histograms, duration_histogram_days, dimension_p50,
            telemetry_analysis_runs, telemetry_baselines, telemetry_thresholds, telemetry_quarantine,
            workflow_trace_log;
        DROP FUNCTION telemetry_effective_threshold, telemetry_check_transition, telemetry_set_updated_at;
    """)
