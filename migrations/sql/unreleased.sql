-- What the tables of the unreleased versions 0001 to 0006 lack of those of 0007, which are the ones of the first release.
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
COMMENT ON COLUMN telemetry_baselines.window_end IS 'The end of the window of the analysis that last looked at it.';
COMMENT ON COLUMN telemetry_baselines.moved_at IS 'When it was learned or last moved.';
COMMENT ON COLUMN telemetry_baselines.accepted_at IS
    'When a person last accepted the present level as normal; until it moves the baseline may rise.';

CREATE INDEX IF NOT EXISTS workflow_trace_log_handoffs ON workflow_trace_log (trace_id, start_time_ms)
    WHERE span_type IN ('handoff', 'workflow');
CREATE INDEX IF NOT EXISTS workflow_trace_log_waits ON workflow_trace_log (start_time_ms) WHERE span_type = 'wait';
CREATE INDEX IF NOT EXISTS workflow_trace_log_without_end ON workflow_trace_log (start_time_ms, created_at)
    WHERE duration_ms IS NULL AND end_time_ms IS NULL;
CREATE INDEX IF NOT EXISTS workflow_trace_log_default_by_start ON workflow_trace_log_default (start_time_ms);
COMMENT ON TABLE workflow_trace_log IS
    'One row per span: one timed operation. A row with neither duration_ms nor end_time_ms may get its end later, by '
    'the same key; what has an end never changes.';

ALTER TABLE telemetry_quarantine ADD COLUMN IF NOT EXISTS project text NOT NULL DEFAULT '';
COMMENT ON COLUMN telemetry_quarantine.project IS 'Whose line it is: what it names, or what the import was told.';

ALTER TABLE telemetry_thresholds ADD COLUMN IF NOT EXISTS id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
COMMENT ON COLUMN telemetry_thresholds.id IS 'For tools that need a key without NULL; nothing refers to it.';

CREATE INDEX IF NOT EXISTS telemetry_analysis_runs_retry_of ON telemetry_analysis_runs (retry_of)
    WHERE retry_of IS NOT NULL;

ALTER TABLE dimension_p50
    ADD COLUMN IF NOT EXISTS observed_p50_ms double precision,
    ADD COLUMN IF NOT EXISTS onset_day date,
    ADD COLUMN IF NOT EXISTS p_value double precision,
    ADD COLUMN IF NOT EXISTS learned jsonb;
COMMENT ON COLUMN dimension_p50.observed_p50_ms IS
    'What was compared with the baseline: the P50 of the window, or against a learned baseline that since the onset.';
COMMENT ON COLUMN dimension_p50.learned IS
    'How the dimension was judged by its own days: the learned baseline, the change, each guard with its numbers.';

ALTER TABLE continuous_improvements
    ADD COLUMN IF NOT EXISTS resolution text CHECK (resolution IN ('fixed', 'noise', 'expected')),
    ADD COLUMN IF NOT EXISTS closed_at timestamptz;
COMMENT ON COLUMN continuous_improvements.resolution IS
    'What became of a closed item: fixed; noise, there was nothing; or expected, as slow as it should be.';
CREATE OR REPLACE TRIGGER continuous_improvements_closed BEFORE UPDATE OF status, resolution ON continuous_improvements
    FOR EACH ROW EXECUTE FUNCTION telemetry_close_item();

DO $$
BEGIN
    IF to_regclass('duration_histograms') IS NULL THEN
        RETURN;
    END IF;
    ALTER TABLE duration_histograms ADD COLUMN IF NOT EXISTS p50_ms double precision;
    COMMENT ON COLUMN duration_histograms.p50_ms IS
        'The median of the row''s spans, within 0.5 %; of a day that has not ended, or was counted earlier, NULL.';
    COMMENT ON COLUMN duration_histogram_blocks.packed IS
        'One byte: how wide a count is. Then the buckets, two bytes each, and their counts; high bytes first. '
        '16 more: of a run of buckets, the first, and a count for each.';
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'duration_histogram_days'::regclass AND attname = 'looked_at' AND NOT attisdropped
    ) THEN
        ALTER TABLE duration_histogram_days
            ADD COLUMN open_spans bigint NOT NULL DEFAULT 0,
            ADD COLUMN open_nearby uuid[] NOT NULL DEFAULT '{}',
            ADD COLUMN looked_at timestamptz;
        -- Nobody looked for open spans on the days that are counted, so they are counted again.
        UPDATE duration_histogram_days SET is_stale = true;
    END IF;
    COMMENT ON COLUMN duration_histogram_days.open_spans IS
        'How many spans of the day, sealed parts left out, had no end when it was counted: once fewer are left, it is '
        'stale.';
    COMMENT ON COLUMN duration_histogram_days.open_nearby IS
        'Ids of handoffs and waits of other days, in traces of this one, that had no end when it was counted.';
    COMMENT ON COLUMN duration_histogram_days.looked_at IS
        'When open_spans was counted: spans that were stored later are not among them.';
END $$;
