-- End a QUEUED run whose Dagster run never started, and queue its retry.
CREATE OR REPLACE FUNCTION fail_unlaunched_telemetry_run(run_id uuid, error_detail text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    failed telemetry_analysis_runs;
BEGIN
    UPDATE telemetry_analysis_runs AS r
    SET status = 'FAILED', reason_code = 'LAUNCH_FAILED', finished_at = clock_timestamp(),
        error_detail = fail_unlaunched_telemetry_run.error_detail
    WHERE r.run_id = fail_unlaunched_telemetry_run.run_id AND r.status = 'QUEUED'
    RETURNING r.* INTO failed;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM telemetry_enqueue_retry(failed);
    RETURN true;
END $$;
