-- Sealed days, one row per part: their history is final, so their spans may be archived and dropped.
CREATE TABLE telemetry_sealed_days (
    day date NOT NULL,
    part integer NOT NULL CHECK (part > 0),
    sealed_before timestamptz NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    spans bigint NOT NULL,
    archive_id uuid NOT NULL DEFAULT gen_random_uuid(),
    archive text,
    archived_at timestamptz,
    dropped_at timestamptz,
    restored_at timestamptz,
    PRIMARY KEY (day, part)
);
COMMENT ON TABLE telemetry_sealed_days IS
    'Days whose history is final up to a given time, one row per part: their spans may be archived and dropped.';
COMMENT ON COLUMN telemetry_sealed_days.sealed_before IS
    'The part holds the spans of the day with an older created_at that no lower part holds.';
