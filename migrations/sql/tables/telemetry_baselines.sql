-- Learned baselines, per scope and dimension; configured thresholds take precedence.
CREATE TABLE telemetry_baselines (
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    p50_ms double precision NOT NULL CHECK (p50_ms > 0),
    multiplier double precision NOT NULL CHECK (multiplier > 0),
    regime_start date,
    evidence jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    scope_type text NOT NULL DEFAULT 'ALL' CHECK (scope_type IN ('ALL', 'PROJECT')),
    scope_id text NOT NULL DEFAULT '',
    regime_days integer NOT NULL DEFAULT 0,
    window_end timestamptz,
    moved_at timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz,
    PRIMARY KEY (scope_type, scope_id, dimension_type, dimension_key)
);
COMMENT ON TABLE telemetry_baselines IS 'Learned baselines. Configured thresholds take precedence.';
COMMENT ON COLUMN telemetry_baselines.window_end IS 'End of the window of the last analysis that used it.';
COMMENT ON COLUMN telemetry_baselines.moved_at IS 'When it was learned, or last moved.';
COMMENT ON COLUMN telemetry_baselines.accepted_at IS
    'When a person last accepted the current level as normal. If that is after moved_at, the baseline may rise.';
