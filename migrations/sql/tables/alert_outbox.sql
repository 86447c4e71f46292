-- Alerts, from the transaction that caused each one until every channel has it.
-- Rows have no foreign keys: an alert about a deleted item or run is still delivered.
CREATE TABLE alert_outbox (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY,
    key text NOT NULL UNIQUE CHECK (key <> ''),
    kind text NOT NULL CHECK (
        kind IN ('new', 'worse', 'back', 'resolved', 'reminder', 'digest', 'health', 'slow_span')),
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'high', 'critical')),
    item_id uuid,
    episode integer,
    run_id uuid,
    window_end timestamptz,
    title text NOT NULL,
    body jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    claimed_until timestamptz,
    delivered_to text[] NOT NULL DEFAULT '{}',
    delivered_at timestamptz,
    failed_at timestamptz,
    last_error text,
    CHECK (delivered_at IS NULL OR failed_at IS NULL)
);
COMMENT ON TABLE alert_outbox IS
    'Alerts, from the transaction that caused each one until every channel has it; delivered at least once.';
COMMENT ON COLUMN alert_outbox.number IS 'Order in which alerts about one item are delivered.';
COMMENT ON COLUMN alert_outbox.key IS 'Idempotency key: the same event never makes a second alert.';
COMMENT ON COLUMN alert_outbox.not_before IS 'Time of the first attempt, or of the next one after a failure.';
COMMENT ON COLUMN alert_outbox.claimed_until IS 'Lease of the process that is delivering it.';
COMMENT ON COLUMN alert_outbox.delivered_to IS 'Channels that have accepted it, by name; their addresses are secret.';
COMMENT ON COLUMN alert_outbox.failed_at IS 'Dead letter: not tried again until `leo-telemetry alerts retry`.';

CREATE INDEX alert_outbox_waiting ON alert_outbox (number) WHERE delivered_at IS NULL;
CREATE INDEX alert_outbox_of_item ON alert_outbox (item_id, episode, number) WHERE delivered_at IS NULL;
CREATE INDEX alert_outbox_delivered ON alert_outbox (delivered_at) WHERE delivered_at IS NOT NULL;
CREATE INDEX alert_outbox_window_end ON alert_outbox (window_end);
