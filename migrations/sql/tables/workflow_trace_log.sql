-- Spans: one row per timed operation, one partition per UTC day.
CREATE TABLE workflow_trace_log (
    trace_id uuid NOT NULL,
    span_id uuid NOT NULL,
    parent_span_id uuid,
    workflow_execution_id text,
    sd_id text,
    project text DEFAULT '',
    phase text,
    gate_name text,
    subagent_name text,
    -- The excluded words belong to the dimension grammar: no dimension could name spans of such a type.
    span_type text NOT NULL CHECK (
        span_type <> '' AND span_type NOT LIKE '%+%' AND span_type NOT IN ('sd_type', 'global')),
    span_name text NOT NULL CHECK (span_name <> ''),
    start_time_ms bigint NOT NULL CHECK (start_time_ms >= 0),
    end_time_ms bigint,
    duration_ms bigint CHECK (duration_ms >= 0),
    queue_wait_ms bigint CHECK (queue_wait_ms >= 0),
    status text,
    attributes jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    duration_rest_us smallint CONSTRAINT workflow_trace_log_duration_rest_us_check CHECK (
        duration_rest_us >= -500 AND duration_rest_us <= 499 AND (duration_rest_us >= 0 OR duration_ms > 0)),
    CHECK (end_time_ms >= start_time_ms),
    PRIMARY KEY (trace_id, span_id, start_time_ms)
) PARTITION BY RANGE (start_time_ms);
COMMENT ON TABLE workflow_trace_log IS
    'One row per span: a timed operation. A row without duration_ms and end_time_ms may get its end later, from a span '
    'with the same key. A row with an end never changes.';
COMMENT ON COLUMN workflow_trace_log.duration_rest_us IS
    'Microseconds to add to duration_ms, which is rounded. NULL: the source has whole milliseconds.';

-- Spans arrive roughly in order of start_time_ms and created_at, so block ranges prune well and cost next to nothing.
CREATE INDEX workflow_trace_log_start ON workflow_trace_log USING brin (start_time_ms);
CREATE INDEX workflow_trace_log_created ON workflow_trace_log USING brin (created_at);
-- The traces of a counted day may have handoffs, and its spans may have waits, on other days.
CREATE INDEX workflow_trace_log_handoffs ON workflow_trace_log (trace_id, start_time_ms)
    WHERE span_type IN ('handoff', 'workflow');
CREATE INDEX workflow_trace_log_waits ON workflow_trace_log (start_time_ms) WHERE span_type = 'wait';
-- Few rows have no end, so this index finds them without reading the others.
CREATE INDEX workflow_trace_log_without_end ON workflow_trace_log (start_time_ms, created_at)
    WHERE duration_ms IS NULL AND end_time_ms IS NULL;

-- Holds the days that have no partition of their own.
CREATE TABLE workflow_trace_log_default PARTITION OF workflow_trace_log DEFAULT;
-- ensure_trace_partitions looks for rows of a day here before it creates the day's partition.
CREATE INDEX workflow_trace_log_default_by_start ON workflow_trace_log_default (start_time_ms);
SELECT telemetry_close_table('workflow_trace_log_default');
