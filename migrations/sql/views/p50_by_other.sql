-- The last analysis by every dimension type that has no view of its own.
CREATE OR REPLACE VIEW p50_by_other WITH (security_invoker = true) AS
    SELECT * FROM current_p50
    WHERE dimension_type NOT IN ('phase', 'gate', 'subagent', 'handoff', 'sd_type', 'gate+sd_type');
