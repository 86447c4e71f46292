-- Queue the retry of a run, at most two in 24 hours per scope; returns its id, or NULL.
CREATE OR REPLACE FUNCTION telemetry_enqueue_retry(lost telemetry_analysis_runs) RETURNS uuid
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    new_id uuid;
    requested boolean := lost.metadata ? 'requested_window';
BEGIN
    IF (SELECT count(*) FROM telemetry_analysis_runs AS r
        WHERE r.retry_of IS NOT NULL AND r.triggered_at > clock_timestamp() - interval '24 hours'
          AND r.scope_type = lost.scope_type AND r.scope_id = lost.scope_id) >= 2 THEN
        RETURN NULL;
    END IF;
    INSERT INTO telemetry_analysis_runs
        (scope_type, scope_id, triggered_by, attempt, retry_of, correlation_id, window_start, window_end, metadata)
    VALUES (lost.scope_type, lost.scope_id, lost.triggered_by, lost.attempt + 1, lost.run_id,
            lost.correlation_id,
            CASE WHEN requested THEN lost.window_start END, CASE WHEN requested THEN lost.window_end END,
            CASE WHEN requested THEN jsonb_build_object('requested_window', true) ELSE '{}' END)
    ON CONFLICT DO NOTHING
    RETURNING run_id INTO new_id;
    RETURN new_id;
END $$;
