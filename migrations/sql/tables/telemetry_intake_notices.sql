-- Notices about input that was rejected, implausible or unknown.
CREATE TABLE telemetry_intake_notices (
    source text NOT NULL CHECK (source <> ''),
    kind text NOT NULL CHECK (kind <> ''),
    detail text NOT NULL DEFAULT '',
    count bigint NOT NULL CHECK (count > 0),
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, kind, detail)
);
COMMENT ON TABLE telemetry_intake_notices IS
    'Rejected, implausible or unknown input, counted by source, kind and detail.';
