-- Thresholds record who changed them last, and why.
ALTER TABLE telemetry_thresholds
    ADD COLUMN IF NOT EXISTS changed_by text, ADD COLUMN IF NOT EXISTS reason text;
