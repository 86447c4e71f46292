"""Distribution without a cluster is refused; and the statements sent to the server are ones that Citus accepts."""

import re
from contextlib import closing, nullcontext
from datetime import timedelta
from pathlib import Path

import psycopg2
import psycopg2.extensions
import pytest

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import open_spans, spans
from leo_telemetry_pipeline.store.retention.purge import Selection, count, purge
from leo_telemetry_pipeline.store.server import distributed
from leo_telemetry_pipeline.store.server.database import Database, outside, running
from leo_telemetry_pipeline_tests import schema_dump
from leo_telemetry_pipeline_tests.builders import (
    analyse_queued,
    configure,
    execute,
    midnight,
    new_id,
    one,
    slow,
    span,
    with_newer_columns,
)  # fmt: skip
from leo_telemetry_pipeline_tests.citus import local_tables, refusals
from leo_telemetry_pipeline_tests.processes import command, environment, finished
from leo_telemetry_pipeline_tests.servers import CITUS, DEBIAN, as_role

NOON = midnight(1) + timedelta(hours=12)


@pytest.mark.not_on_a_cluster(reason="about servers without Citus")
def test_without_citus_nothing_is_distributed(db: Database):
    """Lost: users get a page of errors, or a half-changed database."""
    before = db.rows("SELECT extname FROM pg_extension ORDER BY 1")
    with pytest.raises(UserError, match="has no Citus: install") as raised:
        distributed.distribute(db)
    assert raised.value.exit_code == NO_DATABASE
    assert "\n" not in raised.value.message
    assert db.rows("SELECT extname FROM pg_extension ORDER BY 1") == before


@pytest.mark.not_on_a_cluster(reason="about servers without Citus")
def test_the_embedded_database_is_not_distributed(home: Path):
    """Lost: users search for an extension that the embedded database cannot have."""
    with pytest.raises(UserError, match=PREFIX + "DATABASE_URL") as raised:
        distributed.distribute(Database(running(Settings())))
    assert raised.value.exit_code == NO_DATABASE
    assert not home.exists()


# A stand-in for the functions of Citus that we call: Citus itself cannot be installed for these tests.
STAND_IN = """
CREATE TABLE pg_dist_partition (logicalrelid regclass);
CREATE TABLE pg_dist_node (isactive boolean, shouldhaveshards boolean);
INSERT INTO pg_dist_node (isactive, shouldhaveshards) VALUES (true, true), (true, true), (true, false), (false, true);
CREATE FUNCTION create_distributed_table(name regclass, key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pg_dist_partition (logicalrelid) VALUES (name);
    IF key <> 'trace_id' OR EXISTS (SELECT FROM workflow_trace_log) THEN
        RAISE EXCEPTION E'could not connect\\nto the second worker';
    END IF;
END $$
"""


@pytest.mark.not_on_a_cluster(reason="about servers without Citus")
def test_a_table_is_distributed_once_and_after_an_error_not_at_all(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: the second `migrate` fails because the first one succeeded."""
    monkeypatch.setattr(distributed, "_require_citus", lambda cursor, shown: None)
    execute(db, STAND_IN)
    assert distributed.distribute(db) == distributed.Distributed(now=True, nodes=2)
    assert distributed.distribute(db) == distributed.Distributed(now=False, nodes=2)
    execute(db, "DELETE FROM pg_dist_partition")
    spans.store(db, [span()])
    with pytest.raises(UserError, match=r"\(could not connect\); nothing was changed") as raised:
        distributed.distribute(db)
    assert "\n" not in raised.value.message
    assert one(db, "SELECT count(*) FROM pg_dist_partition") == 0


@pytest.mark.only_on(DEBIAN, reason="the command is the same everywhere")
def test_the_command_migrates_and_then_names_what_is_missing(empty_database_url: str, home: Path):
    """Lost: nobody can tell whether a database is only up to date or also distributed."""
    outside = environment(home, **{PREFIX + "DATABASE_URL": empty_database_url})
    done = finished(command("migrate", "--distributed"), outside)
    assert done.code == NO_DATABASE
    assert "was migrated from empty to version" in done.out
    [line] = [line for line in done.err.splitlines() if "Citus" in line]
    assert line.startswith("leo-telemetry: ")
    assert "Traceback" not in done.err


@pytest.mark.only_on(CITUS, reason="the span table is distributed only there")
@pytest.mark.parametrize(
    ("version", "durations"),
    [("0001_schema", "duration_ms"), ("0002_microseconds", "duration_ms, duration_rest_us")],
)
def test_a_distributed_database_of_an_earlier_version_is_upgraded_with_its_grants(
    version: str, durations: str, empty_database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a cluster could never be upgraded."""
    monkeypatch.setenv(PREFIX + "DATABASE_URL", empty_database_url)
    writer = f"w{new_id()[:8]}"
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(schema_dump.earlier(version))
    with closing(Database(outside(empty_database_url, "dagster"))) as db:
        execute(db, f"CREATE ROLE {writer} LOGIN PASSWORD 'pw'")
        execute(db, f"GRANT SELECT (trace_id), UPDATE ({durations}) ON workflow_trace_log TO {writer}")
        with with_newer_columns(db) if version == "0001_schema" else nullcontext():
            slow(db, "A", "B")
        distributed.distribute(db)
        try:
            done = finished(command("migrate"), environment(home, **{PREFIX + "DATABASE_URL": empty_database_url}))
            assert (done.code, done.err) == (0, "")
            run = analyse_queued(db)
            assert (run.status, run.error_detail) == ("SUCCEEDED", None)
            assert one(db, "SELECT outcome FROM current_p50 WHERE dimension_key = 'A'") == "bottleneck"
            with closing(Database(outside(as_role(empty_database_url, writer), "dagster"))) as own:
                assert one(own, "SELECT count(trace_id) FROM workflow_trace_log") == 20
                assert execute(own, "UPDATE workflow_trace_log SET duration_rest_us = 1, duration_ms = 5") == 20
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    execute(own, "SELECT span_name FROM workflow_trace_log")
        finally:
            execute(db, f"DROP OWNED BY {writer}")
            execute(db, f"DROP ROLE {writer}")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the statements sent from now on, as the server gets them."""
    statements: list[str] = []

    class Noting(psycopg2.extensions.cursor):
        def execute(self, query, vars=None):  # noqa: A002  # the driver's signature
            try:
                return super().execute(query, vars)
            finally:
                statements.append((self.query or b"").decode())

    connect = psycopg2.connect
    monkeypatch.setattr(psycopg2, "connect", lambda *args, **more: connect(*args, cursor_factory=Noting, **more))
    return statements


@pytest.mark.only_on(DEBIAN, reason="what is sent does not depend on the server")
def test_citus_accepts_all_statements_of_an_analysis_and_its_surroundings(sent: list[str], target, settings):
    """Lost: statements that are built from parts would escape the check of the source."""
    with closing(Database(target)) as db:
        configure(db, "gate+sd_type", None, 10, 2)
        slow(db, "A", "B", attributes={"sd_type": "feature"})
        spans.store(db, [span("handoff", "H", 500, at=NOON, attributes={"sd_type": "feature"}), span("wait", "W", 5)])
        open_spans.announce(db, [span(duration_ms=None)], [], host="here", pid=1)
        assert len(open_spans.running(db)) == 1
        run = analyse_queued(db)
        assert run.status == "SUCCEEDED", run.error_detail
        assert count(db, Selection(project="")).spans > 0
        purge(db, Selection(before=midnight().date()))
        assert one(db, "SELECT count(*) FROM workflow_trace_log") == 0
    tables = local_tables()
    of_spans = [statement for statement in sent if re.search("workflow_trace_log", statement)]
    assert len(of_spans) > 10
    assert [(said, statement) for statement in sent if (said := refusals(statement, tables))] == []


def test_a_span_that_ended_under_another_process_is_not_shown_as_running(db: Database):
    """Lost: running operations disappear among spans that ended long ago."""
    ended, runs_on = span(duration_ms=None), span(duration_ms=None)
    open_spans.announce(db, [ended, runs_on], [], host="here", pid=1)
    ended.duration_ms = 5
    spans.store(db, [ended])
    assert [one.span_id for one in open_spans.running(db)] == [runs_on.span_id]
    # The same ids at another time are another span.
    again = span(duration_ms=5, trace_id=runs_on.trace_id, span_id=runs_on.span_id, at=NOON)
    spans.store(db, [again])
    assert [one.span_id for one in open_spans.running(db)] == [runs_on.span_id]
