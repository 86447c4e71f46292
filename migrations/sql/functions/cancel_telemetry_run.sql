-- Cancel a run unless it has ended; returns its previous status.
CREATE OR REPLACE FUNCTION cancel_telemetry_run(run_id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    was text;
BEGIN
    SELECT r.status INTO was FROM telemetry_analysis_runs AS r
    WHERE r.run_id = cancel_telemetry_run.run_id FOR UPDATE;
    IF was IN ('QUEUED', 'RUNNING') THEN
        UPDATE telemetry_analysis_runs AS r
        SET status = 'CANCELLED', reason_code = 'CANCELLED_BY_USER', finished_at = clock_timestamp(),
            duration_ms = extract(epoch FROM clock_timestamp() - r.started_at) * 1000
        WHERE r.run_id = cancel_telemetry_run.run_id;
    END IF;
    RETURN was;
END $$;
