-- State of maintenance and retention: a single row.
CREATE TABLE telemetry_upkeep (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    keep_days integer NOT NULL DEFAULT 90 CHECK (keep_days >= 35),
    maintained_at timestamptz,
    history_seen_before timestamptz
);
INSERT INTO telemetry_upkeep (id) VALUES (1);
COMMENT ON TABLE telemetry_upkeep IS 'State of maintenance and retention, a single row.';
COMMENT ON COLUMN telemetry_upkeep.history_seen_before IS
    'Every span with an older created_at has marked the counted days that it touches as stale.';
