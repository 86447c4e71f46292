-- Trigger: record each status change of a directive, and release its items when it ends.
-- The setting leo_telemetry.transition, a JSON object, names actor and reason.
CREATE OR REPLACE FUNCTION telemetry_record_directive() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    given jsonb := coalesce(nullif(current_setting('leo_telemetry.transition', true), ''), '{}')::jsonb;
    was text := CASE TG_OP WHEN 'UPDATE' THEN OLD.status END;
BEGIN
    IF was IS NOT DISTINCT FROM NEW.status THEN
        RETURN NULL;
    END IF;
    INSERT INTO directive_events (directive_id, from_status, to_status, actor, reason)
    VALUES (NEW.id, was, NEW.status, coalesce(given->>'actor', session_user),
            coalesce(given->>'reason', 'changed by SQL'));
    IF NEW.status IN ('completed', 'cancelled') THEN
        UPDATE directive_items SET is_live = false WHERE directive_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
