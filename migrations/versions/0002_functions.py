"""Functions of the queue and the run lifecycle, the same for every caller, on the database's clock."""

from leo_telemetry_pipeline.store.server.migrations import definer, run_sql

revision = "0002"
down_revision = "0001"

REAP = """
CREATE FUNCTION telemetry_enqueue_retry(lost telemetry_analysis_runs) RETURNS uuid
LANGUAGE plpgsql AS $$
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

-- SKIP LOCKED: a run that is just committing its last transaction is neither waited for nor taken from.
CREATE FUNCTION reap_telemetry_runs() RETURNS SETOF telemetry_analysis_runs
LANGUAGE plpgsql AS $$
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
        -- Whoever beat until the deadline was slow; whoever stopped before it was lost.
        IF last_beat + interval '30 seconds' < least(clock_timestamp(), lost.deadline_at) THEN
            lost.status := 'FAILED';
            lost.reason_code := 'WORKER_LOST';
            lost.error_detail := 'no heartbeat since ' || to_char(last_beat AT TIME ZONE 'UTC',
                'YYYY-MM-DD HH24:MI:SS') || ' UTC: the process that ran the analysis is gone or stopped';
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
"""

ENQUEUE = """
CREATE FUNCTION enqueue_telemetry_analysis(
    if_stale boolean DEFAULT false,
    triggered_by text DEFAULT 'MANUAL',
    scope_type text DEFAULT 'ALL',
    scope_id text DEFAULT '',
    stale_after interval DEFAULT interval '7 days',
    OUT run_id uuid, OUT outcome text, OUT detail text
) LANGUAGE plpgsql AS $$
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
            detail := 'the last analysis looked up to ' || to_char(last_end AT TIME ZONE 'UTC',
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
"""

CLAIM = """
CREATE FUNCTION claim_telemetry_run(
    run_id uuid, dagster_run_id text, deadline_seconds integer DEFAULT 900, OUT outcome text, OUT detail text
) LANGUAGE plpgsql AS $$
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
        -- A block of its own: what was reaped above stays reaped when the claim itself has to wait.
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

CREATE FUNCTION telemetry_window_start(window_end timestamptz, days integer) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT (date_trunc('day', window_end AT TIME ZONE 'UTC') - make_interval(days => days)) AT TIME ZONE 'UTC'
$$;

CREATE FUNCTION begin_telemetry_run(
    dagster_run_id text,
    triggered_by text DEFAULT 'MANUAL',
    scope_type text DEFAULT 'ALL',
    scope_id text DEFAULT '',
    window_days integer DEFAULT NULL,
    window_end timestamptz DEFAULT NULL,
    re_executes text DEFAULT NULL,
    deadline_seconds integer DEFAULT 900,
    OUT outcome text, OUT run_id uuid
) LANGUAGE plpgsql AS $$
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
    -- "Re-execute from failure" skips the assets that were done: what they stored goes along.
    INSERT INTO dimension_p50
        SELECT begin_telemetry_run.run_id, p.dimension_type, p.dimension_key, p.sample_count, p.p50_ms, p.p90_ms,
               p.p95_ms, p.p99_ms, p.sum_ms, p.queue_p50_ms, p.method, p.baseline_p50_ms, p.baseline_source,
               p.multiplier, p.min_samples, p.outcome, p.evidence_trace_ids
        FROM dimension_p50 AS p WHERE p.run_id = parent.run_id;
END $$;
"""

REST = """
-- Also for a QUEUED run whose Dagster run waits for another one to end.
CREATE FUNCTION beat_telemetry_run(run_id uuid, dagster_run_id text) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now_is text;
BEGIN
    PERFORM reap_telemetry_runs();
    UPDATE telemetry_analysis_runs AS r SET heartbeat_at = clock_timestamp()
    WHERE r.run_id = beat_telemetry_run.run_id
      AND ((r.status = 'RUNNING' AND r.dagster_run_id = beat_telemetry_run.dagster_run_id)
           OR (r.status = 'QUEUED' AND r.dagster_run_id IS NULL));
    SELECT r.status INTO now_is FROM telemetry_analysis_runs AS r WHERE r.run_id = beat_telemetry_run.run_id;
    RETURN now_is;
END $$;

CREATE FUNCTION finish_telemetry_run(
    run_id uuid, dagster_run_id text, status text, reason_code text, error_detail text DEFAULT NULL,
    output_ref jsonb DEFAULT NULL, findings_count integer DEFAULT NULL, top_bottleneck_category text DEFAULT NULL
) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE telemetry_analysis_runs AS r
    SET status = finish_telemetry_run.status, reason_code = finish_telemetry_run.reason_code,
        error_detail = finish_telemetry_run.error_detail, output_ref = finish_telemetry_run.output_ref,
        findings_count = finish_telemetry_run.findings_count,
        top_bottleneck_category = finish_telemetry_run.top_bottleneck_category,
        finished_at = clock_timestamp(),
        duration_ms = extract(epoch FROM clock_timestamp() - r.started_at) * 1000
    WHERE r.run_id = finish_telemetry_run.run_id AND r.dagster_run_id = finish_telemetry_run.dagster_run_id
      AND r.status = 'RUNNING';
    RETURN FOUND;
END $$;

CREATE FUNCTION cancel_telemetry_run(run_id uuid) RETURNS text LANGUAGE plpgsql AS $$
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

CREATE FUNCTION fail_unlaunched_telemetry_run(run_id uuid, error_detail text) RETURNS boolean
LANGUAGE plpgsql AS $$
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
"""

PARTITIONS = """
-- Days outside the range, and days that the default partition holds rows of, stay in the default partition.
CREATE OR REPLACE FUNCTION ensure_trace_partitions(first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    of_day date := greatest(first_day, today - 90);
    name text;
    from_ms bigint;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_trace_partitions'));
    WHILE of_day <= least(last_day, today + 3) LOOP
        name := 'workflow_trace_log_' || to_char(of_day, 'YYYYMMDD');
        from_ms := extract(epoch FROM of_day::timestamp) * 1000;
        IF to_regclass(name) IS NULL AND NOT EXISTS (
            SELECT FROM workflow_trace_log_default AS d
            WHERE d.start_time_ms >= from_ms AND d.start_time_ms < from_ms + 86400000
        ) THEN
            EXECUTE 'CREATE TABLE ' || quote_ident(name) || ' PARTITION OF workflow_trace_log FOR VALUES FROM ('
                || from_ms || ') TO (' || (from_ms + 86400000) || ')';
            made := made + 1;
        END IF;
        of_day := of_day + 1;
    END LOOP;
    RETURN made;
END $$;
"""

CALLABLE = (
    "reap_telemetry_runs()",
    "enqueue_telemetry_analysis(boolean, text, text, text, interval)",
    "claim_telemetry_run(uuid, text, integer)",
    "begin_telemetry_run(text, text, text, text, integer, timestamptz, text, integer)",
    "beat_telemetry_run(uuid, text)",
    "finish_telemetry_run(uuid, text, text, text, text, jsonb, integer, text)",
    "cancel_telemetry_run(uuid)",
    "fail_unlaunched_telemetry_run(uuid, text)",
    "ensure_trace_partitions(date, date)",
)


def upgrade() -> None:
    for part in (REAP, ENQUEUE, CLAIM, REST, PARTITIONS):
        run_sql(part)
    for signature in CALLABLE:
        definer(signature)


def downgrade() -> None:
    for signature in CALLABLE:
        run_sql(f"DROP FUNCTION {signature}")
    run_sql("""
        DROP FUNCTION telemetry_enqueue_retry(telemetry_analysis_runs);
        DROP FUNCTION telemetry_window_start(timestamptz, integer);
    """)
