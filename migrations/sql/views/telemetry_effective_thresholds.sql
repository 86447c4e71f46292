-- The threshold in force for each dimension that is known: measured, configured or learned.
CREATE OR REPLACE VIEW telemetry_effective_thresholds WITH (security_invoker = true) AS
    SELECT d.dimension_type, d.dimension_key, e.*
    FROM (
        SELECT dimension_type, dimension_key FROM current_p50
        UNION SELECT dimension_type, dimension_key FROM telemetry_thresholds WHERE dimension_key IS NOT NULL
        UNION SELECT dimension_type, dimension_key FROM telemetry_baselines WHERE scope_type = 'ALL'
    ) AS d, LATERAL telemetry_effective_threshold(d.dimension_type, d.dimension_key) AS e;
