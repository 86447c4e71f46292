-- Improvement items: at most one open item per fingerprint.
CREATE TABLE continuous_improvements (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    source text NOT NULL DEFAULT 'TELEMETRY_BOTTLENECK',
    fingerprint text NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    source_detail jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'IN_PROGRESS', 'RESOLVED', 'DISMISSED')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    resolution text CHECK (resolution IN ('fixed', 'noise', 'expected')),
    closed_at timestamptz
);
COMMENT ON TABLE continuous_improvements IS 'Improvement items, at most one open item per fingerprint.';
COMMENT ON COLUMN continuous_improvements.resolution IS
    'Outcome of a closed item: fixed; noise (a false alarm); or expected (as slow as it should be).';

CREATE UNIQUE INDEX continuous_improvements_one_open
    ON continuous_improvements (fingerprint) WHERE status IN ('OPEN', 'IN_PROGRESS');
CREATE INDEX continuous_improvements_fingerprint ON continuous_improvements (fingerprint, created_at);

CREATE TRIGGER continuous_improvements_updated_at BEFORE UPDATE ON continuous_improvements
    FOR EACH ROW EXECUTE FUNCTION telemetry_set_updated_at();
CREATE TRIGGER continuous_improvements_closed BEFORE UPDATE OF status, resolution ON continuous_improvements
    FOR EACH ROW EXECUTE FUNCTION telemetry_close_item();
