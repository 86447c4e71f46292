"""Tables of intake: what was noticed in what came in; spans that get their end later."""

from leo_telemetry_pipeline.store.server.migrations import run_sql

revision = "0006"
down_revision = "0005"

NOTICES = """
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
    'What was rejected, implausible or unknown in what came in, counted by source, kind and detail.';
"""

ENDS = """
-- Few rows have no end, so those that are waited for are found without reading the others.
CREATE INDEX workflow_trace_log_without_end ON workflow_trace_log (start_time_ms, created_at)
    WHERE duration_ms IS NULL AND end_time_ms IS NULL;
COMMENT ON TABLE workflow_trace_log IS
    'One row per span: one timed operation. A row with neither duration_ms nor end_time_ms may get its end later, by '
    'the same key; what has an end never changes.';

ALTER TABLE duration_histogram_days
    ADD COLUMN open_spans bigint NOT NULL DEFAULT 0,
    ADD COLUMN open_nearby uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN looked_at timestamptz;
COMMENT ON COLUMN duration_histogram_days.open_spans IS
    'How many spans of the day, sealed parts left out, had no end when it was counted: once fewer are left, it is '
    'stale.';
COMMENT ON COLUMN duration_histogram_days.open_nearby IS
    'Ids of handoffs and waits of other days, in traces of this one, that had no end when it was counted.';
COMMENT ON COLUMN duration_histogram_days.looked_at IS
    'When open_spans was counted: spans that were stored later are not among them.';

-- Days that were counted before this migration: as if they had been looked at now.
CREATE TEMPORARY TABLE open_days ON COMMIT DROP AS
    SELECT DATE '1970-01-01' + (s.start_time_ms / 86400000)::integer AS day, count(*) AS spans
    FROM workflow_trace_log AS s
    WHERE s.duration_ms IS NULL AND s.end_time_ms IS NULL AND s.start_time_ms < 253402300800000
    GROUP BY 1;
UPDATE duration_histogram_days AS d SET open_spans = o.spans, looked_at = now()
FROM open_days AS o
WHERE o.day = d.day AND d.day NOT IN (SELECT t.day FROM telemetry_sealed_days AS t);
"""

QUARANTINE = """
ALTER TABLE telemetry_quarantine ADD COLUMN project text NOT NULL DEFAULT '';
COMMENT ON COLUMN telemetry_quarantine.project IS 'Whose line it is: what it names, or what the import was told.';
"""


def upgrade() -> None:
    run_sql(NOTICES)
    run_sql(QUARANTINE)
    run_sql(ENDS)


def downgrade() -> None:
    run_sql("""
        ALTER TABLE telemetry_quarantine DROP COLUMN project;
        DROP TABLE telemetry_intake_notices;
        DROP INDEX workflow_trace_log_without_end;
        COMMENT ON TABLE workflow_trace_log IS 'A row a span: one timed operation. Insert only.';
        ALTER TABLE duration_histogram_days DROP COLUMN open_spans, DROP COLUMN open_nearby, DROP COLUMN looked_at;
    """)
