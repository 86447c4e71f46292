-- Daily history added up in blocks of 4 to 64 days, so that months are read as fast as days.
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
    'One byte: how wide a count is. Then the buckets, two bytes each, and their counts; high bytes first. '
    '16 more: of a run of buckets, the first, and a count for each.';
