-- Trigger: allow only the transitions of a run's lifecycle.
CREATE OR REPLACE FUNCTION telemetry_check_transition() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT (
        (OLD.status = 'QUEUED' AND NEW.status IN ('RUNNING', 'FAILED', 'CANCELLED'))
        OR (OLD.status = 'RUNNING' AND NEW.status IN ('SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELLED'))
    ) THEN
        RAISE EXCEPTION 'an analysis run cannot go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'check_violation', HINT = 'Final states are final: a retry is a new row.';
    END IF;
    RETURN NEW;
END $$;
