-- Rejected input: lines that could not become a span, and why.
CREATE TABLE telemetry_quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    content text NOT NULL,
    content_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    project text NOT NULL DEFAULT '',
    UNIQUE (source, line, content_hash)
);
COMMENT ON TABLE telemetry_quarantine IS 'Input that could not become a span, and why.';
COMMENT ON COLUMN telemetry_quarantine.project IS 'Project that the line names, or else that of the import.';
