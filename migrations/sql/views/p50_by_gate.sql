-- The last analysis by gate.
CREATE OR REPLACE VIEW p50_by_gate WITH (security_invoker = true) AS
    SELECT * FROM current_p50 WHERE dimension_type = 'gate';
