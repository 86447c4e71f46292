-- Heartbeat of a RUNNING run, or of a QUEUED run whose Dagster run waits; returns the run's status.
-- It beats before it reaps: with few shared connections, a heartbeat may wait longer than the limit for a lost worker,
-- and must not end its own run.
CREATE OR REPLACE FUNCTION beat_telemetry_run(run_id uuid, dagster_run_id text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    now_is text;
BEGIN
    UPDATE telemetry_analysis_runs AS r SET heartbeat_at = clock_timestamp()
    WHERE r.run_id = beat_telemetry_run.run_id
      AND ((r.status = 'RUNNING' AND r.dagster_run_id = beat_telemetry_run.dagster_run_id)
           OR (r.status = 'QUEUED' AND r.dagster_run_id IS NULL));
    PERFORM reap_telemetry_runs();
    SELECT r.status INTO now_is FROM telemetry_analysis_runs AS r WHERE r.run_id = beat_telemetry_run.run_id;
    RETURN now_is;
END $$;
