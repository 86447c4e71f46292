-- Configured thresholds, per dimension, per dimension type, or for all.
CREATE TABLE telemetry_thresholds (
    dimension_type text NOT NULL CHECK (dimension_type <> ''),
    dimension_key text CHECK (dimension_key <> ''),
    baseline_p50_ms double precision CHECK (baseline_p50_ms > 0 AND baseline_p50_ms < 'Infinity'),
    multiplier double precision CHECK (multiplier > 0 AND multiplier < 'Infinity'),
    min_samples integer CHECK (min_samples > 0),
    is_active boolean NOT NULL DEFAULT true,
    max_items_per_run integer CHECK (max_items_per_run >= 0),
    max_items_per_day integer CHECK (max_items_per_day >= 0),
    cooldown_hours integer CHECK (cooldown_hours >= 0),
    updated_at timestamptz NOT NULL DEFAULT now(),
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_by text,
    reason text,
    UNIQUE NULLS NOT DISTINCT (dimension_type, dimension_key)
);
COMMENT ON TABLE telemetry_thresholds IS
    'Written by people; an analysis changes rows only if LEO_TELEMETRY_APPLY_SUGGESTIONS is true. No key: default of the '
    'type. Type global: default of all types. NULL: inherited.';
COMMENT ON COLUMN telemetry_thresholds.id IS 'Key without NULL, for tools that need one. Nothing refers to it.';
COMMENT ON COLUMN telemetry_thresholds.changed_by IS
    'Who last changed it: system, or the name of a person; the database user if plain SQL names nobody.';

CREATE TRIGGER telemetry_thresholds_updated_at BEFORE UPDATE ON telemetry_thresholds
    FOR EACH ROW EXECUTE FUNCTION telemetry_set_updated_at();
CREATE TRIGGER telemetry_thresholds_signed BEFORE INSERT OR UPDATE ON telemetry_thresholds
    FOR EACH ROW EXECUTE FUNCTION telemetry_sign_threshold();
