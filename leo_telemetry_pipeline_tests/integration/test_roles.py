"""The grants of docs/deployment.md, read from that page: each role can do its work, and nothing else."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import collection_stats, ends, intake, runs, spans
from leo_telemetry_pipeline.store.server import distributed
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline_tests.builders import execute, midnight, new_id, one, span
from leo_telemetry_pipeline_tests.roles import OURS, blocks
from leo_telemetry_pipeline_tests.servers import as_role

As = Callable[[str], Database]


@pytest.fixture
def connected(db: Database, database_url: str) -> Iterator[As]:
    """Return connections as the roles of the guide, with names unique to this test."""
    # Roles belong to the whole server, which other tests share.
    prefix = f"r{new_id()[:8]}_"
    statements = [block.replace("leo_", prefix) for block in blocks()[:2]]
    opened: list[Database] = []

    def connect(role: str) -> Database:
        opened.append(Database(outside(as_role(database_url, role.replace("leo_", prefix)), "dagster")))
        return opened[-1]

    connect.__dict__["prefix"] = prefix
    try:
        for statement in statements:
            grant(db, statement)
        yield connect
    finally:
        for each in opened:
            each.close()
        names = ", ".join(role.replace("leo_", prefix) for role in OURS)
        execute(db, f"DROP OWNED BY {names}; DROP ROLE {names}")


def grant(db: Database, statements: str) -> None:
    """Run statements of the guide; on a cluster, in the way that it gives for Citus 13."""
    for statement in filter(str.strip, statements.split(";")):
        with db.transaction() as cursor:
            if "UPDATE (" in statement:
                cursor.execute("SET LOCAL citus.enable_ddl_propagation = off")
            cursor.execute(statement)
    distributed.pass_on_column_grants(db)


def refused(database: Database, sql: str) -> bool:
    """Return whether a statement is refused for lack of privileges."""
    try:
        execute(database, sql)
    except psycopg2.errors.InsufficientPrivilege:
        return True
    return False


def test_a_writer_stores_spans_of_days_that_have_no_partition_yet(db: Database, connected: As):
    """Lost: every program would need the owner's rights."""
    writer, today = connected("leo_writer"), midnight()
    made = [span(at=today - timedelta(days=days)) for days in (0, 3)]
    assert spans.store(writer, made, {"some.key": 2}) == spans.Stored(2, 0)
    assert spans.store(writer, made, {}) == spans.Stored(0, 0)
    names = [f"workflow_trace_log_{(today - timedelta(days=days)):%Y%m%d}" for days in (0, 3)]
    assert [one(db, "SELECT to_regclass(%s) IS NOT NULL", (name,)) for name in names] == [True, True]


def test_a_writer_quarantines_what_the_table_refuses_and_records_what_a_drain_stored(db: Database, connected: As):
    """Lost: a receiver stops at the first invalid span."""
    writer, odd = connected("leo_writer"), span()
    odd.end_time_ms = odd.start_time_ms - 1
    assert spans.store(writer, [odd, span()]) == spans.Stored(1, 1)
    collection_stats.note_drain(writer, collection_stats.Drain("RECEIVER", 1, 2, 2, 0, 0, {}))
    assert one(db, "SELECT count(*) FROM telemetry_quarantine") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM workflow_trace_log",
        "SELECT * FROM workflow_trace_log_default",
        "SELECT attributes FROM workflow_trace_log",
        "SELECT span_name FROM workflow_trace_log",
        "UPDATE workflow_trace_log SET span_name = 'x'",
        "UPDATE workflow_trace_log SET start_time_ms = 0",
        "UPDATE workflow_trace_log SET created_at = now()",
        "UPDATE workflow_trace_log_default SET status = 'x'",
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
    """Lost: anyone with a program's password reads everybody's spans, or empties the table."""
    assert refused(connected("leo_writer"), sql)


def ids_of_one() -> dict[str, Any]:
    """Return the ids that identify a span."""
    return {"trace_id": new_id(), "span_id": new_id()}


def begun_and_ended() -> tuple[Span, Span]:
    """Return a span as sent at its start, and at its end."""
    ids = ids_of_one()
    return (
        span(duration_ms=None, queue_wait_ms=5, attributes={"sd_type": "feature"}, **ids),
        span(duration_ms=9, attributes={"gate_score": 90}, **ids),
    )


def test_a_writer_completes_rows_that_have_no_end(db: Database, connected: As):
    """Lost: with the rights of the guide, spans that are sent at their start never end."""
    writer, pairs = connected("leo_writer"), [begun_and_ended() for _ in range(3)]
    assert spans.store(writer, [start for start, _ in pairs]) == spans.Stored(3, 0)
    pairs[0][1].attributes = {}
    assert spans.store(writer, [*(end for _, end in pairs), span()]) == spans.Stored(1, 0, 3)
    assert spans.store(writer, [end for _, end in pairs]) == spans.Stored(0, 0)
    rows = db.rows("SELECT duration_ms, queue_wait_ms, attributes FROM workflow_trace_log WHERE duration_ms = 9")
    # The writer may not read the values of the start, so it replaces only those that the end has.
    assert sorted(rows, key=str) == sorted([(9, 5, {"sd_type": "feature"}), *[(9, 5, {"gate_score": 90})] * 2], key=str)


def test_a_writer_keeps_one_start_for_a_span_of_two_sources(db: Database, connected: As):
    """Lost: hooks and OpenTelemetry store every tool twice if the writer has its own role."""
    writer, ids = connected("leo_writer"), ids_of_one()
    ours = {"service.name": "claude-code", "session.id": "s"}
    for minute in (0, 1):
        spans.store(writer, [span(at=midnight(2) + timedelta(minutes=minute), attributes=ours, **ids)])
    assert one(db, "SELECT count(*) FROM workflow_trace_log") == 1


def test_a_writer_that_may_only_insert_goes_on_and_reports_what_it_cannot_do(
    db: Database, connected: As, caplog: pytest.LogCaptureFixture
):
    """Lost: every program of a deployment with earlier grants stops storing after an upgrade."""
    role = connected.__dict__["prefix"] + "writer"
    execute(db, f"REVOKE SELECT, UPDATE ON workflow_trace_log FROM {role}")
    writer, (start, end) = connected("leo_writer"), begun_and_ended()
    ours = {"service.name": "claude-code", "session.id": "s"}
    assert spans.store(writer, [start, span(attributes=ours)]) == spans.Stored(2, 0)
    ends.forget_logged()
    for _ in range(2):
        assert spans.store(writer, [end, span()]) == spans.Stored(1, 0)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "open spans in the database cannot be completed"
    ]
    # Within a batch, nothing has to be read.
    assert spans.store(writer, [*begun_and_ended()]) == spans.Stored(1, 0, 1)
    assert one(db, "SELECT count(*) FROM workflow_trace_log WHERE duration_ms IS NULL") == 1


def test_a_writer_makes_no_partitions_outside_the_range(db: Database, connected: As):
    """Lost: one wrong clock creates a thousand tables."""
    writer, count = connected("leo_writer"), "SELECT count(*) FROM pg_inherits"
    before = one(db, count)
    for year in (1990, 2300):
        first = datetime(year, 1, 1, tzinfo=UTC)
        assert spans.ensure_partitions(writer, first, first + timedelta(days=9)) == 0
    assert one(db, count) == before


def test_an_enqueuer_asks_for_an_analysis_and_sees_nothing(db: Database, connected: As):
    """Lost: a role that may start an analysis would see its findings."""
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
    """Lost: a dashboard sees nothing, or can delete."""
    spans.store(db, [span()])
    reader = connected("leo_reader")
    assert one(reader, "SELECT count(*) FROM workflow_trace_log") == 1
    assert one(reader, "SELECT count(*) FROM current_p50") == 0
    assert one(reader, "SELECT count(*) FROM telemetry_effective_thresholds") == 0
    assert refused(reader, "DELETE FROM workflow_trace_log")
    assert refused(reader, "SELECT * FROM enqueue_telemetry_analysis()")


def test_a_writer_with_more_privileges_shows_running_operations(db: Database, connected: As):
    """Lost: the third block of the guide would break when a table is renamed."""
    grant(db, blocks()[2].replace("leo_", connected.__dict__["prefix"]))
    with closing(connected("leo_writer")) as writer:
        made = span()
        assert spans.store(writer, [made], {"some.key": 2}) == spans.Stored(1, 0)
        spans.store(writer, [span("tool", trace_id=made.trace_id, span_id=made.span_id), made, span()])
        intake.count(writer, {intake.Noticed("otlp", intake.REJECTED): 1})
        assert one(writer, "SELECT count(*) FROM alembic_version") == 1
    assert collection_stats.removed_keys(db, midnight()) == [("some.key", 2)]
    assert sorted(notice.kind for notice in intake.since(db, midnight())) == [intake.KEY_CONFLICT, intake.REJECTED]
