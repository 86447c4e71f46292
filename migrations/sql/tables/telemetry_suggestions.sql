-- Suggested thresholds per run, for dimensions with a configured threshold.
CREATE TABLE telemetry_suggestions (
    run_id uuid NOT NULL REFERENCES telemetry_analysis_runs ON DELETE CASCADE,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    source text NOT NULL CHECK (source IN ('key', 'type', 'global')),
    current_baseline_p50_ms double precision,
    current_multiplier double precision NOT NULL,
    baseline_p50_ms double precision CHECK (baseline_p50_ms > 0),
    multiplier double precision CHECK (multiplier > 1),
    alarms_a_year_now double precision,
    alarms_a_year_then double precision,
    share_over_now double precision CHECK (share_over_now BETWEEN 0 AND 1),
    is_slower boolean NOT NULL,
    reason text NOT NULL DEFAULT '',
    evidence jsonb NOT NULL DEFAULT '{}',
    made_at timestamptz NOT NULL DEFAULT now(),
    applied_at timestamptz,
    PRIMARY KEY (run_id, dimension_type, dimension_key)
);
COMMENT ON TABLE telemetry_suggestions IS
    'Suggested thresholds for dimensions with a configured one, or the reason for none.';
COMMENT ON COLUMN telemetry_suggestions.source IS 'Row of telemetry_thresholds that the current multiplier comes from.';
COMMENT ON COLUMN telemetry_suggestions.baseline_p50_ms IS 'NULL: keep the current baseline, which is learned.';
COMMENT ON COLUMN telemetry_suggestions.applied_at IS
    'When it was applied to telemetry_thresholds automatically.';
