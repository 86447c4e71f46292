-- Directives: work drafted from improvement items, with the columns and values of LEO's strategic_directives_v2.
CREATE TABLE strategic_directives (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sd_key text NOT NULL UNIQUE CHECK (sd_key ~ '^SD-[A-Z0-9]+(-[A-Z0-9]+)*-[0-9]{3,}$'),
    sd_code_user_facing text NOT NULL GENERATED ALWAYS AS (sd_key) STORED,
    title text NOT NULL CHECK (title <> ''),
    description text NOT NULL CHECK (length(description) >= 100),
    scope text NOT NULL CHECK (scope <> ''),
    rationale text NOT NULL CHECK (rationale <> ''),
    strategic_intent text NOT NULL CHECK (strategic_intent <> ''),
    sd_type text NOT NULL DEFAULT 'bugfix' CHECK (sd_type <> ''),
    status text NOT NULL DEFAULT 'draft' CHECK (status IN (
        'draft', 'pending_approval', 'deferred', 'active', 'planning', 'in_progress', 'review', 'completed',
        'cancelled')),
    priority text NOT NULL CHECK (priority IN ('critical', 'high', 'medium', 'low')),
    category text NOT NULL DEFAULT 'performance' CHECK (category <> ''),
    current_phase text NOT NULL DEFAULT 'LEAD' CHECK (current_phase <> ''),
    target_application text NOT NULL CHECK (target_application <> ''),
    strategic_objectives jsonb NOT NULL CHECK (jsonb_array_length(strategic_objectives) >= 1),
    success_criteria jsonb NOT NULL CHECK (jsonb_array_length(success_criteria) >= 2),
    success_metrics jsonb NOT NULL CHECK (jsonb_array_length(success_metrics) >= 1),
    key_changes jsonb NOT NULL CHECK (jsonb_array_length(key_changes) >= 1),
    smoke_test_steps jsonb NOT NULL CHECK (jsonb_array_length(smoke_test_steps) >= 1),
    key_principles jsonb NOT NULL CHECK (jsonb_array_length(key_principles) >= 1),
    risks jsonb NOT NULL CHECK (jsonb_array_length(risks) >= 1),
    dependencies jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(dependencies) = 'array'),
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (scope <> description),
    -- Only a measurement completes a directive, and the outcome says what was measured.
    CHECK (status <> 'completed' OR metadata ? 'outcome')
);
COMMENT ON TABLE strategic_directives IS
    'Directives: work drafted from improvement items, as rows of the LEO engine''s strategic_directives_v2.';
COMMENT ON COLUMN strategic_directives.status IS
    'A draft until someone approves it; completed once its items are measured as fast again.';
COMMENT ON COLUMN strategic_directives.metadata IS
    'Items, fingerprints, run, dimension and P50s it was drafted from; its outcome.';

CREATE TRIGGER strategic_directives_updated_at BEFORE UPDATE ON strategic_directives
    FOR EACH ROW EXECUTE FUNCTION telemetry_set_updated_at();
CREATE TRIGGER strategic_directives_transition BEFORE INSERT OR UPDATE OF status ON strategic_directives
    FOR EACH ROW EXECUTE FUNCTION telemetry_check_directive();
CREATE TRIGGER strategic_directives_recorded AFTER INSERT OR UPDATE OF status ON strategic_directives
    FOR EACH ROW EXECUTE FUNCTION telemetry_record_directive();
