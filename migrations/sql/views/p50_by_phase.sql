-- The last analysis by phase.
CREATE OR REPLACE VIEW p50_by_phase WITH (security_invoker = true) AS
    SELECT * FROM current_p50 WHERE dimension_type = 'phase';
