-- Names that several services or kinds of span share: each of these is judged by itself.
CREATE TABLE telemetry_shared_names (
    span_type text NOT NULL,
    span_name text NOT NULL,
    attribute text NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (span_type, span_name)
);
COMMENT ON TABLE telemetry_shared_names IS
    'Names of operations that several services, or client and server, share. Each is judged per value of the attribute '
    'instead, as in operation+service.name:GET:shop.';
