-- How far sources with a past were read, so that the next reading skips it.
CREATE TABLE telemetry_source_cursors (
    source text NOT NULL,
    place text NOT NULL,
    position jsonb NOT NULL,
    read_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, place)
);
COMMENT ON TABLE telemetry_source_cursors IS
    'How far leo-telemetry look has read each place. It only saves work: ids of spans keep them from being stored twice.';
COMMENT ON COLUMN telemetry_source_cursors.position IS 'Interpreted by the source only.';
