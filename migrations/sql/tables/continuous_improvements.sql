-- Improvement items: one row per fingerprint, for all its episodes.
CREATE TABLE continuous_improvements (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    source text NOT NULL DEFAULT 'TELEMETRY_BOTTLENECK',
    fingerprint text NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    source_detail jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'OPEN' CONSTRAINT continuous_improvements_status_check CHECK (status IN (
        'OPEN', 'ACKNOWLEDGED', 'IN_PROGRESS', 'VERIFYING', 'RESOLVED', 'ACCEPTED', 'DISMISSED', 'STALE')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    episode integer NOT NULL DEFAULT 1,
    status_since timestamptz NOT NULL DEFAULT now(),
    dismissed_until timestamptz,
    noise_count integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE continuous_improvements IS 'Improvement items, one row per fingerprint, for all its episodes.';
COMMENT ON COLUMN continuous_improvements.episode IS 'Number of the current stretch from opening to closing.';
COMMENT ON COLUMN continuous_improvements.status_since IS 'Window time of the last transition.';
COMMENT ON COLUMN continuous_improvements.dismissed_until IS
    'Window time from which a DISMISSED item may return; NULL: only a person reopens it.';
COMMENT ON COLUMN continuous_improvements.noise_count IS
    'How often it was dismissed for good; each time makes the test of its dimensions stricter.';

CREATE UNIQUE INDEX continuous_improvements_fingerprint ON continuous_improvements (fingerprint);

CREATE TRIGGER continuous_improvements_updated_at BEFORE UPDATE ON continuous_improvements
    FOR EACH ROW EXECUTE FUNCTION telemetry_set_updated_at();
CREATE TRIGGER continuous_improvements_check BEFORE INSERT OR UPDATE ON continuous_improvements
    FOR EACH ROW EXECUTE FUNCTION telemetry_check_item();
CREATE TRIGGER continuous_improvements_record AFTER INSERT OR UPDATE ON continuous_improvements
    FOR EACH ROW EXECUTE FUNCTION telemetry_record_item();
