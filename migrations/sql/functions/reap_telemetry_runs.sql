-- End RUNNING runs that are lost or past their deadline, queue their retries, and return them.
-- SKIP LOCKED: it neither waits for nor takes a run that is committing its last transaction.
CREATE OR REPLACE FUNCTION reap_telemetry_runs() RETURNS SETOF telemetry_analysis_runs
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    lost telemetry_analysis_runs;
    last_beat timestamptz;
BEGIN
    FOR lost IN
        SELECT * FROM telemetry_analysis_runs AS r
        WHERE r.status = 'RUNNING'
          AND (coalesce(r.heartbeat_at, r.started_at, r.triggered_at) < clock_timestamp() - interval '30 seconds'
               OR r.deadline_at < clock_timestamp())
        FOR UPDATE SKIP LOCKED
    LOOP
        last_beat := coalesce(lost.heartbeat_at, lost.started_at, lost.triggered_at);
        -- A run with heartbeats until its deadline was slow; one whose heartbeats stopped earlier was lost.
        IF last_beat + interval '30 seconds' < least(clock_timestamp(), lost.deadline_at) THEN
            lost.status := 'FAILED';
            lost.reason_code := 'WORKER_LOST';
            lost.error_detail := coalesce(lost.metadata->>'interrupted_by', 'no heartbeat since '
                || to_char(last_beat AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
                || ' UTC: the process that ran the analysis is gone or stopped');
        ELSE
            lost.status := 'TIMED_OUT';
            lost.reason_code := 'DEADLINE';
            lost.error_detail := 'still running at its deadline, '
                || to_char(lost.deadline_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC';
        END IF;
        UPDATE telemetry_analysis_runs AS r
        SET status = lost.status, reason_code = lost.reason_code, error_detail = lost.error_detail,
            finished_at = clock_timestamp(),
            duration_ms = extract(epoch FROM clock_timestamp() - r.started_at) * 1000
        WHERE r.run_id = lost.run_id
        RETURNING r.* INTO lost;
        PERFORM telemetry_enqueue_retry(lost);
        RETURN NEXT lost;
    END LOOP;
END $$;
