-- Trigger: set updated_at on every update.
CREATE OR REPLACE FUNCTION telemetry_set_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
