"""Access: everything of ours is closed to all who were not granted it by name; a key for each threshold."""

import runpy
from pathlib import Path

from leo_telemetry_pipeline.store.server.migrations import (
    close_function,
    close_table,
    close_view,
    definer,
    rows,
    run_sql,
)

revision = "0007"
down_revision = "0006"

TABLES = """
ALTER TABLE telemetry_thresholds ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
COMMENT ON COLUMN telemetry_thresholds.id IS 'For tools that need a key without NULL; nothing refers to it.';
CREATE INDEX telemetry_analysis_runs_retry_of ON telemetry_analysis_runs (retry_of) WHERE retry_of IS NOT NULL;
"""

CLOSE = """
-- Privileges say who may do what. The policy is a second lock: whatever a key for browsers is granted later, by
-- default privileges or for all tables of a schema, it finds no row. Citus takes no policy with a subquery.
CREATE FUNCTION telemetry_close_table(closed regclass) RETURNS void LANGUAGE plpgsql AS $$
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
"""

PARTITIONS = """
-- Days outside the range, and days that the default partition holds rows of, stay in the default partition:
-- whoever writes spans may make partitions, but cannot make many.
CREATE OR REPLACE FUNCTION ensure_trace_partitions(first_day date, last_day date) RETURNS integer
-- Whoever holds the table for long must not hold up those who write: their spans go to the default partition then.
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
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
"""

CLOSED_TABLES = (
    "alembic_version",
    "continuous_improvements",
    "dimension_forecasts",
    "dimension_p50",
    "duration_histogram_blocks",
    "duration_histogram_blocks_made",
    "duration_histogram_days",
    "duration_histograms",
    "telemetry_analysis_runs",
    "telemetry_backtests",
    "telemetry_baselines",
    "telemetry_drains",
    "telemetry_intake_notices",
    "telemetry_quarantine",
    "telemetry_removed_keys",
    "telemetry_sealed_days",
    "telemetry_suggestions",
    "telemetry_thresholds",
    "telemetry_upkeep",
    "workflow_open_spans",
    "workflow_trace_counts",
)
VIEWS = (
    "current_p50",
    "p50_by_gate",
    "p50_by_gate_sd_type",
    "p50_by_handoff",
    "p50_by_other",
    "p50_by_phase",
    "p50_by_sd_type",
    "p50_by_subagent",
    "telemetry_effective_thresholds",
)
# Each runs with the rights of its caller, and had EXECUTE for everyone.
INVOKED = (
    "telemetry_check_transition()",
    "telemetry_close_item()",
    "telemetry_effective_threshold(text, text)",
    "telemetry_enqueue_retry(telemetry_analysis_runs)",
    "telemetry_set_updated_at()",
    "telemetry_window_start(timestamptz, integer)",
)
_PARTITIONS_OF_SPANS = (
    "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'workflow_trace_log'::regclass"
)
# Also of users' views on top of ours: a security_invoker view asks whoever runs the query, whatever lies between.
_READERS = """
WITH RECURSIVE relations AS (
    SELECT c.oid FROM pg_class AS c
    WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND c.relname = ANY(%s)
    UNION SELECT v.oid FROM relations AS r
        JOIN pg_depend AS d ON d.refobjid = r.oid
            AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
        JOIN pg_rewrite AS w ON w.oid = d.objid
        JOIN pg_class AS v ON v.oid = w.ev_class AND v.relkind = 'v'
)
SELECT DISTINCT quote_ident(r.rolname)
FROM pg_class AS c
JOIN relations ON relations.oid = c.oid
CROSS JOIN LATERAL (
    SELECT c.relacl AS acl UNION ALL SELECT a.attacl FROM pg_attribute AS a WHERE a.attrelid = c.oid
) AS lists
CROSS JOIN LATERAL aclexplode(lists.acl) AS entry
JOIN pg_roles AS r ON r.oid = entry.grantee
WHERE entry.privilege_type = 'SELECT' AND entry.grantee <> c.relowner
  AND r.rolname NOT IN ('anon', 'anonymous', 'authenticated', 'service_role')
"""
_WITHOUT_RUNS = "AND NOT has_table_privilege(r.oid, 'telemetry_analysis_runs', 'SELECT')"


def upgrade() -> None:
    run_sql(TABLES)
    run_sql(CLOSE)
    close_function("telemetry_close_table(regclass)")
    run_sql(PARTITIONS)
    # The span table before its partitions, as everyone who locks both.
    for name in ("workflow_trace_log", *(name for (name,) in rows(_PARTITIONS_OF_SPANS)), *CLOSED_TABLES):
        close_table(name)
    for name in VIEWS:
        close_view(name)
    for signature in INVOKED:
        close_function(signature)
    for signature in _earlier("0002_functions.py")["CALLABLE"]:
        definer(signature)
    _keep_what_readers_had()


def _keep_what_readers_had() -> None:
    """Grant those who read our views what the views now ask of them."""
    for (role,) in rows(_READERS, (list(VIEWS),)):
        run_sql(f"GRANT SELECT ON current_p50, dimension_p50 TO {role}")
    for (role,) in rows(_READERS + _WITHOUT_RUNS, (list(VIEWS),)):
        columns = "run_id, status, scope_type, window_end, finished_at"
        run_sql(f"GRANT SELECT ({columns}) ON telemetry_analysis_runs TO {role}")
    for (role,) in rows(_READERS, (["telemetry_thresholds"],)):
        run_sql(f"GRANT EXECUTE ON FUNCTION telemetry_effective_threshold(text, text) TO {role}")


def downgrade() -> None:
    run_sql("""
        DO $$
        DECLARE
            opened regclass;
        BEGIN
            FOR opened IN SELECT p.polrelid FROM pg_policy AS p WHERE p.polname = 'telemetry_granted' LOOP
                EXECUTE format('DROP POLICY telemetry_granted ON %s', opened);
                EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', opened);
            END LOOP;
        END $$;
        ALTER TABLE telemetry_thresholds DROP COLUMN id;
        DROP INDEX telemetry_analysis_runs_retry_of;
    """)
    for name in VIEWS:
        run_sql(f"ALTER VIEW {name} RESET (security_invoker)")
    for signature in INVOKED:
        run_sql(f"ALTER FUNCTION {signature} RESET search_path; GRANT EXECUTE ON FUNCTION {signature} TO PUBLIC")
    run_sql(_earlier_partitions())
    definer("ensure_trace_partitions(date, date)")
    run_sql("DROP FUNCTION telemetry_close_table(regclass)")


def _earlier_partitions() -> str:
    head = "CREATE OR REPLACE FUNCTION ensure_trace_partitions("
    return head + _earlier("0004_scaling.py")["PARTITIONS"].split(head, 1)[1]


def _earlier(version: str) -> dict:
    return runpy.run_path(str(Path(__file__).with_name(version)))
