-- Daily history: a histogram of durations per day, dimension and project.
CREATE TABLE duration_histograms (
    day date NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    project text NOT NULL,
    part integer NOT NULL DEFAULT 0 CHECK (part >= 0),
    count bigint NOT NULL,
    sum_ms double precision NOT NULL,
    min_ms double precision NOT NULL,
    max_ms double precision NOT NULL,
    buckets integer[] NOT NULL,
    counts bigint[] NOT NULL,
    p50_ms double precision,
    center double precision,
    tail double precision,
    fine_count bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (day, dimension_type, dimension_key, project, part)
);
COMMENT ON TABLE duration_histograms IS 'Durations per day, dimension and project, in logarithmic buckets of 0.5 %.';
COMMENT ON COLUMN duration_histograms.part IS
    '0: counted from stored spans, and counted again when the day changes. Above 0: sealed, final, and its spans may be '
    'gone. Parts of a day share no span, so they add up.';
COMMENT ON COLUMN duration_histograms.p50_ms IS
    'Median within 0.5 %. NULL: the day has not ended, or was counted before this column existed.';
COMMENT ON COLUMN duration_histograms.center IS
    'Mean of the log durations in ms without the fastest and slowest tenth. NULL where p50_ms is.';
COMMENT ON COLUMN duration_histograms.tail IS
    'Mean of the log durations in ms of the slowest fifth. NULL where p50_ms is.';
COMMENT ON COLUMN duration_histograms.fine_count IS
    'Number of spans with microseconds. The day is in whole milliseconds if fewer than nine tenths have them.';
