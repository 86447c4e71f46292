"""The rights that docs/deployment.md grants, taken from there: each role can do its work, and nothing else."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from leo_telemetry_pipeline.store import collected, runs, spans
from leo_telemetry_pipeline.store.database import Database, outside
from leo_telemetry_pipeline_tests.builders import execute, midnight, new_id, one, span
from leo_telemetry_pipeline_tests.servers import as_role

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
ROLES = ("leo_owner", "leo_writer", "leo_enqueuer", "leo_reader")

As = Callable[[str], Database]


def blocks() -> list[str]:
    """Return what the guide tells its readers to execute: making roles, granting what they need, granting more."""
    found = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == 3
    return [found[0].partition("CREATE DATABASE")[0], *found[1:]]


@pytest.fixture
def connected(db: Database, database_url: str) -> Iterator[As]:
    """Give connections as the roles of the guide, under names of this test."""
    # Roles belong to the whole server, on which other tests run too.
    prefix = f"r{new_id()[:8]}_"
    statements = [block.replace("leo_", prefix).replace("change me", "pw") for block in blocks()[:2]]
    opened: list[Database] = []

    def connect(role: str) -> Database:
        opened.append(Database(outside(as_role(database_url, role.replace("leo_", prefix)), "dagster")))
        return opened[-1]

    connect.__dict__["prefix"] = prefix
    try:
        for statement in statements:
            execute(db, statement)
        yield connect
    finally:
        for each in opened:
            each.close()
        names = ", ".join(role.replace("leo_", prefix) for role in ROLES)
        execute(db, f"DROP OWNED BY {names}; DROP ROLE {names}")


def refused(database: Database, sql: str) -> bool:
    """Tell whether a statement is refused for want of rights."""
    try:
        execute(database, sql)
    except psycopg2.errors.InsufficientPrivilege:
        return True
    return False


def test_a_writer_stores_spans_of_days_that_have_no_partition_yet(db: Database, connected: As):
    """Lost: every program would need the rights of the owner."""
    writer, today = connected("leo_writer"), midnight()
    made = [span(at=today - timedelta(days=days)) for days in (0, 3)]
    assert spans.store(writer, made, {"some.key": 2}) == spans.Stored(2, 0)
    assert spans.store(writer, made, {}) == spans.Stored(0, 0)
    names = [f"workflow_trace_log_{(today - timedelta(days=days)):%Y%m%d}" for days in (0, 3)]
    assert [one(db, "SELECT to_regclass(%s) IS NOT NULL", (name,)) for name in names] == [True, True]


def test_a_writer_puts_aside_what_the_table_refuses_and_notes_what_a_drain_brought(db: Database, connected: As):
    """Lost: a receiver that stands still at the first span that is none."""
    writer, odd = connected("leo_writer"), span()
    odd.end_time_ms = odd.start_time_ms - 1
    assert spans.store(writer, [odd, span()]) == spans.Stored(1, 1)
    collected.note_drain(writer, collected.Drain("RECEIVER", 1, 2, 2, 0, 0, {}))
    assert one(db, "SELECT count(*) FROM telemetry_quarantine") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM workflow_trace_log",
        "SELECT * FROM workflow_trace_log_default",
        "UPDATE workflow_trace_log SET status = 'x'",
        "DELETE FROM workflow_trace_log",
        "TRUNCATE workflow_trace_log",
        "SELECT * FROM telemetry_quarantine",
        "INSERT INTO telemetry_thresholds (dimension_type) VALUES ('gate')",
        "SELECT * FROM enqueue_telemetry_analysis()",
        "SELECT reap_telemetry_runs()",
        "CREATE TABLE mine (a int)",
        "CREATE TABLE day PARTITION OF workflow_trace_log FOR VALUES FROM (1) TO (2)",
    ],
)
def test_a_writer_can_do_nothing_else(connected: As, sql: str):
    """Lost: whoever holds a program's password reads everybody's spans, or empties the table."""
    assert refused(connected("leo_writer"), sql)


def test_a_writer_makes_no_partitions_outside_the_range(db: Database, connected: As):
    """Lost: a thousand tables, to one clock that is wrong."""
    writer, count = connected("leo_writer"), "SELECT count(*) FROM pg_inherits"
    before = one(db, count)
    for year in (1990, 2300):
        first = datetime(year, 1, 1, tzinfo=UTC)
        assert spans.ensure_partitions(writer, first, first + timedelta(days=9)) == 0
    assert one(db, count) == before


def test_an_enqueuer_asks_for_an_analysis_and_sees_nothing(db: Database, connected: As):
    """Lost: whoever may start an analysis would see what it found."""
    enqueuer = connected("leo_enqueuer")
    run_id, outcome, _ = runs.enqueue(enqueuer)
    assert outcome == "ENQUEUED"
    assert one(db, "SELECT status FROM telemetry_analysis_runs WHERE run_id = %s::uuid", (run_id,)) == "QUEUED"
    for sql in (
        "SELECT * FROM telemetry_analysis_runs",
        "INSERT INTO telemetry_analysis_runs (status) VALUES ('QUEUED')",
        "SELECT * FROM workflow_trace_log",
        "SELECT ensure_trace_partitions(current_date, current_date)",
        f"SELECT cancel_telemetry_run('{run_id}')",
    ):
        assert refused(enqueuer, sql)


def test_a_reader_reads_everything_and_changes_nothing(db: Database, connected: As):
    """Lost: a dashboard that sees nothing, or one that can delete."""
    spans.store(db, [span()])
    reader = connected("leo_reader")
    assert one(reader, "SELECT count(*) FROM workflow_trace_log") == 1
    assert one(reader, "SELECT count(*) FROM current_p50") == 0
    assert one(reader, "SELECT count(*) FROM telemetry_effective_thresholds") == 0
    assert refused(reader, "DELETE FROM workflow_trace_log")
    assert refused(reader, "SELECT * FROM enqueue_telemetry_analysis()")


def test_a_writer_that_may_do_more_shows_what_runs(db: Database, connected: As):
    """Lost: the third block of the guide, to a table that was renamed."""
    execute(db, blocks()[2].replace("leo_", connected.__dict__["prefix"]))
    with closing(connected("leo_writer")) as writer:
        assert spans.store(writer, [span()], {"some.key": 2}) == spans.Stored(1, 0)
        assert one(writer, "SELECT count(*) FROM alembic_version") == 1
    assert collected.removed_keys(db, midnight()) == [("some.key", 2)]
