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
    'Counted days, one row per dimension type. The empty type stands for workflow_trace_counts.';
COMMENT ON COLUMN duration_histogram_days.complete_before IS
    'Every span of the day with an older created_at is counted.';
COMMENT ON COLUMN duration_histogram_days.counted_until IS
    'Only spans that started earlier are counted. NULL: the whole day.';
COMMENT ON COLUMN duration_histogram_days.open_spans IS
    'Spans without an end when the day was counted, sealed parts excluded. Once fewer are left, the day is stale.';
COMMENT ON COLUMN duration_histogram_days.open_nearby IS
    'Ids of handoffs and waits without an end on other days, in traces of this day, when it was counted.';
COMMENT ON COLUMN duration_histogram_days.looked_at IS
    'When open_spans was counted: it does not include spans that were stored later.';
