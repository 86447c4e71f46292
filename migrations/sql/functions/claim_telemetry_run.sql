-- Claim a QUEUED run for a Dagster run, unless another run of the same scope is RUNNING.
CREATE OR REPLACE FUNCTION claim_telemetry_run(
    run_id uuid, dagster_run_id text, deadline_seconds integer DEFAULT 900, OUT outcome text, OUT detail text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    wanted uuid := claim_telemetry_run.run_id;
    claimer text := claim_telemetry_run.dagster_run_id;
    found_run telemetry_analysis_runs;
    violated text;
BEGIN
    PERFORM reap_telemetry_runs();
    SELECT * INTO found_run FROM telemetry_analysis_runs AS r WHERE r.run_id = wanted;
    IF NOT FOUND THEN
        outcome := 'GONE';
        detail := 'there is no analysis run ' || wanted;
    ELSIF found_run.status = 'RUNNING' AND found_run.dagster_run_id = claimer THEN
        outcome := 'CLAIMED';
    ELSIF found_run.status <> 'QUEUED' THEN
        outcome := 'GONE';
        detail := 'analysis run ' || wanted || ' is ' || found_run.status || ' already';
    ELSE
        -- A separate block: if the claim has to wait, the runs reaped above stay reaped.
        BEGIN
            UPDATE telemetry_analysis_runs AS r
            SET status = 'RUNNING', dagster_run_id = claimer, started_at = clock_timestamp(),
                heartbeat_at = clock_timestamp(),
                deadline_at = clock_timestamp() + make_interval(secs => deadline_seconds),
                window_end = coalesce(r.window_end, now()),
                window_start = coalesce(r.window_start, telemetry_window_start(coalesce(r.window_end, now()), 7))
            WHERE r.run_id = wanted AND r.status = 'QUEUED';
            IF FOUND THEN
                outcome := 'CLAIMED';
            ELSE
                outcome := 'GONE';
                detail := 'analysis run ' || wanted || ' was taken meanwhile';
            END IF;
        EXCEPTION WHEN unique_violation THEN
            GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
            IF violated = 'telemetry_analysis_runs_one_running' THEN
                outcome := 'WAIT';
                detail := 'another analysis of this scope is running';
            ELSE
                outcome := 'GONE';
                detail := 'this Dagster run has executed another analysis run already';
            END IF;
        END;
    END IF;
END $$;
