-- P50s, other percentiles and judgement per run and dimension.
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
    observed_p50_ms double precision,
    onset_day date,
    p_value double precision,
    learned jsonb,
    resolution_ms double precision,
    slow_calls jsonb,
    PRIMARY KEY (run_id, dimension_type, dimension_key)
);
COMMENT ON TABLE dimension_p50 IS 'P50s, other percentiles and judgement per run and dimension.';
COMMENT ON COLUMN dimension_p50.outcome IS
    'Judgement: ok, bottleneck, mix, like_whole, too_few, no_baseline, switched_off, pooled, shared. NULL: not judged.';
COMMENT ON COLUMN dimension_p50.observed_p50_ms IS
    'P50 that is compared with the baseline: that of the window or, for a learned baseline, since the onset. With '
    'slow_calls, that of the slow calls.';
COMMENT ON COLUMN dimension_p50.slow_calls IS
    'Not NULL: a bottleneck because a minority of its calls became slow, with their share and P90s.';
COMMENT ON COLUMN dimension_p50.resolution_ms IS
    'Observed P50 and learned baseline are known to this many ms. NULL: the baseline is configured, or there is none.';
COMMENT ON COLUMN dimension_p50.learned IS
    'Judgement from daily P50s: the learned baseline, the change, and each guard with its numbers.';
