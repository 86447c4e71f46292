-- Upgrade tables of the unreleased versions 0001 to 0006 to those of 0007.
DO $$
BEGIN
    -- Daily history had another layout before 0004. The next analysis counts it again.
    IF to_regclass('duration_histogram_blocks') IS NULL THEN
        DROP TABLE duration_histograms, duration_histogram_days;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'telemetry_baselines'::regclass AND attname = 'scope_type'
    ) THEN
        ALTER TABLE telemetry_baselines
            DROP CONSTRAINT telemetry_baselines_pkey,
            ADD COLUMN scope_type text NOT NULL DEFAULT 'ALL' CHECK (scope_type IN ('ALL', 'PROJECT')),
            ADD COLUMN scope_id text NOT NULL DEFAULT '',
            ADD COLUMN regime_days integer NOT NULL DEFAULT 0,
            ADD COLUMN window_end timestamptz,
            ADD COLUMN moved_at timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN accepted_at timestamptz,
            ALTER COLUMN regime_start TYPE date USING (regime_start AT TIME ZONE 'UTC')::date,
            ADD PRIMARY KEY (scope_type, scope_id, dimension_type, dimension_key);
    END IF;
END $$;

CREATE INDEX IF NOT EXISTS workflow_trace_log_handoffs ON workflow_trace_log (trace_id, start_time_ms)
    WHERE span_type IN ('handoff', 'workflow');
CREATE INDEX IF NOT EXISTS workflow_trace_log_waits ON workflow_trace_log (start_time_ms) WHERE span_type = 'wait';
CREATE INDEX IF NOT EXISTS workflow_trace_log_without_end ON workflow_trace_log (start_time_ms, created_at)
    WHERE duration_ms IS NULL AND end_time_ms IS NULL;
CREATE INDEX IF NOT EXISTS workflow_trace_log_default_by_start ON workflow_trace_log_default (start_time_ms);

ALTER TABLE telemetry_quarantine ADD COLUMN IF NOT EXISTS project text NOT NULL DEFAULT '';

ALTER TABLE telemetry_thresholds ADD COLUMN IF NOT EXISTS id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;

CREATE INDEX IF NOT EXISTS telemetry_analysis_runs_retry_of ON telemetry_analysis_runs (retry_of)
    WHERE retry_of IS NOT NULL;

ALTER TABLE dimension_p50
    ADD COLUMN IF NOT EXISTS observed_p50_ms double precision,
    ADD COLUMN IF NOT EXISTS onset_day date,
    ADD COLUMN IF NOT EXISTS p_value double precision,
    ADD COLUMN IF NOT EXISTS learned jsonb;

ALTER TABLE continuous_improvements ADD COLUMN IF NOT EXISTS closed_at timestamptz;

DO $$
BEGIN
    IF to_regclass('duration_histograms') IS NULL THEN
        RETURN;
    END IF;
    ALTER TABLE duration_histograms ADD COLUMN IF NOT EXISTS p50_ms double precision;
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'duration_histogram_days'::regclass AND attname = 'looked_at' AND NOT attisdropped
    ) THEN
        ALTER TABLE duration_histogram_days
            ADD COLUMN open_spans bigint NOT NULL DEFAULT 0,
            ADD COLUMN open_nearby uuid[] NOT NULL DEFAULT '{}',
            ADD COLUMN looked_at timestamptz;
        -- Counted days lack the numbers of open spans, so they are counted again.
        UPDATE duration_histogram_days SET is_stale = true;
    END IF;
END $$;
