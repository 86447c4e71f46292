-- Names that hold ids: templates that stand for their names in dimensions.
CREATE TABLE telemetry_folded_names (
    span_type text NOT NULL,
    span_name text NOT NULL,
    is_kept boolean NOT NULL DEFAULT false,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (span_type, span_name)
);
COMMENT ON TABLE telemetry_folded_names IS
    'Templates of names that hold ids, such as GET /users/{id}. Their names are one dimension; spans keep their names.';
COMMENT ON COLUMN telemetry_folded_names.is_kept IS
    'A name that is not folded although its template is, because a threshold is configured for it.';
