-- Status changes of directives: who, when and why.
CREATE TABLE directive_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    directive_id uuid NOT NULL REFERENCES strategic_directives ON DELETE CASCADE,
    from_status text,
    to_status text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE directive_events IS 'Status changes of directives: one row each, also for changes by SQL.';
COMMENT ON COLUMN directive_events.actor IS 'system, or the name of a person; the database user if plain SQL names nobody.';

CREATE INDEX directive_events_directive ON directive_events (directive_id, id);
