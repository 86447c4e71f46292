-- The threshold in force for a dimension, and where each value comes from.
CREATE OR REPLACE FUNCTION telemetry_effective_threshold(
    of_type text, of_key text,
    OUT is_active boolean,
    OUT baseline_p50_ms double precision, OUT baseline_source text,
    OUT multiplier double precision, OUT multiplier_source text,
    OUT min_samples integer, OUT min_samples_source text,
    OUT max_items_per_run integer, OUT max_items_per_day integer, OUT cooldown_hours integer
)
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT
        coalesce(k.is_active, true) AND coalesce(t.is_active, true) AND coalesce(g.is_active, true),
        coalesce(k.baseline_p50_ms, t.baseline_p50_ms, g.baseline_p50_ms, b.p50_ms),
        CASE WHEN coalesce(k.baseline_p50_ms, t.baseline_p50_ms, g.baseline_p50_ms) IS NOT NULL
             THEN 'configured' WHEN b.p50_ms IS NOT NULL THEN 'learned' END,
        coalesce(k.multiplier, t.multiplier, g.multiplier, b.multiplier),
        CASE WHEN k.multiplier IS NOT NULL THEN 'key' WHEN t.multiplier IS NOT NULL THEN 'type'
             WHEN g.multiplier IS NOT NULL THEN 'global' WHEN b.multiplier IS NOT NULL THEN 'learned' END,
        coalesce(k.min_samples, t.min_samples, g.min_samples),
        CASE WHEN k.min_samples IS NOT NULL THEN 'key' WHEN t.min_samples IS NOT NULL THEN 'type'
             WHEN g.min_samples IS NOT NULL THEN 'global' END,
        coalesce(t.max_items_per_run, g.max_items_per_run),
        coalesce(t.max_items_per_day, g.max_items_per_day),
        coalesce(t.cooldown_hours, g.cooldown_hours)
    FROM (SELECT 1) AS one
    LEFT JOIN telemetry_thresholds AS k ON k.dimension_type = of_type AND k.dimension_key = of_key
    LEFT JOIN telemetry_thresholds AS t ON t.dimension_type = of_type AND t.dimension_key IS NULL
    LEFT JOIN telemetry_thresholds AS g ON g.dimension_type = 'global' AND g.dimension_key IS NULL
    LEFT JOIN telemetry_baselines AS b ON b.dimension_type = of_type AND b.dimension_key = of_key AND b.scope_type = 'ALL' $$;
