-- Slices of names: names whose spans are counted per value of an attribute, too.
CREATE TABLE telemetry_name_slices (
    span_type text NOT NULL,
    span_name text NOT NULL,
    attribute text NOT NULL,
    is_counted boolean NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (span_type, span_name, attribute)
);
COMMENT ON TABLE telemetry_name_slices IS
    'Names with an attribute of a few values. Each value is a dimension of its own, as in operation+host:GET:web-1, '
    'beside the name as a whole.';
COMMENT ON COLUMN telemetry_name_slices.is_counted IS 'False: left out, since larger names have the most slices allowed.';
