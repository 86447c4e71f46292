-- The last analysis by SD type.
CREATE OR REPLACE VIEW p50_by_sd_type WITH (security_invoker = true) AS
    SELECT * FROM current_p50 WHERE dimension_type = 'sd_type';
