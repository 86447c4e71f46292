-- Trigger: set closed_at and resolution when an improvement item is closed, clear them when it reopens.
CREATE OR REPLACE FUNCTION telemetry_close_item() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.status IN ('RESOLVED', 'DISMISSED') AND OLD.status NOT IN ('RESOLVED', 'DISMISSED') THEN
        NEW.closed_at := now();
        -- A plain SQL UPDATE may set only the status, from which the resolution then follows.
        NEW.resolution := coalesce(NEW.resolution, CASE NEW.status WHEN 'RESOLVED' THEN 'fixed' ELSE 'noise' END);
    ELSIF NEW.status NOT IN ('RESOLVED', 'DISMISSED') THEN
        NEW.closed_at := NULL;
        NEW.resolution := NULL;
    END IF;
    RETURN NEW;
END $$;
