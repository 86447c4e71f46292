"""Tables of learning: baselines a scope, what lies behind each judgement, what became of items."""

import runpy
from pathlib import Path

from leo_telemetry_pipeline.store.server.migrations import definer, run_sql

revision = "0005"
down_revision = "0004"

BASELINES = """
ALTER TABLE telemetry_baselines
    DROP CONSTRAINT telemetry_baselines_pkey,
    ADD COLUMN scope_type text NOT NULL DEFAULT 'ALL' CHECK (scope_type IN ('ALL', 'PROJECT')),
    ADD COLUMN scope_id text NOT NULL DEFAULT '',
    ADD COLUMN regime_days integer NOT NULL DEFAULT 0,
    ADD COLUMN window_end timestamptz,
    ADD COLUMN moved_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN accepted_at timestamptz,
    ALTER COLUMN regime_start TYPE date USING (regime_start AT TIME ZONE 'UTC')::date,
    ADD PRIMARY KEY (scope_type, scope_id, dimension_type, dimension_key);
COMMENT ON COLUMN telemetry_baselines.window_end IS 'The end of the window of the analysis that last looked at it.';
COMMENT ON COLUMN telemetry_baselines.moved_at IS 'When it was learned or last moved.';
COMMENT ON COLUMN telemetry_baselines.accepted_at IS
    'When a person last accepted the present level as normal; until it moves the baseline may rise.';

CREATE OR REPLACE VIEW telemetry_effective_thresholds AS
    SELECT d.dimension_type, d.dimension_key, e.*
    FROM (
        SELECT dimension_type, dimension_key FROM current_p50
        UNION SELECT dimension_type, dimension_key FROM telemetry_thresholds WHERE dimension_key IS NOT NULL
        UNION SELECT dimension_type, dimension_key FROM telemetry_baselines WHERE scope_type = 'ALL'
    ) AS d, LATERAL telemetry_effective_threshold(d.dimension_type, d.dimension_key) AS e;
"""

PACKED = "One byte: how wide a count is. Then the buckets, two bytes each, and their counts; high bytes first."

HISTORY = f"""
ALTER TABLE duration_histograms ADD COLUMN p50_ms double precision;
COMMENT ON COLUMN duration_histograms.p50_ms IS
    'The median of the row''s spans, within 0.5 %; of a day that has not ended, or was counted earlier, NULL.';
COMMENT ON COLUMN duration_histogram_blocks.packed IS
    '{PACKED} 16 more: of a run of buckets, the first, and a count for each.';
"""

JUDGEMENTS = """
ALTER TABLE dimension_p50
    ADD COLUMN observed_p50_ms double precision,
    ADD COLUMN onset_day date,
    ADD COLUMN p_value double precision,
    ADD COLUMN learned jsonb;
COMMENT ON COLUMN dimension_p50.observed_p50_ms IS
    'What was compared with the baseline: the P50 of the window, or against a learned baseline that since the onset.';
COMMENT ON COLUMN dimension_p50.learned IS
    'How the dimension was judged by its own days: the learned baseline, the change, each guard with its numbers.';
"""

ITEMS = """
ALTER TABLE continuous_improvements
    ADD COLUMN resolution text CHECK (resolution IN ('fixed', 'noise', 'expected')),
    ADD COLUMN closed_at timestamptz;
COMMENT ON COLUMN continuous_improvements.resolution IS
    'What became of a closed item: fixed; noise, there was nothing; or expected, as slow as it should be.';

CREATE FUNCTION telemetry_close_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status IN ('RESOLVED', 'DISMISSED') AND OLD.status NOT IN ('RESOLVED', 'DISMISSED') THEN
        NEW.closed_at := now();
        -- Whoever closes one by plain SQL says by the status what there is to say.
        NEW.resolution := coalesce(NEW.resolution, CASE NEW.status WHEN 'RESOLVED' THEN 'fixed' ELSE 'noise' END);
    ELSIF NEW.status NOT IN ('RESOLVED', 'DISMISSED') THEN
        NEW.closed_at := NULL;
        NEW.resolution := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER continuous_improvements_closed BEFORE UPDATE OF status, resolution ON continuous_improvements
    FOR EACH ROW EXECUTE FUNCTION telemetry_close_item();
"""

FORECASTS = """
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
    -- Kept as long as the P50 that it looks ahead from.
    FOREIGN KEY (run_id, dimension_type, dimension_key) REFERENCES dimension_p50 ON DELETE CASCADE
);
COMMENT ON TABLE dimension_forecasts IS
    'How likely each dimension of a run is a bottleneck of the window that ends with a day to come, or why not said.';

CREATE TABLE telemetry_backtests (
    run_id uuid PRIMARY KEY REFERENCES telemetry_analysis_runs ON DELETE CASCADE,
    verdict text NOT NULL,
    scores jsonb NOT NULL,
    bins jsonb NOT NULL,
    calibration jsonb NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE telemetry_backtests IS 'How good forecasts of the past would have been, beside rules without a model.';
"""

SUGGESTIONS = """
CREATE TABLE telemetry_suggestions (
    run_id uuid NOT NULL REFERENCES telemetry_analysis_runs ON DELETE CASCADE,
    dimension_type text NOT NULL,
    dimension_key text NOT NULL,
    source text NOT NULL CHECK (source IN ('key', 'type', 'global')),
    current_baseline_p50_ms double precision,
    current_multiplier double precision NOT NULL,
    baseline_p50_ms double precision CHECK (baseline_p50_ms > 0),
    multiplier double precision CHECK (multiplier > 1),
    alarms_a_year_now double precision,
    alarms_a_year_then double precision,
    share_over_now double precision CHECK (share_over_now BETWEEN 0 AND 1),
    is_slower boolean NOT NULL,
    reason text NOT NULL DEFAULT '',
    evidence jsonb NOT NULL DEFAULT '{}',
    made_at timestamptz NOT NULL DEFAULT now(),
    applied_at timestamptz,
    PRIMARY KEY (run_id, dimension_type, dimension_key)
);
COMMENT ON TABLE telemetry_suggestions IS
    'What would fit each dimension with a threshold that somebody wrote, as of a run, or the reason why not said.';
COMMENT ON COLUMN telemetry_suggestions.source IS 'Which row today''s threshold comes from.';
COMMENT ON COLUMN telemetry_suggestions.baseline_p50_ms IS 'NULL where today''s is to stay, as it is learned.';
COMMENT ON COLUMN telemetry_suggestions.applied_at IS
    'When it was written to telemetry_thresholds without being asked.';
"""

# Only what was learned for all projects together applies to a dimension without further ado.
_JOIN = "b.dimension_type = of_type AND b.dimension_key = of_key"
# What a re-execution takes along of each dimension.
_TAKEN_ALONG = "p.outcome, p.evidence_trace_ids"
_BEGIN = "begin_telemetry_run(text, text, text, text, integer, timestamptz, text, integer)"


def upgrade() -> None:
    run_sql(BASELINES)
    run_sql(_threshold_function().replace(_JOIN, f"{_JOIN} AND b.scope_type = 'ALL'"))
    run_sql(HISTORY)
    run_sql(JUDGEMENTS)
    run_sql(_begin().replace(_TAKEN_ALONG, f"{_TAKEN_ALONG}, p.observed_p50_ms, p.onset_day, p.p_value, p.learned"))
    definer(_BEGIN)
    run_sql(ITEMS)
    run_sql(FORECASTS)
    run_sql(SUGGESTIONS)


def downgrade() -> None:
    run_sql(f"""
        DROP TABLE dimension_forecasts, telemetry_backtests, telemetry_suggestions;
        -- Runs cannot be read by what came before; blocks are made anew from days.
        DELETE FROM duration_histogram_blocks;
        DELETE FROM duration_histogram_blocks_made;
        COMMENT ON COLUMN duration_histogram_blocks.packed IS '{PACKED}';
        DROP TRIGGER continuous_improvements_closed ON continuous_improvements;
        DROP FUNCTION telemetry_close_item;
        ALTER TABLE continuous_improvements DROP COLUMN resolution, DROP COLUMN closed_at;
        ALTER TABLE duration_histograms DROP COLUMN p50_ms;
        ALTER TABLE dimension_p50 DROP COLUMN observed_p50_ms, DROP COLUMN onset_day, DROP COLUMN p_value,
            DROP COLUMN learned;
        CREATE OR REPLACE VIEW telemetry_effective_thresholds AS
            SELECT d.dimension_type, d.dimension_key, e.*
            FROM (
                SELECT dimension_type, dimension_key FROM current_p50
                UNION SELECT dimension_type, dimension_key FROM telemetry_thresholds WHERE dimension_key IS NOT NULL
                UNION SELECT dimension_type, dimension_key FROM telemetry_baselines
            ) AS d, LATERAL telemetry_effective_threshold(d.dimension_type, d.dimension_key) AS e;
        DELETE FROM telemetry_baselines WHERE scope_type <> 'ALL';
        ALTER TABLE telemetry_baselines
            DROP CONSTRAINT telemetry_baselines_pkey, DROP COLUMN scope_type, DROP COLUMN scope_id,
            DROP COLUMN regime_days, DROP COLUMN window_end, DROP COLUMN moved_at,
            DROP COLUMN accepted_at,
            ALTER COLUMN regime_start TYPE timestamptz USING regime_start::timestamp AT TIME ZONE 'UTC',
            ADD PRIMARY KEY (dimension_type, dimension_key);
    """)
    run_sql(_threshold_function())
    run_sql(_begin())
    definer(_BEGIN)


def _threshold_function() -> str:
    return _function("0001_tables.py", "CONFIGURATION", "telemetry_effective_threshold")


def _begin() -> str:
    return _function("0002_functions.py", "CLAIM", "begin_telemetry_run")


def _function(version: str, part: str, name: str) -> str:
    """Return the statement that makes a function as an earlier version made it."""
    text = runpy.run_path(str(Path(__file__).with_name(version)))[part]
    head = f"FUNCTION {name}("
    return f"CREATE OR REPLACE {head}" + text.split(head, 1)[1].split("$$;", 1)[0].rstrip() + " $$;\n"
