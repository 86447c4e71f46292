-- The last analysis by handoff.
CREATE OR REPLACE VIEW p50_by_handoff WITH (security_invoker = true) AS
    SELECT * FROM current_p50 WHERE dimension_type = 'handoff';
