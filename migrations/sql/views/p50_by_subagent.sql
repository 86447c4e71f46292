-- The last analysis by sub-agent.
CREATE OR REPLACE VIEW p50_by_subagent WITH (security_invoker = true) AS
    SELECT * FROM current_p50 WHERE dimension_type = 'subagent';
