-- Transitions of improvement items, written by a trigger.
CREATE TABLE item_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id uuid NOT NULL REFERENCES continuous_improvements ON DELETE CASCADE,
    episode integer NOT NULL,
    from_status text,
    to_status text NOT NULL,
    window_end timestamptz NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    run_id uuid,
    effect jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE item_events IS 'Transitions of improvement items, written by a trigger.';
COMMENT ON COLUMN item_events.window_end IS 'Window time of the transition: end of the window, or time of the decision.';
COMMENT ON COLUMN item_events.actor IS 'system, or the name of a person; the database user if plain SQL names nobody.';
COMMENT ON COLUMN item_events.effect IS
    'Of an episode that ends, or a fix without effect: P50s before, at worst, while slow and after, with intervals.';

CREATE INDEX item_events_of_item ON item_events (item_id, id);
