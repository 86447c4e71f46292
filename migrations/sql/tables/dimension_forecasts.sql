-- Forecasts per run and dimension: how likely the dimension is a bottleneck on a later day.
CREATE TABLE dimension_forecasts (
    run_id uuid NOT NULL,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    horizon_days integer NOT NULL CHECK (horizon_days > 0),
    day date NOT NULL,
    probability double precision CHECK (probability BETWEEN 0 AND 1),
    p50_ms double precision,
    low_ms double precision,
    high_ms double precision,
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, dimension_type, dimension_key, horizon_days),
    -- Deleted with the P50 that it starts from.
    FOREIGN KEY (run_id, dimension_type, dimension_key) REFERENCES dimension_p50 ON DELETE CASCADE
);
COMMENT ON TABLE dimension_forecasts IS
    'Probability that a dimension is a bottleneck in the window that ends on a future day, or the reason for none.';
