-- Trigger: allow only the transitions of a directive's lifecycle.
CREATE OR REPLACE FUNCTION telemetry_check_directive() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'draft' THEN
            RAISE EXCEPTION 'a directive begins as draft, not as %', NEW.status USING ERRCODE = 'check_violation';
        END IF;
    ELSIF NEW.status <> OLD.status AND NOT (CASE OLD.status
        WHEN 'draft' THEN NEW.status IN ('pending_approval', 'deferred', 'active', 'cancelled')
        WHEN 'pending_approval' THEN NEW.status IN ('draft', 'deferred', 'active', 'cancelled')
        WHEN 'deferred' THEN NEW.status IN ('draft', 'active', 'cancelled')
        WHEN 'active' THEN NEW.status IN ('deferred', 'planning', 'in_progress', 'review', 'completed', 'cancelled')
        WHEN 'planning' THEN NEW.status IN ('deferred', 'in_progress', 'review', 'completed', 'cancelled')
        WHEN 'in_progress' THEN NEW.status IN ('deferred', 'review', 'completed', 'cancelled')
        WHEN 'review' THEN NEW.status IN ('in_progress', 'completed', 'cancelled')
        ELSE false
    END) THEN
        RAISE EXCEPTION 'a directive cannot go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'check_violation', HINT = 'Completed and cancelled are final: a return is a new directive.';
    END IF;
    RETURN NEW;
END $$;
