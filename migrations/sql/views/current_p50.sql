-- P50s of the last successful analysis of all projects.
CREATE OR REPLACE VIEW current_p50 WITH (security_invoker = true) AS
    SELECT p.run_id, p.dimension_type, p.dimension_key, p.sample_count, p.p50_ms, p.p90_ms, p.p95_ms, p.p99_ms, p.sum_ms,
        p.queue_p50_ms, p.method, p.baseline_p50_ms, p.baseline_source, p.multiplier, p.min_samples, p.outcome,
        p.evidence_trace_ids
    FROM dimension_p50 AS p
    WHERE p.run_id = (
        SELECT r.run_id FROM telemetry_analysis_runs AS r
        WHERE r.status = 'SUCCEEDED' AND r.scope_type = 'ALL'
        ORDER BY r.window_end DESC NULLS LAST, r.finished_at DESC NULLS LAST LIMIT 1);
