-- Blocks of daily history that exist, including those without a row in duration_histogram_blocks.
CREATE TABLE duration_histogram_blocks_made (
    first_day date NOT NULL,
    days integer NOT NULL,
    dimension_type text NOT NULL,
    PRIMARY KEY (first_day, days, dimension_type)
);
COMMENT ON TABLE duration_histogram_blocks_made IS
    'Blocks that exist, including those without a row in duration_histogram_blocks.';
