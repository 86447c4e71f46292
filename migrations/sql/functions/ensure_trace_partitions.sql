-- Create missing daily partitions; returns how many. Other days stay in the default partition.
-- Other days are of two kinds: days outside the retention range, which keeps roles that write spans from creating many
-- partitions; and days that already have rows in the default partition. lock_timeout: a session that locks the table
-- for long must not block writers, whose spans then go to the default partition.
CREATE OR REPLACE FUNCTION ensure_trace_partitions(first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '2s' SET search_path FROM CURRENT AS $$
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
    to_ms bigint;
    held_ms bigint;
BEGIN
    LOOP
        IF cardinality(missing) = 0 THEN
            RETURN 0;
        END IF;
        BEGIN
            missing := ARRAY(
                SELECT day FROM unnest(missing) AS day
                WHERE to_regclass('workflow_trace_log_' || to_char(day, 'YYYYMMDD')) IS NULL ORDER BY day
            );
            -- Skips from day to day. Citus accepts no subquery here that depends on a day.
            of_day := missing[1];
            LOOP
                from_ms := extract(epoch FROM of_day::timestamp) * 1000;
                to_ms := extract(epoch FROM missing[cardinality(missing)]::timestamp) * 1000 + 86400000;
                SELECT min(d.start_time_ms) INTO held_ms FROM workflow_trace_log_default AS d
                WHERE d.start_time_ms >= from_ms AND d.start_time_ms < to_ms;
                EXIT WHEN held_ms IS NULL;
                of_day := DATE '1970-01-01' + (held_ms / 86400000)::integer;
                missing := array_remove(missing, of_day);
                of_day := of_day + 1;
            END LOOP;
            -- Rolled back to release the locks of this query, with which concurrent calls would deadlock.
            RAISE SQLSTATE 'LT001';
        EXCEPTION WHEN SQLSTATE 'LT001' THEN
            EXIT WHEN is_locked;
        END;
        IF cardinality(missing) > 0 THEN
            -- Does not block readers. A writer that has begun ends first; a later one sees the new partitions.
            LOCK TABLE ONLY workflow_trace_log IN SHARE ROW EXCLUSIVE MODE;
            is_locked := true;
        END IF;
    END LOOP;
    IF cardinality(missing) > 1 THEN
        -- With this constraint, ATTACH scans the default partition once and not for each day.
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
