-- The schema of the unreleased version 0002, as its migrations made it: for the tests of `migrate --carry-over`.

SET check_function_bodies = false;

CREATE FUNCTION public.beat_telemetry_run(run_id uuid, dagster_run_id text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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
               p.multiplier, p.min_samples, p.outcome, p.evidence_trace_ids
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
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.telemetry_effective_threshold(of_type text, of_key text, OUT is_active boolean, OUT baseline_p50_ms double precision, OUT baseline_source text, OUT multiplier double precision, OUT multiplier_source text, OUT min_samples integer, OUT min_samples_source text, OUT max_items_per_run integer, OUT max_items_per_day integer, OUT cooldown_hours integer) RETURNS record
    LANGUAGE sql STABLE
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
    LEFT JOIN telemetry_baselines AS b ON b.dimension_type = of_type AND b.dimension_key = of_key
$$;

CREATE FUNCTION public.telemetry_enqueue_retry(lost public.telemetry_analysis_runs) RETURNS uuid
    LANGUAGE plpgsql
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
    AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE FUNCTION public.telemetry_window_start(window_end timestamp with time zone, days integer) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
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
    CONSTRAINT continuous_improvements_status_check CHECK ((status = ANY (ARRAY['OPEN'::text, 'IN_PROGRESS'::text, 'RESOLVED'::text, 'DISMISSED'::text])))
);

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
    CONSTRAINT dimension_p50_method_check CHECK ((method = ANY (ARRAY['exact'::text, 'histogram'::text])))
);

COMMENT ON COLUMN public.dimension_p50.outcome IS 'How it was judged: ok, bottleneck, too_few, no_baseline, switched_off. NULL: not judged yet.';

CREATE VIEW public.current_p50 AS
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

CREATE TABLE public.duration_histogram_days (
    day date NOT NULL,
    dimension_type text NOT NULL,
    complete_before timestamp with time zone NOT NULL
);

COMMENT ON COLUMN public.duration_histogram_days.complete_before IS 'Every span of that day with an older created_at is counted in duration_histograms.';

CREATE TABLE public.duration_histograms (
    day date NOT NULL,
    project text NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    count bigint NOT NULL,
    sum_ms bigint NOT NULL,
    min_ms bigint NOT NULL,
    max_ms bigint NOT NULL,
    buckets integer[] NOT NULL,
    counts bigint[] NOT NULL
);

CREATE VIEW public.p50_by_gate AS
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

CREATE VIEW public.p50_by_gate_sd_type AS
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

CREATE VIEW public.p50_by_handoff AS
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

CREATE VIEW public.p50_by_other AS
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

CREATE VIEW public.p50_by_phase AS
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

CREATE VIEW public.p50_by_sd_type AS
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

CREATE VIEW public.p50_by_subagent AS
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

CREATE TABLE public.telemetry_baselines (
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    p50_ms double precision NOT NULL,
    multiplier double precision NOT NULL,
    regime_start timestamp with time zone,
    evidence jsonb DEFAULT '{}'::jsonb NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT telemetry_baselines_multiplier_check CHECK ((multiplier > (0)::double precision)),
    CONSTRAINT telemetry_baselines_p50_ms_check CHECK ((p50_ms > (0)::double precision))
);

COMMENT ON TABLE public.telemetry_baselines IS 'What the system learned to be normal; below anything a person wrote.';

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

CREATE VIEW public.telemetry_effective_thresholds AS
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
           FROM public.telemetry_baselines) d,
    LATERAL public.telemetry_effective_threshold(d.dimension_type, d.dimension_key) e(is_active, baseline_p50_ms, baseline_source, multiplier, multiplier_source, min_samples, min_samples_source, max_items_per_run, max_items_per_day, cooldown_hours);

CREATE TABLE public.telemetry_quarantine (
    id bigint NOT NULL,
    source text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    content text NOT NULL,
    content_hash text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.telemetry_quarantine IS 'Input that could not become a span, and why.';

ALTER TABLE public.telemetry_quarantine ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.telemetry_quarantine_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

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

COMMENT ON TABLE public.workflow_trace_log IS 'A row a span: one timed operation. Insert only.';

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

ALTER TABLE ONLY public.dimension_p50
    ADD CONSTRAINT dimension_p50_pkey PRIMARY KEY (run_id, dimension_type, dimension_key);

ALTER TABLE ONLY public.duration_histogram_days
    ADD CONSTRAINT duration_histogram_days_pkey PRIMARY KEY (day, dimension_type);

ALTER TABLE ONLY public.duration_histograms
    ADD CONSTRAINT duration_histograms_pkey PRIMARY KEY (day, project, dimension_type, dimension_key);

ALTER TABLE ONLY public.telemetry_analysis_runs
    ADD CONSTRAINT telemetry_analysis_runs_dagster_run_id_key UNIQUE (dagster_run_id);

ALTER TABLE ONLY public.telemetry_analysis_runs
    ADD CONSTRAINT telemetry_analysis_runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.telemetry_baselines
    ADD CONSTRAINT telemetry_baselines_pkey PRIMARY KEY (dimension_type, dimension_key);

ALTER TABLE ONLY public.telemetry_quarantine
    ADD CONSTRAINT telemetry_quarantine_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.telemetry_quarantine
    ADD CONSTRAINT telemetry_quarantine_source_line_content_hash_key UNIQUE (source, line, content_hash);

ALTER TABLE ONLY public.telemetry_thresholds
    ADD CONSTRAINT telemetry_thresholds_dimension_type_dimension_key_key UNIQUE NULLS NOT DISTINCT (dimension_type, dimension_key);

ALTER TABLE ONLY public.workflow_trace_log
    ADD CONSTRAINT workflow_trace_log_pkey PRIMARY KEY (trace_id, span_id, start_time_ms);

ALTER TABLE ONLY public.workflow_trace_log_default
    ADD CONSTRAINT workflow_trace_log_default_pkey PRIMARY KEY (trace_id, span_id, start_time_ms);

CREATE INDEX continuous_improvements_fingerprint ON public.continuous_improvements USING btree (fingerprint, created_at);

CREATE UNIQUE INDEX continuous_improvements_one_open ON public.continuous_improvements USING btree (fingerprint) WHERE (status = ANY (ARRAY['OPEN'::text, 'IN_PROGRESS'::text]));

CREATE INDEX telemetry_analysis_runs_latest ON public.telemetry_analysis_runs USING btree (triggered_at DESC);

CREATE UNIQUE INDEX telemetry_analysis_runs_one_queued ON public.telemetry_analysis_runs USING btree (scope_type, scope_id) WHERE (status = 'QUEUED'::text);

CREATE UNIQUE INDEX telemetry_analysis_runs_one_running ON public.telemetry_analysis_runs USING btree (scope_type, scope_id) WHERE (status = 'RUNNING'::text);

CREATE INDEX telemetry_analysis_runs_succeeded ON public.telemetry_analysis_runs USING btree (scope_type, scope_id, window_end DESC) WHERE (status = 'SUCCEEDED'::text);

CREATE INDEX workflow_trace_log_created ON ONLY public.workflow_trace_log USING brin (created_at);

CREATE INDEX workflow_trace_log_default_created_at_idx ON public.workflow_trace_log_default USING brin (created_at);

CREATE INDEX workflow_trace_log_start ON ONLY public.workflow_trace_log USING brin (start_time_ms);

CREATE INDEX workflow_trace_log_default_start_time_ms_idx ON public.workflow_trace_log_default USING brin (start_time_ms);

ALTER INDEX public.workflow_trace_log_created ATTACH PARTITION public.workflow_trace_log_default_created_at_idx;

ALTER INDEX public.workflow_trace_log_pkey ATTACH PARTITION public.workflow_trace_log_default_pkey;

ALTER INDEX public.workflow_trace_log_start ATTACH PARTITION public.workflow_trace_log_default_start_time_ms_idx;

CREATE TRIGGER continuous_improvements_updated_at BEFORE UPDATE ON public.continuous_improvements FOR EACH ROW EXECUTE FUNCTION public.telemetry_set_updated_at();

CREATE TRIGGER telemetry_analysis_runs_transition BEFORE UPDATE OF status ON public.telemetry_analysis_runs FOR EACH ROW EXECUTE FUNCTION public.telemetry_check_transition();

CREATE TRIGGER telemetry_thresholds_updated_at BEFORE UPDATE ON public.telemetry_thresholds FOR EACH ROW EXECUTE FUNCTION public.telemetry_set_updated_at();

ALTER TABLE ONLY public.dimension_p50
    ADD CONSTRAINT dimension_p50_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.telemetry_analysis_runs(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.telemetry_analysis_runs
    ADD CONSTRAINT telemetry_analysis_runs_retry_of_fkey FOREIGN KEY (retry_of) REFERENCES public.telemetry_analysis_runs(run_id);

REVOKE ALL ON FUNCTION public.beat_telemetry_run(run_id uuid, dagster_run_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.begin_telemetry_run(dagster_run_id text, triggered_by text, scope_type text, scope_id text, window_days integer, window_end timestamp with time zone, re_executes text, deadline_seconds integer, OUT outcome text, OUT run_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.cancel_telemetry_run(run_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.claim_telemetry_run(run_id uuid, dagster_run_id text, deadline_seconds integer, OUT outcome text, OUT detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.enqueue_telemetry_analysis(if_stale boolean, triggered_by text, scope_type text, scope_id text, stale_after interval, OUT run_id uuid, OUT outcome text, OUT detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.ensure_trace_partitions(first_day date, last_day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.fail_unlaunched_telemetry_run(run_id uuid, error_detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.finish_telemetry_run(run_id uuid, dagster_run_id text, status text, reason_code text, error_detail text, output_ref jsonb, findings_count integer, top_bottleneck_category text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.reap_telemetry_runs() FROM PUBLIC;
