-- Trigger: allow only the transitions of an item's life, and set the columns that follow from its status.
-- The setting leo_telemetry.transition, a JSON object, names actor and window_end. Without it, a person acts now.
CREATE OR REPLACE FUNCTION telemetry_check_item() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    active CONSTANT text[] := ARRAY['OPEN', 'ACKNOWLEDGED', 'IN_PROGRESS', 'VERIFYING'];
    given jsonb := coalesce(nullif(current_setting('leo_telemetry.transition', true), ''), '{}')::jsonb;
    is_measured boolean := coalesce(given->>'actor' = 'system', false);
    was_active boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'OPEN' THEN
            RAISE EXCEPTION 'a new improvement item is OPEN, not %', NEW.status USING ERRCODE = 'check_violation';
        END IF;
        NEW.episode := 1;
        NEW.status_since := coalesce((given->>'window_end')::timestamptz, now());
        RETURN NEW;
    END IF;
    NEW.episode := OLD.episode;
    NEW.status_since := OLD.status_since;
    NEW.closed_at := OLD.closed_at;
    NEW.noise_count := OLD.noise_count;
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    was_active := OLD.status = ANY(active);
    IF NEW.status IN ('RESOLVED', 'STALE') AND NOT is_measured THEN
        RAISE EXCEPTION 'an improvement item becomes % only by measurement', NEW.status
            USING ERRCODE = 'check_violation', HINT = 'Set VERIFYING if it is fixed: analyses then verify it.';
    END IF;
    IF NOT (
        (was_active AND NEW.status <> 'OPEN')
        OR (OLD.status = 'VERIFYING' AND NEW.status = 'OPEN' AND is_measured)
        OR (NOT was_active AND NEW.status = 'OPEN')
    ) THEN
        RAISE EXCEPTION 'an improvement item cannot go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'check_violation', HINT = 'A closed item can only be reopened: set OPEN.';
    END IF;
    NEW.status_since := coalesce((given->>'window_end')::timestamptz, now());
    NEW.closed_at := CASE WHEN NEW.status = ANY(active) THEN NULL ELSE now() END;
    IF NOT was_active THEN
        NEW.episode := OLD.episode + 1;
    END IF;
    IF NEW.status <> 'DISMISSED' THEN
        NEW.dismissed_until := NULL;
    ELSIF NEW.dismissed_until IS NULL THEN
        NEW.noise_count := OLD.noise_count + 1;
    END IF;
    RETURN NEW;
END $$;
