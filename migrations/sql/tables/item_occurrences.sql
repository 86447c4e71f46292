-- What each analysis measured of an active improvement item.
CREATE TABLE item_occurrences (
    item_id uuid NOT NULL REFERENCES continuous_improvements ON DELETE CASCADE,
    run_id uuid NOT NULL,
    episode integer NOT NULL,
    window_end timestamptz NOT NULL,
    ratio double precision,
    p50_ms double precision NOT NULL,
    baseline_p50_ms double precision,
    sample_count bigint NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('slow', 'unclear', 'fast')),
    PRIMARY KEY (item_id, run_id)
);
COMMENT ON TABLE item_occurrences IS 'What each analysis measured of an active improvement item.';
COMMENT ON COLUMN item_occurrences.verdict IS
    'slow; fast: clearly under the threshold since the fix or the last slow day; unclear: neither, or too few spans.';

CREATE INDEX item_occurrences_of_episode ON item_occurrences (item_id, episode, window_end);
