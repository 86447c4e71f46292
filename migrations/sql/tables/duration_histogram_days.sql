-- Counted days of daily history, per dimension type: up to when, and whether they are stale.
CREATE TABLE duration_histogram_days (
    day date NOT NULL,
    dimension_type text NOT NULL,
    complete_before timestamptz NOT NULL,
    counted_until timestamptz,
    is_stale boolean NOT NULL DEFAULT false,
    open_spans bigint NOT NULL DEFAULT 0,
    open_nearby uuid[] NOT NULL DEFAULT '{}',
    looked_at timestamptz,
    PRIMARY KEY (day, dimension_type)
);
COMMENT ON TABLE duration_histogram_days IS
    'Which days are counted, a row a dimension type; the type of no name is that of workflow_trace_counts.';
COMMENT ON COLUMN duration_histogram_days.complete_before IS
    'Every span of that day with an older created_at is counted.';
COMMENT ON COLUMN duration_histogram_days.counted_until IS
    'Only spans that started before it are counted. NULL: those of the whole day.';
COMMENT ON COLUMN duration_histogram_days.open_spans IS
    'How many spans of the day, sealed parts left out, had no end when it was counted: once fewer are left, it is '
    'stale.';
COMMENT ON COLUMN duration_histogram_days.open_nearby IS
    'Ids of handoffs and waits of other days, in traces of this one, that had no end when it was counted.';
COMMENT ON COLUMN duration_histogram_days.looked_at IS
    'When open_spans was counted: spans that were stored later are not among them.';
