"""Tables of growing: history in parts and blocks, counts of spans by day, what retention did; days of partitions."""

import runpy
from pathlib import Path

from leo_telemetry_pipeline.store.server.migrations import definer, run_sql

revision = "0004"
down_revision = "0003"

HISTORY = """
-- Made of spans, so they are made again by the next analysis.
DROP TABLE duration_histograms, duration_histogram_days;

CREATE TABLE duration_histograms (
    day date NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    project text NOT NULL,
    part integer NOT NULL DEFAULT 0 CHECK (part >= 0),
    count bigint NOT NULL,
    sum_ms double precision NOT NULL,
    min_ms bigint NOT NULL,
    max_ms bigint NOT NULL,
    buckets integer[] NOT NULL,
    counts bigint[] NOT NULL,
    PRIMARY KEY (day, dimension_type, dimension_key, project, part)
);
COMMENT ON TABLE duration_histograms IS 'How long each dimension took on each day, in log buckets of 0.5 %.';
COMMENT ON COLUMN duration_histograms.part IS
    '0: counted from spans that are stored, and counted again when the day changes. Above: sealed, of spans that '
    'were stored by then and may be gone. Parts of a day share no span, so they add up.';

CREATE TABLE duration_histogram_days (
    day date NOT NULL,
    dimension_type text NOT NULL,
    complete_before timestamptz NOT NULL,
    counted_until timestamptz,
    is_stale boolean NOT NULL DEFAULT false,
    PRIMARY KEY (day, dimension_type)
);
COMMENT ON TABLE duration_histogram_days IS
    'Which days are counted, a row a dimension type; the type of no name is that of workflow_trace_counts.';
COMMENT ON COLUMN duration_histogram_days.complete_before IS
    'Every span of that day with an older created_at is counted.';
COMMENT ON COLUMN duration_histogram_days.counted_until IS
    'Only spans that started before it are counted. NULL: those of the whole day.';

CREATE TABLE duration_histogram_blocks (
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
    packed bytea NOT NULL,
    PRIMARY KEY (first_day, days, dimension_type, dimension_key, project)
);
COMMENT ON TABLE duration_histogram_blocks IS
    'Days of duration_histograms added up, 4 to 64 at a time, so that months are read as fast as days.';
COMMENT ON COLUMN duration_histogram_blocks.seen_on IS 'Bit n is set if the dimension has spans on day n of the block.';
COMMENT ON COLUMN duration_histogram_blocks.packed IS
    'One byte: how wide a count is. Then the buckets, two bytes each, and their counts; high bytes first.';

CREATE TABLE duration_histogram_blocks_made (
    first_day date NOT NULL,
    days integer NOT NULL,
    dimension_type text NOT NULL,
    PRIMARY KEY (first_day, days, dimension_type)
);

CREATE TABLE workflow_trace_counts (
    day date NOT NULL,
    span_type text NOT NULL,
    project text NOT NULL,
    part integer NOT NULL DEFAULT 0 CHECK (part >= 0),
    spans bigint NOT NULL,
    timed_spans bigint NOT NULL,
    traces bigint,
    PRIMARY KEY (day, span_type, project, part)
);
COMMENT ON TABLE workflow_trace_counts IS
    'How many spans each counted day has; the span type of no name is all of them, with their traces. Parts as in '
    'duration_histograms.';
"""

SPANS = """
-- Of a day that is counted, the handoffs of its traces and the waits of its spans may lie in other days.
CREATE INDEX workflow_trace_log_handoffs ON workflow_trace_log (trace_id, start_time_ms)
    WHERE span_type IN ('handoff', 'workflow');
CREATE INDEX workflow_trace_log_waits ON workflow_trace_log (start_time_ms) WHERE span_type = 'wait';
"""

UPKEEP = """
CREATE TABLE telemetry_upkeep (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    keep_days integer NOT NULL DEFAULT 90 CHECK (keep_days >= 35),
    maintained_at timestamptz,
    history_seen_before timestamptz
);
INSERT INTO telemetry_upkeep DEFAULT VALUES;
COMMENT ON TABLE telemetry_upkeep IS 'One row: what upkeep has to remember.';
COMMENT ON COLUMN telemetry_upkeep.history_seen_before IS
    'For every span with an older created_at, the counted days that it touches have been marked stale.';

CREATE TABLE telemetry_sealed_days (
    day date NOT NULL,
    part integer NOT NULL CHECK (part > 0),
    sealed_before timestamptz NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    spans bigint NOT NULL,
    archive_id uuid NOT NULL DEFAULT gen_random_uuid(),
    archive text,
    archived_at timestamptz,
    dropped_at timestamptz,
    restored_at timestamptz,
    PRIMARY KEY (day, part)
);
COMMENT ON TABLE telemetry_sealed_days IS
    'Days whose history is final up to a moment: their spans may be archived and dropped. A row a part.';
COMMENT ON COLUMN telemetry_sealed_days.sealed_before IS
    'The part has the spans of the day that are older than this by created_at and in no lower part.';
"""

PARTITIONS = """
-- Whether it holds rows of a day is asked before that day gets a partition.
CREATE INDEX workflow_trace_log_default_by_start ON workflow_trace_log_default (start_time_ms);

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


BEAT = """
-- It beats before it reaps: where few connections are shared, a beat may have waited for longer than a lost worker
-- is silent, and must not end its own run.
CREATE OR REPLACE FUNCTION beat_telemetry_run(run_id uuid, dagster_run_id text) RETURNS text
LANGUAGE plpgsql AS $$
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
"""


def upgrade() -> None:
    for part in (HISTORY, SPANS, UPKEEP, PARTITIONS, BEAT):
        run_sql(part)
    definer("ensure_trace_partitions(date, date)")
    definer("beat_telemetry_run(uuid, text)")


def downgrade() -> None:
    run_sql("""
        DROP INDEX workflow_trace_log_handoffs, workflow_trace_log_waits;
        DROP INDEX workflow_trace_log_default_by_start;
        DROP TABLE duration_histograms, duration_histogram_days, duration_histogram_blocks,
            duration_histogram_blocks_made, workflow_trace_counts, telemetry_upkeep, telemetry_sealed_days;
    """)
    run_sql(_earlier("0001_tables.py", "HISTORY"))
    # The functions keep their newer form where it needs none of these tables.
    run_sql(_earlier("0002_functions.py", "PARTITIONS"))


def _earlier(version: str, name: str) -> str:
    return runpy.run_path(str(Path(__file__).with_name(version)))[name]
