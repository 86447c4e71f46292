-- Trigger: record each transition of an item in item_events, also one made by plain SQL.
-- The setting leo_telemetry.transition, a JSON object, names actor, reason, run_id and effect.
CREATE OR REPLACE FUNCTION telemetry_record_item() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    given jsonb := coalesce(nullif(current_setting('leo_telemetry.transition', true), ''), '{}')::jsonb;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.status = OLD.status THEN
        RETURN NULL;
    END IF;
    INSERT INTO item_events
        (item_id, episode, from_status, to_status, window_end, actor, reason, run_id, effect)
    VALUES (
        NEW.id, NEW.episode, CASE TG_OP WHEN 'UPDATE' THEN OLD.status END, NEW.status, NEW.status_since,
        coalesce(given->>'actor', session_user), coalesce(given->>'reason', 'changed by SQL'),
        (given->>'run_id')::uuid, nullif(given->'effect', 'null'));
    RETURN NULL;
END $$;
