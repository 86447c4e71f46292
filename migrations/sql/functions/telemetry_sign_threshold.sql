-- Trigger: record who changed a threshold and why, also for a change by plain SQL.
-- The setting leo_telemetry.transition, a JSON object, names actor and reason.
CREATE OR REPLACE FUNCTION telemetry_sign_threshold() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    given jsonb := coalesce(nullif(current_setting('leo_telemetry.transition', true), ''), '{}')::jsonb;
BEGIN
    NEW.changed_by := coalesce(given->>'actor', session_user);
    NEW.reason := coalesce(given->>'reason', 'changed by SQL');
    RETURN NEW;
END $$;
