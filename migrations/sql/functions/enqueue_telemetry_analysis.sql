-- Queue an analysis of a scope, at most one; with if_stale only if the last one is too old.
CREATE OR REPLACE FUNCTION enqueue_telemetry_analysis(
    if_stale boolean DEFAULT false,
    triggered_by text DEFAULT 'MANUAL',
    scope_type text DEFAULT 'ALL',
    scope_id text DEFAULT '',
    stale_after interval DEFAULT interval '7 days',
    OUT run_id uuid, OUT outcome text, OUT detail text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    of_type text := enqueue_telemetry_analysis.scope_type;
    of_id text := enqueue_telemetry_analysis.scope_id;
    open_run telemetry_analysis_runs;
    last_end timestamptz;
    failures integer;
    not_before timestamptz;
BEGIN
    PERFORM reap_telemetry_runs();
    IF if_stale THEN
        SELECT * INTO open_run FROM telemetry_analysis_runs AS r
        WHERE r.scope_type = of_type AND r.scope_id = of_id AND r.status IN ('QUEUED', 'RUNNING')
        ORDER BY r.status DESC LIMIT 1;
        IF FOUND THEN
            run_id := open_run.run_id;
            outcome := 'ALREADY_' || open_run.status;
            detail := 'an analysis is ' || lower(open_run.status);
            RETURN;
        END IF;
        SELECT max(r.window_end) INTO last_end FROM telemetry_analysis_runs AS r
        WHERE r.scope_type = of_type AND r.scope_id = of_id AND r.status = 'SUCCEEDED'
          AND r.window_end BETWEEN now() - stale_after AND now();
        IF last_end IS NOT NULL THEN
            outcome := 'FRESH';
            detail := 'the last analysis covers spans up to ' || to_char(last_end AT TIME ZONE 'UTC',
                'YYYY-MM-DD HH24:MI') || ' UTC';
            RETURN;
        END IF;
        SELECT count(*) FILTER (WHERE r.retry_of IS NULL),
               max(r.finished_at) + CASE greatest(1, count(*) FILTER (WHERE r.retry_of IS NULL))
                   WHEN 1 THEN interval '1 hour' WHEN 2 THEN interval '4 hours' ELSE interval '24 hours' END
        INTO failures, not_before FROM telemetry_analysis_runs AS r
        WHERE r.scope_type = of_type AND r.scope_id = of_id AND r.status IN ('FAILED', 'TIMED_OUT')
          AND r.triggered_by IN ('SESSION_START', 'SCHEDULED')
          AND r.finished_at > coalesce((
              SELECT max(s.finished_at) FROM telemetry_analysis_runs AS s
              WHERE s.scope_type = of_type AND s.scope_id = of_id AND s.status = 'SUCCEEDED'), '-infinity');
        IF not_before > now() THEN
            outcome := 'BACKING_OFF';
            detail := 'the last ' || failures || ' automatic analyses failed; the next waits until '
                || to_char(not_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC';
            RETURN;
        END IF;
    END IF;
    INSERT INTO telemetry_analysis_runs (triggered_by, scope_type, scope_id)
    VALUES (enqueue_telemetry_analysis.triggered_by, of_type, of_id)
    ON CONFLICT DO NOTHING
    RETURNING telemetry_analysis_runs.run_id INTO run_id;
    IF FOUND THEN
        outcome := 'ENQUEUED';
        detail := 'analysis queued';
    ELSE
        SELECT r.run_id INTO run_id FROM telemetry_analysis_runs AS r
        WHERE r.scope_type = of_type AND r.scope_id = of_id AND r.status = 'QUEUED';
        outcome := 'ALREADY_QUEUED';
        detail := 'an analysis is queued';
    END IF;
END $$;
