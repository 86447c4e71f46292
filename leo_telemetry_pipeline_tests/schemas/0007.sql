-- The schema of the unreleased version 0007, as its migrations made it: for the tests of `migrate --carry-over`.

SET check_function_bodies = false;

CREATE FUNCTION public.beat_telemetry_run(run_id uuid, dagster_run_id text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.begin_telemetry_run(dagster_run_id text, triggered_by text DEFAULT 'MANUAL'::text, scope_type text DEFAULT 'ALL'::text, scope_id text DEFAULT ''::text, window_days integer DEFAULT NULL::integer, window_end timestamp with time zone DEFAULT NULL::timestamp with time zone, re_executes text DEFAULT NULL::text, deadline_seconds integer DEFAULT 900, OUT outcome text, OUT run_id uuid) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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
               p.multiplier, p.min_samples, p.outcome, p.evidence_trace_ids, p.observed_p50_ms, p.onset_day, p.p_value, p.learned
        FROM dimension_p50 AS p WHERE p.run_id = parent.run_id;
END $$;

CREATE FUNCTION public.cancel_telemetry_run(run_id uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.claim_telemetry_run(run_id uuid, dagster_run_id text, deadline_seconds integer DEFAULT 900, OUT outcome text, OUT detail text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.enqueue_telemetry_analysis(if_stale boolean DEFAULT false, triggered_by text DEFAULT 'MANUAL'::text, scope_type text DEFAULT 'ALL'::text, scope_id text DEFAULT ''::text, stale_after interval DEFAULT '7 days'::interval, OUT run_id uuid, OUT outcome text, OUT detail text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.ensure_trace_partitions(first_day date, last_day date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET lock_timeout TO '2s'
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    oldest date := greatest(first_day, today - (SELECT u.keep_days FROM telemetry_upkeep AS u));
    missing date[] := ARRAY(
        SELECT oldest + n FROM generate_series(0, least(last_day, today + 3) - oldest) AS n
        WHERE to_regclass('workflow_trace_log_' || to_char(oldest + n, 'YYYYMMDD')) IS NULL
        -- More in one transaction would need more locks than a server has.
        ORDER BY n DESC LIMIT 100
    );
    is_locked boolean := false;
    of_day date;
    name text;
    from_ms bigint;
BEGIN
    LOOP
        IF cardinality(missing) = 0 THEN
            RETURN 0;
        END IF;
        BEGIN
            missing := ARRAY(
                SELECT day FROM unnest(missing) AS day, extract(epoch FROM day::timestamp) AS s
                WHERE to_regclass('workflow_trace_log_' || to_char(day, 'YYYYMMDD')) IS NULL AND NOT EXISTS (
                    SELECT FROM workflow_trace_log_default AS d
                    WHERE d.start_time_ms >= s::bigint * 1000 AND d.start_time_ms < s::bigint * 1000 + 86400000)
            );
            -- Undone, so that no lock of this look is left: two who make partitions would wait for each other's.
            RAISE SQLSTATE 'LT001';
        EXCEPTION WHEN SQLSTATE 'LT001' THEN
            EXIT WHEN is_locked;
        END;
        IF cardinality(missing) > 0 THEN
            -- Readers go on; a writer that has begun ends first, and one that comes later sees the new partitions.
            LOCK TABLE ONLY workflow_trace_log IN SHARE ROW EXCLUSIVE MODE;
            is_locked := true;
        END IF;
    END LOOP;
    IF cardinality(missing) > 1 THEN
        -- The default partition is looked through once for all of them, and not for each.
        EXECUTE (
            SELECT 'ALTER TABLE workflow_trace_log_default ADD CONSTRAINT without_missing_days CHECK ('
                || string_agg(format('(start_time_ms < %s OR start_time_ms >= %s)',
                    extract(epoch FROM first_one::timestamp)::bigint * 1000,
                    extract(epoch FROM last_one::timestamp)::bigint * 1000 + 86400000), ' AND ') || ')'
            FROM (SELECT min(day) AS first_one, max(day) AS last_one
                  FROM (SELECT day, day - row_number() OVER (ORDER BY day)::integer AS run
                        FROM unnest(missing) AS day) AS numbered
                  GROUP BY run) AS runs);
    END IF;
    FOREACH of_day IN ARRAY missing LOOP
        name := 'workflow_trace_log_' || to_char(of_day, 'YYYYMMDD');
        from_ms := extract(epoch FROM of_day::timestamp) * 1000;
        EXECUTE format('CREATE TABLE %I (LIKE workflow_trace_log INCLUDING ALL)', name);
        PERFORM telemetry_close_table(name::regclass);
        EXECUTE format('ALTER TABLE workflow_trace_log ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            name, from_ms, from_ms + 86400000);
    END LOOP;
    IF cardinality(missing) > 1 THEN
        ALTER TABLE workflow_trace_log_default DROP CONSTRAINT without_missing_days;
    END IF;
    RETURN cardinality(missing);
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END $$;

CREATE FUNCTION public.fail_unlaunched_telemetry_run(run_id uuid, error_detail text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.finish_telemetry_run(run_id uuid, dagster_run_id text, status text, reason_code text, error_detail text DEFAULT NULL::text, output_ref jsonb DEFAULT NULL::jsonb, findings_count integer DEFAULT NULL::integer, top_bottleneck_category text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE TABLE public.telemetry_analysis_runs (
    run_id uuid DEFAULT gen_random_uuid() NOT NULL,
    scope_type text DEFAULT 'ALL'::text NOT NULL,
    scope_id text DEFAULT ''::text NOT NULL,
    status text DEFAULT 'QUEUED'::text NOT NULL,
    triggered_by text DEFAULT 'MANUAL'::text NOT NULL,
    triggered_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    heartbeat_at timestamp with time zone,
    deadline_at timestamp with time zone,
    window_start timestamp with time zone,
    window_end timestamp with time zone,
    attempt integer DEFAULT 1 NOT NULL,
    retry_of uuid,
    dagster_run_id text,
    correlation_id text,
    findings_count integer,
    top_bottleneck_category text,
    reason_code text,
    error_detail text,
    duration_ms bigint,
    output_ref jsonb,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT telemetry_analysis_runs_check CHECK (((window_end > window_start) AND (window_start >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (window_end < '9999-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT telemetry_analysis_runs_reason_code_check CHECK ((reason_code = ANY (ARRAY['COMPLETED'::text, 'INSUFFICIENT_DATA'::text, 'CHECK_FAILED'::text, 'ERROR'::text, 'LAUNCH_FAILED'::text, 'WORKER_LOST'::text, 'DEADLINE'::text, 'CANCELLED_BY_USER'::text]))),
    CONSTRAINT telemetry_analysis_runs_scope_type_check CHECK ((scope_type = ANY (ARRAY['ALL'::text, 'PROJECT'::text]))),
    CONSTRAINT telemetry_analysis_runs_status_check CHECK ((status = ANY (ARRAY['QUEUED'::text, 'RUNNING'::text, 'SUCCEEDED'::text, 'FAILED'::text, 'TIMED_OUT'::text, 'CANCELLED'::text]))),
    CONSTRAINT telemetry_analysis_runs_triggered_by_check CHECK ((triggered_by = ANY (ARRAY['SESSION_START'::text, 'SCHEDULED'::text, 'MANUAL'::text, 'CLI'::text])))
);

CREATE FUNCTION public.reap_telemetry_runs() RETURNS SETOF public.telemetry_analysis_runs
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.telemetry_check_transition() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT (
        (OLD.status = 'QUEUED' AND NEW.status IN ('RUNNING', 'FAILED', 'CANCELLED'))
        OR (OLD.status = 'RUNNING' AND NEW.status IN ('SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELLED'))
    ) THEN
        RAISE EXCEPTION 'an analysis run cannot go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'check_violation', HINT = 'Final states are final: a retry is a new row.';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION public.telemetry_close_item() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NEW.status IN ('RESOLVED', 'DISMISSED') AND OLD.status NOT IN ('RESOLVED', 'DISMISSED') THEN
        NEW.closed_at := now();
        -- Whoever closes one by plain SQL says by the status what there is to say.
        NEW.resolution := coalesce(NEW.resolution, CASE NEW.status WHEN 'RESOLVED' THEN 'fixed' ELSE 'noise' END);
    ELSIF NEW.status NOT IN ('RESOLVED', 'DISMISSED') THEN
        NEW.closed_at := NULL;
        NEW.resolution := NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION public.telemetry_close_table(closed regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    strangers text := (
        SELECT concat_ws(', ', 'PUBLIC', string_agg(quote_ident(r.rolname), ', ')) FROM pg_roles AS r
        WHERE r.rolname IN ('anon', 'anonymous', 'authenticated', 'service_role'));
    sequence regclass;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', closed);
    EXECUTE format('CREATE POLICY telemetry_granted ON %s'
        ' USING (current_user NOT IN (''anon'', ''anonymous'', ''authenticated''))', closed);
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', closed, strangers);
    FOR sequence IN
        SELECT d.objid FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid
        WHERE d.refobjid = closed AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass
          AND c.relkind = 'S'
    LOOP
        EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM %s CASCADE', sequence, strangers);
    END LOOP;
END $$;

CREATE FUNCTION public.telemetry_effective_threshold(of_type text, of_key text, OUT is_active boolean, OUT baseline_p50_ms double precision, OUT baseline_source text, OUT multiplier double precision, OUT multiplier_source text, OUT min_samples integer, OUT min_samples_source text, OUT max_items_per_run integer, OUT max_items_per_day integer, OUT cooldown_hours integer) RETURNS record
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT
        coalesce(k.is_active, true) AND coalesce(t.is_active, true) AND coalesce(g.is_active, true),
        coalesce(k.baseline_p50_ms, t.baseline_p50_ms, g.baseline_p50_ms, b.p50_ms),
        CASE WHEN coalesce(k.baseline_p50_ms, t.baseline_p50_ms, g.baseline_p50_ms) IS NOT NULL
             THEN 'configured' WHEN b.p50_ms IS NOT NULL THEN 'learned' END,
        coalesce(k.multiplier, t.multiplier, g.multiplier, b.multiplier),
        CASE WHEN k.multiplier IS NOT NULL THEN 'key' WHEN t.multiplier IS NOT NULL THEN 'type'
             WHEN g.multiplier IS NOT NULL THEN 'global' WHEN b.multiplier IS NOT NULL THEN 'learned' END,
        coalesce(k.min_samples, t.min_samples, g.min_samples),
        CASE WHEN k.min_samples IS NOT NULL THEN 'key' WHEN t.min_samples IS NOT NULL THEN 'type'
             WHEN g.min_samples IS NOT NULL THEN 'global' END,
        coalesce(t.max_items_per_run, g.max_items_per_run),
        coalesce(t.max_items_per_day, g.max_items_per_day),
        coalesce(t.cooldown_hours, g.cooldown_hours)
    FROM (SELECT 1) AS one
    LEFT JOIN telemetry_thresholds AS k ON k.dimension_type = of_type AND k.dimension_key = of_key
    LEFT JOIN telemetry_thresholds AS t ON t.dimension_type = of_type AND t.dimension_key IS NULL
    LEFT JOIN telemetry_thresholds AS g ON g.dimension_type = 'global' AND g.dimension_key IS NULL
    LEFT JOIN telemetry_baselines AS b ON b.dimension_type = of_type AND b.dimension_key = of_key AND b.scope_type = 'ALL' $$;

CREATE FUNCTION public.telemetry_enqueue_retry(lost public.telemetry_analysis_runs) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.telemetry_set_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE FUNCTION public.telemetry_window_start(window_end timestamp with time zone, days integer) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT (date_trunc('day', window_end AT TIME ZONE 'UTC') - make_interval(days => days)) AT TIME ZONE 'UTC'
$$;

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE public.continuous_improvements (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    source text DEFAULT 'TELEMETRY_BOTTLENECK'::text NOT NULL,
    fingerprint text NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    source_detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    status text DEFAULT 'OPEN'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    resolution text,
    closed_at timestamp with time zone,
    CONSTRAINT continuous_improvements_resolution_check CHECK ((resolution = ANY (ARRAY['fixed'::text, 'noise'::text, 'expected'::text]))),
    CONSTRAINT continuous_improvements_status_check CHECK ((status = ANY (ARRAY['OPEN'::text, 'IN_PROGRESS'::text, 'RESOLVED'::text, 'DISMISSED'::text])))
);

COMMENT ON COLUMN public.continuous_improvements.resolution IS 'What became of a closed item: fixed; noise, there was nothing; or expected, as slow as it should be.';

CREATE TABLE public.dimension_p50 (
    run_id uuid NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    sample_count bigint NOT NULL,
    p50_ms double precision NOT NULL,
    p90_ms double precision NOT NULL,
    p95_ms double precision NOT NULL,
    p99_ms double precision NOT NULL,
    sum_ms double precision NOT NULL,
    queue_p50_ms double precision,
    method text NOT NULL,
    baseline_p50_ms double precision,
    baseline_source text,
    multiplier double precision,
    min_samples integer,
    outcome text,
    evidence_trace_ids text[],
    observed_p50_ms double precision,
    onset_day date,
    p_value double precision,
    learned jsonb,
    CONSTRAINT dimension_p50_method_check CHECK ((method = ANY (ARRAY['exact'::text, 'histogram'::text])))
);

COMMENT ON COLUMN public.dimension_p50.outcome IS 'How it was judged: ok, bottleneck, too_few, no_baseline, switched_off. NULL: not judged yet.';

COMMENT ON COLUMN public.dimension_p50.observed_p50_ms IS 'What was compared with the baseline: the P50 of the window, or against a learned baseline that since the onset.';

COMMENT ON COLUMN public.dimension_p50.learned IS 'How the dimension was judged by its own days: the learned baseline, the change, each guard with its numbers.';

CREATE VIEW public.current_p50 WITH (security_invoker='true') AS
 SELECT run_id,
    dimension_type,
    dimension_key,
    sample_count,
    p50_ms,
    p90_ms,
    p95_ms,
    p99_ms,
    sum_ms,
    queue_p50_ms,
    method,
    baseline_p50_ms,
    baseline_source,
    multiplier,
    min_samples,
    outcome,
    evidence_trace_ids
   FROM public.dimension_p50 p
  WHERE (run_id = ( SELECT r.run_id
           FROM public.telemetry_analysis_runs r
          WHERE ((r.status = 'SUCCEEDED'::text) AND (r.scope_type = 'ALL'::text))
          ORDER BY r.window_end DESC NULLS LAST, r.finished_at DESC NULLS LAST
         LIMIT 1));

CREATE TABLE public.dimension_forecasts (
    run_id uuid NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    horizon_days integer NOT NULL,
    day date NOT NULL,
    probability double precision,
    p50_ms double precision,
    low_ms double precision,
    high_ms double precision,
    reason text DEFAULT ''::text NOT NULL,
    CONSTRAINT dimension_forecasts_horizon_days_check CHECK ((horizon_days > 0)),
    CONSTRAINT dimension_forecasts_probability_check CHECK (((probability >= (0)::double precision) AND (probability <= (1)::double precision)))
);

COMMENT ON TABLE public.dimension_forecasts IS 'How likely each dimension of a run is a bottleneck of the window that ends with a day to come, or why not said.';

CREATE TABLE public.duration_histogram_blocks (
    first_day date NOT NULL,
    days integer NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    project text NOT NULL,
    seen_on bigint NOT NULL,
    count bigint NOT NULL,
    sum_ms double precision NOT NULL,
    min_ms bigint NOT NULL,
    max_ms bigint NOT NULL,
    packed bytea NOT NULL
);

COMMENT ON TABLE public.duration_histogram_blocks IS 'Days of duration_histograms added up, 4 to 64 at a time, so that months are read as fast as days.';

COMMENT ON COLUMN public.duration_histogram_blocks.seen_on IS 'Bit n is set if the dimension has spans on day n of the block.';

COMMENT ON COLUMN public.duration_histogram_blocks.packed IS 'One byte: how wide a count is. Then the buckets, two bytes each, and their counts; high bytes first. 16 more: of a run of buckets, the first, and a count for each.';

CREATE TABLE public.duration_histogram_blocks_made (
    first_day date NOT NULL,
    days integer NOT NULL,
    dimension_type text NOT NULL
);

CREATE TABLE public.duration_histogram_days (
    day date NOT NULL,
    dimension_type text NOT NULL,
    complete_before timestamp with time zone NOT NULL,
    counted_until timestamp with time zone,
    is_stale boolean DEFAULT false NOT NULL,
    open_spans bigint DEFAULT 0 NOT NULL,
    open_nearby uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    looked_at timestamp with time zone
);

COMMENT ON TABLE public.duration_histogram_days IS 'Which days are counted, a row a dimension type; the type of no name is that of workflow_trace_counts.';

COMMENT ON COLUMN public.duration_histogram_days.complete_before IS 'Every span of that day with an older created_at is counted.';

COMMENT ON COLUMN public.duration_histogram_days.counted_until IS 'Only spans that started before it are counted. NULL: those of the whole day.';

COMMENT ON COLUMN public.duration_histogram_days.open_spans IS 'How many spans of the day, sealed parts left out, had no end when it was counted: once fewer are left, it is stale.';

COMMENT ON COLUMN public.duration_histogram_days.open_nearby IS 'Ids of handoffs and waits of other days, in traces of this one, that had no end when it was counted.';

COMMENT ON COLUMN public.duration_histogram_days.looked_at IS 'When open_spans was counted: spans that were stored later are not among them.';

CREATE TABLE public.duration_histograms (
    day date NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    project text NOT NULL,
    part integer DEFAULT 0 NOT NULL,
    count bigint NOT NULL,
    sum_ms double precision NOT NULL,
    min_ms bigint NOT NULL,
    max_ms bigint NOT NULL,
    buckets integer[] NOT NULL,
    counts bigint[] NOT NULL,
    p50_ms double precision,
    CONSTRAINT duration_histograms_part_check CHECK ((part >= 0))
);

COMMENT ON TABLE public.duration_histograms IS 'How long each dimension took on each day, in log buckets of 0.5 %.';

COMMENT ON COLUMN public.duration_histograms.part IS '0: counted from spans that are stored, and counted again when the day changes. Above: sealed, of spans that were stored by then and may be gone. Parts of a day share no span, so they add up.';

COMMENT ON COLUMN public.duration_histograms.p50_ms IS 'The median of the row''s spans, within 0.5 %; of a day that has not ended, or was counted earlier, NULL.';

CREATE VIEW public.p50_by_gate WITH (security_invoker='true') AS
 SELECT run_id,
    dimension_type,
    dimension_key,
    sample_count,
    p50_ms,
    p90_ms,
    p95_ms,
    p99_ms,
    sum_ms,
    queue_p50_ms,
    method,
    baseline_p50_ms,
    baseline_source,
    multiplier,
    min_samples,
    outcome,
    evidence_trace_ids
   FROM public.current_p50
  WHERE (dimension_type = 'gate'::text);

CREATE VIEW public.p50_by_gate_sd_type WITH (security_invoker='true') AS
 SELECT run_id,
    dimension_type,
    dimension_key,
    sample_count,
    p50_ms,
    p90_ms,
    p95_ms,
    p99_ms,
    sum_ms,
    queue_p50_ms,
    method,
    baseline_p50_ms,
    baseline_source,
    multiplier,
    min_samples,
    outcome,
    evidence_trace_ids
   FROM public.current_p50
  WHERE (dimension_type = 'gate+sd_type'::text);

CREATE VIEW public.p50_by_handoff WITH (security_invoker='true') AS
 SELECT run_id,
    dimension_type,
    dimension_key,
    sample_count,
    p50_ms,
    p90_ms,
    p95_ms,
    p99_ms,
    sum_ms,
    queue_p50_ms,
    method,
    baseline_p50_ms,
    baseline_source,
    multiplier,
    min_samples,
    outcome,
    evidence_trace_ids
   FROM public.current_p50
  WHERE (dimension_type = 'handoff'::text);

CREATE VIEW public.p50_by_other WITH (security_invoker='true') AS
 SELECT run_id,
    dimension_type,
    dimension_key,
    sample_count,
    p50_ms,
    p90_ms,
    p95_ms,
    p99_ms,
    sum_ms,
    queue_p50_ms,
    method,
    baseline_p50_ms,
    baseline_source,
    multiplier,
    min_samples,
    outcome,
    evidence_trace_ids
   FROM public.current_p50
  WHERE (dimension_type <> ALL (ARRAY['phase'::text, 'gate'::text, 'subagent'::text, 'handoff'::text, 'sd_type'::text, 'gate+sd_type'::text]));

CREATE VIEW public.p50_by_phase WITH (security_invoker='true') AS
 SELECT run_id,
    dimension_type,
    dimension_key,
    sample_count,
    p50_ms,
    p90_ms,
    p95_ms,
    p99_ms,
    sum_ms,
    queue_p50_ms,
    method,
    baseline_p50_ms,
    baseline_source,
    multiplier,
    min_samples,
    outcome,
    evidence_trace_ids
   FROM public.current_p50
  WHERE (dimension_type = 'phase'::text);

CREATE VIEW public.p50_by_sd_type WITH (security_invoker='true') AS
 SELECT run_id,
    dimension_type,
    dimension_key,
    sample_count,
    p50_ms,
    p90_ms,
    p95_ms,
    p99_ms,
    sum_ms,
    queue_p50_ms,
    method,
    baseline_p50_ms,
    baseline_source,
    multiplier,
    min_samples,
    outcome,
    evidence_trace_ids
   FROM public.current_p50
  WHERE (dimension_type = 'sd_type'::text);

CREATE VIEW public.p50_by_subagent WITH (security_invoker='true') AS
 SELECT run_id,
    dimension_type,
    dimension_key,
    sample_count,
    p50_ms,
    p90_ms,
    p95_ms,
    p99_ms,
    sum_ms,
    queue_p50_ms,
    method,
    baseline_p50_ms,
    baseline_source,
    multiplier,
    min_samples,
    outcome,
    evidence_trace_ids
   FROM public.current_p50
  WHERE (dimension_type = 'subagent'::text);

CREATE TABLE public.telemetry_backtests (
    run_id uuid NOT NULL,
    verdict text NOT NULL,
    scores jsonb NOT NULL,
    bins jsonb NOT NULL,
    calibration jsonb NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.telemetry_backtests IS 'How good forecasts of the past would have been, beside rules without a model.';

CREATE TABLE public.telemetry_baselines (
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    p50_ms double precision NOT NULL,
    multiplier double precision NOT NULL,
    regime_start date,
    evidence jsonb DEFAULT '{}'::jsonb NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    scope_type text DEFAULT 'ALL'::text NOT NULL,
    scope_id text DEFAULT ''::text NOT NULL,
    regime_days integer DEFAULT 0 NOT NULL,
    window_end timestamp with time zone,
    moved_at timestamp with time zone DEFAULT now() NOT NULL,
    accepted_at timestamp with time zone,
    CONSTRAINT telemetry_baselines_multiplier_check CHECK ((multiplier > (0)::double precision)),
    CONSTRAINT telemetry_baselines_p50_ms_check CHECK ((p50_ms > (0)::double precision)),
    CONSTRAINT telemetry_baselines_scope_type_check CHECK ((scope_type = ANY (ARRAY['ALL'::text, 'PROJECT'::text])))
);

COMMENT ON TABLE public.telemetry_baselines IS 'What the system learned to be normal; below anything a person wrote.';

COMMENT ON COLUMN public.telemetry_baselines.window_end IS 'The end of the window of the analysis that last looked at it.';

COMMENT ON COLUMN public.telemetry_baselines.moved_at IS 'When it was learned or last moved.';

COMMENT ON COLUMN public.telemetry_baselines.accepted_at IS 'When a person last accepted the present level as normal; until it moves the baseline may rise.';

CREATE TABLE public.telemetry_drains (
    id bigint NOT NULL,
    drained_at timestamp with time zone DEFAULT now() NOT NULL,
    drained_by text NOT NULL,
    segments integer NOT NULL,
    spans bigint NOT NULL,
    new_spans bigint NOT NULL,
    quarantined bigint NOT NULL,
    torn bigint NOT NULL,
    counters jsonb DEFAULT '{}'::jsonb NOT NULL
);

COMMENT ON TABLE public.telemetry_drains IS 'What each emptying of a spool brought, and what the processes that filled it had counted.';

ALTER TABLE public.telemetry_drains ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.telemetry_drains_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.telemetry_thresholds (
    dimension_type text NOT NULL,
    dimension_key text,
    baseline_p50_ms double precision,
    multiplier double precision,
    min_samples integer,
    is_active boolean DEFAULT true NOT NULL,
    max_items_per_run integer,
    max_items_per_day integer,
    cooldown_hours integer,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    id bigint NOT NULL,
    CONSTRAINT telemetry_thresholds_baseline_p50_ms_check CHECK (((baseline_p50_ms > (0)::double precision) AND (baseline_p50_ms < 'Infinity'::double precision))),
    CONSTRAINT telemetry_thresholds_cooldown_hours_check CHECK ((cooldown_hours >= 0)),
    CONSTRAINT telemetry_thresholds_dimension_key_check CHECK ((dimension_key <> ''::text)),
    CONSTRAINT telemetry_thresholds_dimension_type_check CHECK ((dimension_type <> ''::text)),
    CONSTRAINT telemetry_thresholds_max_items_per_day_check CHECK ((max_items_per_day >= 0)),
    CONSTRAINT telemetry_thresholds_max_items_per_run_check CHECK ((max_items_per_run >= 0)),
    CONSTRAINT telemetry_thresholds_min_samples_check CHECK ((min_samples > 0)),
    CONSTRAINT telemetry_thresholds_multiplier_check CHECK (((multiplier > (0)::double precision) AND (multiplier < 'Infinity'::double precision)))
);

COMMENT ON TABLE public.telemetry_thresholds IS 'Only what people wrote. No key: the default of the type; type global: of everyone. NULL: inherited.';

COMMENT ON COLUMN public.telemetry_thresholds.id IS 'For tools that need a key without NULL; nothing refers to it.';

CREATE VIEW public.telemetry_effective_thresholds WITH (security_invoker='true') AS
 SELECT d.dimension_type,
    d.dimension_key,
    e.is_active,
    e.baseline_p50_ms,
    e.baseline_source,
    e.multiplier,
    e.multiplier_source,
    e.min_samples,
    e.min_samples_source,
    e.max_items_per_run,
    e.max_items_per_day,
    e.cooldown_hours
   FROM ( SELECT current_p50.dimension_type,
            current_p50.dimension_key
           FROM public.current_p50
        UNION
         SELECT telemetry_thresholds.dimension_type,
            telemetry_thresholds.dimension_key
           FROM public.telemetry_thresholds
          WHERE (telemetry_thresholds.dimension_key IS NOT NULL)
        UNION
         SELECT telemetry_baselines.dimension_type,
            telemetry_baselines.dimension_key
           FROM public.telemetry_baselines
          WHERE (telemetry_baselines.scope_type = 'ALL'::text)) d,
    LATERAL public.telemetry_effective_threshold(d.dimension_type, d.dimension_key) e(is_active, baseline_p50_ms, baseline_source, multiplier, multiplier_source, min_samples, min_samples_source, max_items_per_run, max_items_per_day, cooldown_hours);

CREATE TABLE public.telemetry_intake_notices (
    source text NOT NULL,
    kind text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    count bigint NOT NULL,
    first_seen timestamp with time zone DEFAULT now() NOT NULL,
    last_seen timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT telemetry_intake_notices_count_check CHECK ((count > 0)),
    CONSTRAINT telemetry_intake_notices_kind_check CHECK ((kind <> ''::text)),
    CONSTRAINT telemetry_intake_notices_source_check CHECK ((source <> ''::text))
);

COMMENT ON TABLE public.telemetry_intake_notices IS 'What was rejected, implausible or unknown in what came in, counted by source, kind and detail.';

CREATE TABLE public.telemetry_quarantine (
    id bigint NOT NULL,
    source text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    content text NOT NULL,
    content_hash text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    project text DEFAULT ''::text NOT NULL
);

COMMENT ON TABLE public.telemetry_quarantine IS 'Input that could not become a span, and why.';

COMMENT ON COLUMN public.telemetry_quarantine.project IS 'Whose line it is: what it names, or what the import was told.';

ALTER TABLE public.telemetry_quarantine ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.telemetry_quarantine_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.telemetry_removed_keys (
    key text NOT NULL,
    count bigint NOT NULL,
    last_seen timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT telemetry_removed_keys_count_check CHECK ((count > 0)),
    CONSTRAINT telemetry_removed_keys_key_check CHECK ((key <> ''::text))
);

COMMENT ON TABLE public.telemetry_removed_keys IS 'Names of attributes that were not kept, and how often.';

CREATE TABLE public.telemetry_sealed_days (
    day date NOT NULL,
    part integer NOT NULL,
    sealed_before timestamp with time zone NOT NULL,
    sealed_at timestamp with time zone DEFAULT now() NOT NULL,
    spans bigint NOT NULL,
    archive_id uuid DEFAULT gen_random_uuid() NOT NULL,
    archive text,
    archived_at timestamp with time zone,
    dropped_at timestamp with time zone,
    restored_at timestamp with time zone,
    CONSTRAINT telemetry_sealed_days_part_check CHECK ((part > 0))
);

COMMENT ON TABLE public.telemetry_sealed_days IS 'Days whose history is final up to a moment: their spans may be archived and dropped. A row a part.';

COMMENT ON COLUMN public.telemetry_sealed_days.sealed_before IS 'The part has the spans of the day that are older than this by created_at and in no lower part.';

CREATE TABLE public.telemetry_suggestions (
    run_id uuid NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    source text NOT NULL,
    current_baseline_p50_ms double precision,
    current_multiplier double precision NOT NULL,
    baseline_p50_ms double precision,
    multiplier double precision,
    alarms_a_year_now double precision,
    alarms_a_year_then double precision,
    share_over_now double precision,
    is_slower boolean NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    evidence jsonb DEFAULT '{}'::jsonb NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    applied_at timestamp with time zone,
    CONSTRAINT telemetry_suggestions_baseline_p50_ms_check CHECK ((baseline_p50_ms > (0)::double precision)),
    CONSTRAINT telemetry_suggestions_multiplier_check CHECK ((multiplier > (1)::double precision)),
    CONSTRAINT telemetry_suggestions_share_over_now_check CHECK (((share_over_now >= (0)::double precision) AND (share_over_now <= (1)::double precision))),
    CONSTRAINT telemetry_suggestions_source_check CHECK ((source = ANY (ARRAY['key'::text, 'type'::text, 'global'::text])))
);

COMMENT ON TABLE public.telemetry_suggestions IS 'What would fit each dimension with a threshold that somebody wrote, as of a run, or the reason why not said.';

COMMENT ON COLUMN public.telemetry_suggestions.source IS 'Which row today''s threshold comes from.';

COMMENT ON COLUMN public.telemetry_suggestions.baseline_p50_ms IS 'NULL where today''s is to stay, as it is learned.';

COMMENT ON COLUMN public.telemetry_suggestions.applied_at IS 'When it was written to telemetry_thresholds without being asked.';

ALTER TABLE public.telemetry_thresholds ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.telemetry_thresholds_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.telemetry_upkeep (
    id integer DEFAULT 1 NOT NULL,
    keep_days integer DEFAULT 90 NOT NULL,
    maintained_at timestamp with time zone,
    history_seen_before timestamp with time zone,
    CONSTRAINT telemetry_upkeep_id_check CHECK ((id = 1)),
    CONSTRAINT telemetry_upkeep_keep_days_check CHECK ((keep_days >= 35))
);

COMMENT ON TABLE public.telemetry_upkeep IS 'One row: what upkeep has to remember.';

COMMENT ON COLUMN public.telemetry_upkeep.history_seen_before IS 'For every span with an older created_at, the counted days that it touches have been marked stale.';

CREATE UNLOGGED TABLE public.workflow_open_spans (
    trace_id uuid NOT NULL,
    span_id uuid NOT NULL,
    parent_span_id uuid,
    span_type text NOT NULL,
    span_name text NOT NULL,
    sd_id text,
    project text DEFAULT ''::text NOT NULL,
    start_time_ms bigint NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    beat_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.workflow_open_spans IS 'Operations that have been open for a while and have not ended.';

CREATE TABLE public.workflow_trace_counts (
    day date NOT NULL,
    span_type text NOT NULL,
    project text NOT NULL,
    part integer DEFAULT 0 NOT NULL,
    spans bigint NOT NULL,
    timed_spans bigint NOT NULL,
    traces bigint,
    CONSTRAINT workflow_trace_counts_part_check CHECK ((part >= 0))
);

COMMENT ON TABLE public.workflow_trace_counts IS 'How many spans each counted day has; the span type of no name is all of them, with their traces. Parts as in duration_histograms.';

CREATE TABLE public.workflow_trace_log (
    trace_id uuid NOT NULL,
    span_id uuid NOT NULL,
    parent_span_id uuid,
    workflow_execution_id text,
    sd_id text,
    project text DEFAULT ''::text,
    phase text,
    gate_name text,
    subagent_name text,
    span_type text NOT NULL,
    span_name text NOT NULL,
    start_time_ms bigint NOT NULL,
    end_time_ms bigint,
    duration_ms bigint,
    queue_wait_ms bigint,
    status text,
    attributes jsonb DEFAULT '{}'::jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workflow_trace_log_check CHECK ((end_time_ms >= start_time_ms)),
    CONSTRAINT workflow_trace_log_duration_ms_check CHECK ((duration_ms >= 0)),
    CONSTRAINT workflow_trace_log_queue_wait_ms_check CHECK ((queue_wait_ms >= 0)),
    CONSTRAINT workflow_trace_log_span_name_check CHECK ((span_name <> ''::text)),
    CONSTRAINT workflow_trace_log_span_type_check CHECK (((span_type <> ''::text) AND (span_type !~~ '%+%'::text) AND (span_type <> ALL (ARRAY['sd_type'::text, 'global'::text])))),
    CONSTRAINT workflow_trace_log_start_time_ms_check CHECK ((start_time_ms >= 0))
)
PARTITION BY RANGE (start_time_ms);

COMMENT ON TABLE public.workflow_trace_log IS 'One row per span: one timed operation. A row with neither duration_ms nor end_time_ms may get its end later, by the same key; what has an end never changes.';

CREATE TABLE public.workflow_trace_log_default (
    trace_id uuid NOT NULL,
    span_id uuid NOT NULL,
    parent_span_id uuid,
    workflow_execution_id text,
    sd_id text,
    project text DEFAULT ''::text,
    phase text,
    gate_name text,
    subagent_name text,
    span_type text NOT NULL,
    span_name text NOT NULL,
    start_time_ms bigint NOT NULL,
    end_time_ms bigint,
    duration_ms bigint,
    queue_wait_ms bigint,
    status text,
    attributes jsonb DEFAULT '{}'::jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workflow_trace_log_check CHECK ((end_time_ms >= start_time_ms)),
    CONSTRAINT workflow_trace_log_duration_ms_check CHECK ((duration_ms >= 0)),
    CONSTRAINT workflow_trace_log_queue_wait_ms_check CHECK ((queue_wait_ms >= 0)),
    CONSTRAINT workflow_trace_log_span_name_check CHECK ((span_name <> ''::text)),
    CONSTRAINT workflow_trace_log_span_type_check CHECK (((span_type <> ''::text) AND (span_type !~~ '%+%'::text) AND (span_type <> ALL (ARRAY['sd_type'::text, 'global'::text])))),
    CONSTRAINT workflow_trace_log_start_time_ms_check CHECK ((start_time_ms >= 0))
);

ALTER TABLE ONLY public.workflow_trace_log ATTACH PARTITION public.workflow_trace_log_default DEFAULT;

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY public.continuous_improvements
    ADD CONSTRAINT continuous_improvements_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.dimension_forecasts
    ADD CONSTRAINT dimension_forecasts_pkey PRIMARY KEY (run_id, dimension_type, dimension_key, horizon_days);

ALTER TABLE ONLY public.dimension_p50
    ADD CONSTRAINT dimension_p50_pkey PRIMARY KEY (run_id, dimension_type, dimension_key);

ALTER TABLE ONLY public.duration_histogram_blocks_made
    ADD CONSTRAINT duration_histogram_blocks_made_pkey PRIMARY KEY (first_day, days, dimension_type);

ALTER TABLE ONLY public.duration_histogram_blocks
    ADD CONSTRAINT duration_histogram_blocks_pkey PRIMARY KEY (first_day, days, dimension_type, dimension_key, project);

ALTER TABLE ONLY public.duration_histogram_days
    ADD CONSTRAINT duration_histogram_days_pkey PRIMARY KEY (day, dimension_type);

ALTER TABLE ONLY public.duration_histograms
    ADD CONSTRAINT duration_histograms_pkey PRIMARY KEY (day, dimension_type, dimension_key, project, part);

ALTER TABLE ONLY public.telemetry_analysis_runs
    ADD CONSTRAINT telemetry_analysis_runs_dagster_run_id_key UNIQUE (dagster_run_id);

ALTER TABLE ONLY public.telemetry_analysis_runs
    ADD CONSTRAINT telemetry_analysis_runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.telemetry_backtests
    ADD CONSTRAINT telemetry_backtests_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.telemetry_baselines
    ADD CONSTRAINT telemetry_baselines_pkey PRIMARY KEY (scope_type, scope_id, dimension_type, dimension_key);

ALTER TABLE ONLY public.telemetry_drains
    ADD CONSTRAINT telemetry_drains_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.telemetry_intake_notices
    ADD CONSTRAINT telemetry_intake_notices_pkey PRIMARY KEY (source, kind, detail);

ALTER TABLE ONLY public.telemetry_quarantine
    ADD CONSTRAINT telemetry_quarantine_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.telemetry_quarantine
    ADD CONSTRAINT telemetry_quarantine_source_line_content_hash_key UNIQUE (source, line, content_hash);

ALTER TABLE ONLY public.telemetry_removed_keys
    ADD CONSTRAINT telemetry_removed_keys_pkey PRIMARY KEY (key);

ALTER TABLE ONLY public.telemetry_sealed_days
    ADD CONSTRAINT telemetry_sealed_days_pkey PRIMARY KEY (day, part);

ALTER TABLE ONLY public.telemetry_suggestions
    ADD CONSTRAINT telemetry_suggestions_pkey PRIMARY KEY (run_id, dimension_type, dimension_key);

ALTER TABLE ONLY public.telemetry_thresholds
    ADD CONSTRAINT telemetry_thresholds_dimension_type_dimension_key_key UNIQUE NULLS NOT DISTINCT (dimension_type, dimension_key);

ALTER TABLE ONLY public.telemetry_thresholds
    ADD CONSTRAINT telemetry_thresholds_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.telemetry_upkeep
    ADD CONSTRAINT telemetry_upkeep_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.workflow_open_spans
    ADD CONSTRAINT workflow_open_spans_pkey PRIMARY KEY (trace_id, span_id);

ALTER TABLE ONLY public.workflow_trace_counts
    ADD CONSTRAINT workflow_trace_counts_pkey PRIMARY KEY (day, span_type, project, part);

ALTER TABLE ONLY public.workflow_trace_log
    ADD CONSTRAINT workflow_trace_log_pkey PRIMARY KEY (trace_id, span_id, start_time_ms);

ALTER TABLE ONLY public.workflow_trace_log_default
    ADD CONSTRAINT workflow_trace_log_default_pkey PRIMARY KEY (trace_id, span_id, start_time_ms);

CREATE INDEX continuous_improvements_fingerprint ON public.continuous_improvements USING btree (fingerprint, created_at);

CREATE UNIQUE INDEX continuous_improvements_one_open ON public.continuous_improvements USING btree (fingerprint) WHERE (status = ANY (ARRAY['OPEN'::text, 'IN_PROGRESS'::text]));

CREATE INDEX telemetry_analysis_runs_latest ON public.telemetry_analysis_runs USING btree (triggered_at DESC);

CREATE UNIQUE INDEX telemetry_analysis_runs_one_queued ON public.telemetry_analysis_runs USING btree (scope_type, scope_id) WHERE (status = 'QUEUED'::text);

CREATE UNIQUE INDEX telemetry_analysis_runs_one_running ON public.telemetry_analysis_runs USING btree (scope_type, scope_id) WHERE (status = 'RUNNING'::text);

CREATE INDEX telemetry_analysis_runs_retry_of ON public.telemetry_analysis_runs USING btree (retry_of) WHERE (retry_of IS NOT NULL);

CREATE INDEX telemetry_analysis_runs_succeeded ON public.telemetry_analysis_runs USING btree (scope_type, scope_id, window_end DESC) WHERE (status = 'SUCCEEDED'::text);

CREATE INDEX telemetry_drains_drained_at ON public.telemetry_drains USING btree (drained_at);

CREATE INDEX workflow_trace_log_created ON ONLY public.workflow_trace_log USING brin (created_at);

CREATE INDEX workflow_trace_log_default_by_start ON public.workflow_trace_log_default USING btree (start_time_ms);

CREATE INDEX workflow_trace_log_default_created_at_idx ON public.workflow_trace_log_default USING brin (created_at);

CREATE INDEX workflow_trace_log_without_end ON ONLY public.workflow_trace_log USING btree (start_time_ms, created_at) WHERE ((duration_ms IS NULL) AND (end_time_ms IS NULL));

CREATE INDEX workflow_trace_log_default_start_time_ms_created_at_idx ON public.workflow_trace_log_default USING btree (start_time_ms, created_at) WHERE ((duration_ms IS NULL) AND (end_time_ms IS NULL));

CREATE INDEX workflow_trace_log_start ON ONLY public.workflow_trace_log USING brin (start_time_ms);

CREATE INDEX workflow_trace_log_default_start_time_ms_idx ON public.workflow_trace_log_default USING brin (start_time_ms);

CREATE INDEX workflow_trace_log_waits ON ONLY public.workflow_trace_log USING btree (start_time_ms) WHERE (span_type = 'wait'::text);

CREATE INDEX workflow_trace_log_default_start_time_ms_idx1 ON public.workflow_trace_log_default USING btree (start_time_ms) WHERE (span_type = 'wait'::text);

CREATE INDEX workflow_trace_log_handoffs ON ONLY public.workflow_trace_log USING btree (trace_id, start_time_ms) WHERE (span_type = ANY (ARRAY['handoff'::text, 'workflow'::text]));

CREATE INDEX workflow_trace_log_default_trace_id_start_time_ms_idx ON public.workflow_trace_log_default USING btree (trace_id, start_time_ms) WHERE (span_type = ANY (ARRAY['handoff'::text, 'workflow'::text]));

ALTER INDEX public.workflow_trace_log_created ATTACH PARTITION public.workflow_trace_log_default_created_at_idx;

ALTER INDEX public.workflow_trace_log_pkey ATTACH PARTITION public.workflow_trace_log_default_pkey;

ALTER INDEX public.workflow_trace_log_without_end ATTACH PARTITION public.workflow_trace_log_default_start_time_ms_created_at_idx;

ALTER INDEX public.workflow_trace_log_start ATTACH PARTITION public.workflow_trace_log_default_start_time_ms_idx;

ALTER INDEX public.workflow_trace_log_waits ATTACH PARTITION public.workflow_trace_log_default_start_time_ms_idx1;

ALTER INDEX public.workflow_trace_log_handoffs ATTACH PARTITION public.workflow_trace_log_default_trace_id_start_time_ms_idx;

CREATE TRIGGER continuous_improvements_closed BEFORE UPDATE OF status, resolution ON public.continuous_improvements FOR EACH ROW EXECUTE FUNCTION public.telemetry_close_item();

CREATE TRIGGER continuous_improvements_updated_at BEFORE UPDATE ON public.continuous_improvements FOR EACH ROW EXECUTE FUNCTION public.telemetry_set_updated_at();

CREATE TRIGGER telemetry_analysis_runs_transition BEFORE UPDATE OF status ON public.telemetry_analysis_runs FOR EACH ROW EXECUTE FUNCTION public.telemetry_check_transition();

CREATE TRIGGER telemetry_thresholds_updated_at BEFORE UPDATE ON public.telemetry_thresholds FOR EACH ROW EXECUTE FUNCTION public.telemetry_set_updated_at();

ALTER TABLE ONLY public.dimension_forecasts
    ADD CONSTRAINT dimension_forecasts_run_id_dimension_type_dimension_key_fkey FOREIGN KEY (run_id, dimension_type, dimension_key) REFERENCES public.dimension_p50(run_id, dimension_type, dimension_key) ON DELETE CASCADE;

ALTER TABLE ONLY public.dimension_p50
    ADD CONSTRAINT dimension_p50_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.telemetry_analysis_runs(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.telemetry_analysis_runs
    ADD CONSTRAINT telemetry_analysis_runs_retry_of_fkey FOREIGN KEY (retry_of) REFERENCES public.telemetry_analysis_runs(run_id);

ALTER TABLE ONLY public.telemetry_backtests
    ADD CONSTRAINT telemetry_backtests_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.telemetry_analysis_runs(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.telemetry_suggestions
    ADD CONSTRAINT telemetry_suggestions_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.telemetry_analysis_runs(run_id) ON DELETE CASCADE;

ALTER TABLE public.alembic_version ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.continuous_improvements ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.dimension_forecasts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.dimension_p50 ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.duration_histogram_blocks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.duration_histogram_blocks_made ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.duration_histogram_days ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.duration_histograms ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.telemetry_analysis_runs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.telemetry_backtests ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.telemetry_baselines ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.telemetry_drains ENABLE ROW LEVEL SECURITY;

CREATE POLICY telemetry_granted ON public.alembic_version USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.continuous_improvements USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.dimension_forecasts USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.dimension_p50 USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.duration_histogram_blocks USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.duration_histogram_blocks_made USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.duration_histogram_days USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.duration_histograms USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_analysis_runs USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_backtests USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_baselines USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_drains USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_intake_notices USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_quarantine USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_removed_keys USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_sealed_days USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_suggestions USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_thresholds USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.telemetry_upkeep USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.workflow_open_spans USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.workflow_trace_counts USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.workflow_trace_log USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

CREATE POLICY telemetry_granted ON public.workflow_trace_log_default USING ((CURRENT_USER <> ALL (ARRAY['anon'::name, 'anonymous'::name, 'authenticated'::name])));

ALTER TABLE public.telemetry_intake_notices ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.telemetry_quarantine ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.telemetry_removed_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.telemetry_sealed_days ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.telemetry_suggestions ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.telemetry_thresholds ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.telemetry_upkeep ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.workflow_open_spans ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.workflow_trace_counts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.workflow_trace_log ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.workflow_trace_log_default ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON FUNCTION public.beat_telemetry_run(run_id uuid, dagster_run_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.begin_telemetry_run(dagster_run_id text, triggered_by text, scope_type text, scope_id text, window_days integer, window_end timestamp with time zone, re_executes text, deadline_seconds integer, OUT outcome text, OUT run_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.cancel_telemetry_run(run_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.claim_telemetry_run(run_id uuid, dagster_run_id text, deadline_seconds integer, OUT outcome text, OUT detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.enqueue_telemetry_analysis(if_stale boolean, triggered_by text, scope_type text, scope_id text, stale_after interval, OUT run_id uuid, OUT outcome text, OUT detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.ensure_trace_partitions(first_day date, last_day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.fail_unlaunched_telemetry_run(run_id uuid, error_detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.finish_telemetry_run(run_id uuid, dagster_run_id text, status text, reason_code text, error_detail text, output_ref jsonb, findings_count integer, top_bottleneck_category text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.reap_telemetry_runs() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.telemetry_check_transition() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.telemetry_close_item() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.telemetry_close_table(closed regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.telemetry_effective_threshold(of_type text, of_key text, OUT is_active boolean, OUT baseline_p50_ms double precision, OUT baseline_source text, OUT multiplier double precision, OUT multiplier_source text, OUT min_samples integer, OUT min_samples_source text, OUT max_items_per_run integer, OUT max_items_per_day integer, OUT cooldown_hours integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.telemetry_enqueue_retry(lost public.telemetry_analysis_runs) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.telemetry_set_updated_at() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.telemetry_window_start(window_end timestamp with time zone, days integer) FROM PUBLIC;
