-- Daily history added up in blocks of 4 to 64 days.
CREATE TABLE duration_histogram_blocks (
    first_day date NOT NULL,
    days integer NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    project text NOT NULL,
    seen_on bigint NOT NULL,
    count bigint NOT NULL,
    sum_ms double precision NOT NULL,
    min_ms double precision NOT NULL,
    max_ms double precision NOT NULL,
    packed bytea NOT NULL,
    PRIMARY KEY (first_day, days, dimension_type, dimension_key, project)
);
COMMENT ON TABLE duration_histogram_blocks IS
    'Sums of duration_histograms over 4 to 64 days, so that reading months is as fast as reading days.';
COMMENT ON COLUMN duration_histogram_blocks.seen_on IS 'Bit n is set if the dimension has spans on day n of the block.';
COMMENT ON COLUMN duration_histogram_blocks.packed IS
    'Buckets and their counts, big-endian. The first byte is the width w of a count in bytes; then follow all buckets '
    '(2 bytes each) and all counts (w bytes each). If the first byte is w + 16: one bucket, then the counts of it and of '
    'the buckets after it.';
