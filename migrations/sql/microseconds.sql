-- Columns for microseconds, resolutions, slow calls, and the centers and tails of days, in tables that lack them.
ALTER TABLE workflow_trace_log ADD COLUMN IF NOT EXISTS duration_rest_us smallint
    CONSTRAINT workflow_trace_log_duration_rest_us_check CHECK (
    duration_rest_us >= -500 AND duration_rest_us <= 499 AND (duration_rest_us >= 0 OR duration_ms > 0));

-- Every role that may update the durations of spans must also be able to update the new column.
DO $$
DECLARE
    writer text;
BEGIN
    FOR writer IN
        SELECT p.grantee FROM information_schema.column_privileges AS p
        WHERE p.table_schema = current_schema() AND p.table_name = 'workflow_trace_log'
            AND p.column_name = 'duration_ms' AND p.privilege_type = 'UPDATE' AND p.grantee <> 'PUBLIC'
            AND NOT has_column_privilege(p.grantee::name, 'workflow_trace_log', 'duration_rest_us', 'UPDATE')
    LOOP
        -- Citus 13 refuses it for all nodes; `migrate` repeats it on the shards.
        PERFORM set_config('citus.enable_ddl_propagation', 'off', true);
        EXECUTE format('GRANT UPDATE (duration_rest_us) ON workflow_trace_log TO %I', writer);
        PERFORM set_config('citus.enable_ddl_propagation', 'on', true);
    END LOOP;
END $$;

ALTER TABLE dimension_p50
    ADD COLUMN IF NOT EXISTS resolution_ms double precision,
    ADD COLUMN IF NOT EXISTS slow_calls jsonb;

DO $$
BEGIN
    IF to_regclass('duration_histograms') IS NULL OR EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = to_regclass('duration_histograms') AND attname = 'fine_count'
    ) THEN
        RETURN;
    END IF;
    ALTER TABLE duration_histograms
        ALTER COLUMN min_ms TYPE double precision,
        ALTER COLUMN max_ms TYPE double precision,
        ADD COLUMN center double precision,
        ADD COLUMN tail double precision,
        ADD COLUMN fine_count bigint NOT NULL DEFAULT 0;
    -- The bucket of zeros used to be -1. Blocks are deleted here and made again by the next analysis.
    UPDATE duration_histograms SET buckets = array_replace(buckets, -1, -1400) WHERE buckets[1] = -1;
    ALTER TABLE duration_histogram_blocks
        ALTER COLUMN min_ms TYPE double precision,
        ALTER COLUMN max_ms TYPE double precision;
    DELETE FROM duration_histogram_blocks;
    DELETE FROM duration_histogram_blocks_made;
END $$;
