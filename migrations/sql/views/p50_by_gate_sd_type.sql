-- The last analysis by gate and SD type.
CREATE OR REPLACE VIEW p50_by_gate_sd_type WITH (security_invoker = true) AS
    SELECT * FROM current_p50 WHERE dimension_type = 'gate+sd_type';
