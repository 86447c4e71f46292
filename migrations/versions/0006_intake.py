"""Tables of intake: what was noticed in what came in."""

from leo_telemetry_pipeline.store.migrations import run_sql

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

QUARANTINE = """
ALTER TABLE telemetry_quarantine ADD COLUMN project text NOT NULL DEFAULT '';
COMMENT ON COLUMN telemetry_quarantine.project IS 'Whose line it is: what it names, or what the import was told.';
"""


def upgrade() -> None:
    run_sql(NOTICES)
    run_sql(QUARANTINE)


def downgrade() -> None:
    run_sql("ALTER TABLE telemetry_quarantine DROP COLUMN project")
    run_sql("DROP TABLE telemetry_intake_notices")
