-- Drains of the spool, with the counters of the processes that had filled it.
CREATE TABLE telemetry_drains (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    drained_at timestamptz NOT NULL DEFAULT now(),
    drained_by text NOT NULL,
    segments integer NOT NULL,
    spans bigint NOT NULL,
    new_spans bigint NOT NULL,
    quarantined bigint NOT NULL,
    torn bigint NOT NULL,
    counters jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX telemetry_drains_drained_at ON telemetry_drains (drained_at);
COMMENT ON TABLE telemetry_drains IS
    'One row per drain of a spool, with the counters of the processes that had filled it.';
