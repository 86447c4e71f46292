-- Items of today's table get episodes and events: several rows of one fingerprint become one.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'continuous_improvements'::regclass AND attname = 'episode'
    ) THEN
        RETURN;
    END IF;
    DROP TRIGGER IF EXISTS continuous_improvements_closed ON continuous_improvements;
    DROP FUNCTION IF EXISTS telemetry_close_item();
    DROP INDEX continuous_improvements_one_open, continuous_improvements_fingerprint;
    ALTER TABLE continuous_improvements
        DISABLE TRIGGER USER,
        -- Unreleased versions lack it.
        ADD COLUMN IF NOT EXISTS resolution text,
        DROP CONSTRAINT continuous_improvements_status_check,
        ADD COLUMN episode integer NOT NULL DEFAULT 1,
        ADD COLUMN status_since timestamptz NOT NULL DEFAULT now(),
        ADD COLUMN dismissed_until timestamptz,
        ADD COLUMN noise_count integer NOT NULL DEFAULT 0;
    UPDATE continuous_improvements
    SET status = CASE WHEN status = 'DISMISSED' AND resolution = 'expected' THEN 'ACCEPTED' ELSE status END,
        status_since = CASE WHEN status IN ('OPEN', 'IN_PROGRESS') THEN created_at
            ELSE coalesce(closed_at, updated_at) END;

    CREATE TEMPORARY TABLE episodes ON COMMIT DROP AS
    SELECT i.id, i.status, i.created_at, i.status_since,
        row_number() OVER oldest_first AS episode,
        lag(i.status) OVER oldest_first AS last_status,
        last_value(i.id) OVER oldest_first AS item_id,
        count(*) FILTER (WHERE i.status = 'DISMISSED') OVER oldest_first AS noise_count
    FROM continuous_improvements AS i
    WINDOW oldest_first AS (
        PARTITION BY i.fingerprint ORDER BY i.status IN ('OPEN', 'IN_PROGRESS'), i.created_at, i.id
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);

    INSERT INTO item_events (item_id, episode, from_status, to_status, window_end, actor, reason, created_at)
    SELECT e.item_id, e.episode, s.from_status, s.to_status, s.at, 'system', 'before item_events', s.at
    FROM episodes AS e, LATERAL (VALUES
        (1, e.last_status, 'OPEN', e.created_at), (2, 'OPEN', e.status, e.status_since)
    ) AS s (place, from_status, to_status, at)
    WHERE s.place = 1 OR e.status <> 'OPEN'
    ORDER BY e.item_id, e.episode, s.place;

    UPDATE continuous_improvements AS i SET episode = e.episode, noise_count = e.noise_count
    FROM episodes AS e WHERE e.id = i.id AND e.id = e.item_id;
    DELETE FROM continuous_improvements AS i USING episodes AS e WHERE e.id = i.id AND e.id <> e.item_id;
    DROP TABLE episodes;

    ALTER TABLE continuous_improvements
        ENABLE TRIGGER USER,
        DROP COLUMN resolution,
        ADD CONSTRAINT continuous_improvements_status_check CHECK (status IN (
            'OPEN', 'ACKNOWLEDGED', 'IN_PROGRESS', 'VERIFYING', 'RESOLVED', 'ACCEPTED', 'DISMISSED', 'STALE'));
    CREATE UNIQUE INDEX continuous_improvements_fingerprint ON continuous_improvements (fingerprint);
    CREATE TRIGGER continuous_improvements_check BEFORE INSERT OR UPDATE ON continuous_improvements
        FOR EACH ROW EXECUTE FUNCTION telemetry_check_item();
    CREATE TRIGGER continuous_improvements_record AFTER INSERT OR UPDATE ON continuous_improvements
        FOR EACH ROW EXECUTE FUNCTION telemetry_record_item();
END $$;
