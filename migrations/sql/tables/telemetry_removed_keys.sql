-- Names of attributes that redaction removed.
CREATE TABLE telemetry_removed_keys (
    key text PRIMARY KEY CHECK (key <> ''),
    count bigint NOT NULL CHECK (count > 0),
    last_seen timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE telemetry_removed_keys IS 'Names of removed attributes, and how often each was removed.';
