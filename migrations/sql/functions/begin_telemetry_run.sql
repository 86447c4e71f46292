-- Begin a run for a Dagster run that was not queued: from the UI, a schedule or a re-execution.
CREATE OR REPLACE FUNCTION begin_telemetry_run(
    dagster_run_id text,
    triggered_by text DEFAULT 'MANUAL',
    scope_type text DEFAULT 'ALL',
    scope_id text DEFAULT '',
    window_days integer DEFAULT NULL,
    window_end timestamptz DEFAULT NULL,
    re_executes text DEFAULT NULL,
    deadline_seconds integer DEFAULT 900,
    OUT outcome text, OUT run_id uuid
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    claimer text := begin_telemetry_run.dagster_run_id;
    ends timestamptz := coalesce(begin_telemetry_run.window_end, now());
    starts timestamptz;
    parent telemetry_analysis_runs;
    requested jsonb := CASE WHEN begin_telemetry_run.window_end IS NULL AND window_days IS NULL
        THEN '{}'::jsonb ELSE '{"requested_window": true}'::jsonb END;
BEGIN
    PERFORM reap_telemetry_runs();
    SELECT r.run_id, CASE r.status WHEN 'RUNNING' THEN 'CLAIMED' ELSE 'GONE' END INTO run_id, outcome
    FROM telemetry_analysis_runs AS r WHERE r.dagster_run_id = claimer;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO parent FROM telemetry_analysis_runs AS r WHERE r.dagster_run_id = re_executes;
    IF parent.window_end IS NOT NULL THEN
        ends := parent.window_end;
        starts := parent.window_start;
        requested := parent.metadata;
    ELSE
        starts := telemetry_window_start(ends, coalesce(window_days, 7));
    END IF;
    INSERT INTO telemetry_analysis_runs
        (status, triggered_by, scope_type, scope_id, dagster_run_id, started_at, heartbeat_at, deadline_at,
         window_start, window_end, attempt, retry_of, metadata)
    VALUES ('RUNNING', begin_telemetry_run.triggered_by,
            coalesce(parent.scope_type, begin_telemetry_run.scope_type),
            coalesce(parent.scope_id, begin_telemetry_run.scope_id),
            claimer, clock_timestamp(), clock_timestamp(),
            clock_timestamp() + make_interval(secs => deadline_seconds),
            starts, ends,
            CASE WHEN parent.status = 'SUCCEEDED' THEN 1 ELSE coalesce(parent.attempt + 1, 1) END,
            CASE WHEN parent.status <> 'SUCCEEDED' THEN parent.run_id END, requested)
    ON CONFLICT DO NOTHING
    RETURNING telemetry_analysis_runs.run_id INTO run_id;
    IF NOT FOUND THEN
        outcome := 'WAIT';
        RETURN;
    END IF;
    outcome := 'CLAIMED';
    -- "Re-execute from failure" skips assets that succeeded, so their results are copied.
    INSERT INTO dimension_p50
        (run_id, dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms, p99_ms, sum_ms, queue_p50_ms,
         method, baseline_p50_ms, baseline_source, multiplier, min_samples, outcome, evidence_trace_ids,
         observed_p50_ms, onset_day, p_value, learned, resolution_ms, slow_calls)
    SELECT begin_telemetry_run.run_id, p.dimension_type, p.dimension_key, p.sample_count, p.p50_ms, p.p90_ms, p.p95_ms,
           p.p99_ms, p.sum_ms, p.queue_p50_ms, p.method, p.baseline_p50_ms, p.baseline_source, p.multiplier,
           p.min_samples, p.outcome, p.evidence_trace_ids, p.observed_p50_ms, p.onset_day, p.p_value, p.learned,
           p.resolution_ms, p.slow_calls
    FROM dimension_p50 AS p WHERE p.run_id = parent.run_id;
END $$;
