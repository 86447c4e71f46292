"""Migrations: up, down and up again, and every statement of the seed document on the schema."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import psycopg2
import pytest

from leo_telemetry_pipeline.store.server import migrations
from leo_telemetry_pipeline.store.server.database import Database, Target, outside
from leo_telemetry_pipeline_tests import builders
from leo_telemetry_pipeline_tests.builders import back_date, execute, new_id, one, queued, running
from leo_telemetry_pipeline_tests.processes import command, finished

EVERYTHING = """
SELECT c.relkind::text || ' ' || c.relname FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace
UNION ALL SELECT 'function ' || p.proname FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
UNION ALL SELECT 'type ' || t.typname FROM pg_type AS t WHERE t.typnamespace = 'public'::regnamespace
UNION ALL SELECT 'schema ' || n.nspname FROM pg_namespace AS n
    WHERE n.nspname NOT LIKE 'pg_%' AND n.nspname NOT IN ('public', 'information_schema')
"""
# Alembic keeps its own table, which is then empty.
ALEMBICS = {
    "r alembic_version", "i alembic_version_pkc", "type alembic_version", "type _alembic_version",
}  # fmt: skip


def everything(target: Target) -> set[str]:
    with closing(Database(target)) as database:
        return {name for (name,) in database.rows(EVERYTHING)}


def test_up_from_empty_and_down_to_base_leaves_nothing_and_up_again_makes_the_same(empty_database_url: str):
    """Lost: a user who tries the program in their own database could not remove it."""
    target = outside(empty_database_url, "dagster")
    before = everything(target)
    migrations.migrate(target)
    first = everything(target)
    assert "r continuous_improvements" in first
    with closing(Database(target)) as db:
        builders.insert(db, builders.spans_of("gate", "A", [1, 2, 3]))
        queued(db)
        running(db, project="p")
    migrations.migrate(target, "base")
    assert everything(target) <= before | ALEMBICS
    migrations.migrate(target)
    assert everything(target) == first


def test_migrating_twice_changes_nothing(target: Target):
    """Lost: every command that starts the embedded database would risk its data."""
    before = everything(target)
    migrations.migrate(target)
    assert everything(target) == before


def test_two_migrations_at_once_both_end_well(empty_database_url: str):
    """Lost: a hook and a command on a new machine would break each other's first start."""
    code = (
        "import sys\n"
        "from leo_telemetry_pipeline.store.server import migrations\n"
        "from leo_telemetry_pipeline.store.server.database import outside\n"
        "import sqlalchemy, alembic.command, alembic.config\n"
        "target = outside(sys.argv[1], 'dagster')\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "migrations.migrate(target)\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, empty_database_url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    ends = [(racer.communicate()[1][-600:], racer.returncode) for racer in racers]
    assert [code for _, code in ends] == [0] * 4, ends
    with closing(psycopg2.connect(empty_database_url)) as connection:
        assert migrations.version(connection) == migrations.newest()


@pytest.mark.parametrize("table", ["alembic_version", "telemetry_upkeep"])
def test_a_server_that_dies_during_a_migration_is_reported_in_one_line(empty_database_url: str, table: str):
    """Lost: the cause, hidden in a page of SQLAlchemy tracebacks that end in "connection already closed"."""
    # Alembic creates one table, the driver's own cursor the other.
    dies = f"""
        CREATE FUNCTION die() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            IF to_regclass('{table}') IS NOT NULL THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
        END $$;
        CREATE EVENT TRIGGER dies ON ddl_command_end EXECUTE FUNCTION die()
    """
    with closing(Database(outside(empty_database_url, "dagster"))) as database:
        execute(database, dies)
    done = finished(command("migrate"), os.environ | {"LEO_TELEMETRY_DATABASE_URL": empty_database_url})
    assert (done.code, done.out) == (3, "")
    assert re.fullmatch("leo-telemetry: The database stopped answering .(?!.*already closed).*", done.err.strip())


def test_an_unmigrated_outside_database_is_refused_with_the_remedy(empty_database_url: str):
    """Lost: people would see a traceback about a missing table."""
    with (
        closing(psycopg2.connect(empty_database_url)) as connection,
        pytest.raises(Exception, match="leo-telemetry migrate"),
    ):
        migrations.require_newest(connection)


SEED_STATEMENTS = {
    "the example of thresholds": """
INSERT INTO telemetry_thresholds (dimension_type, dimension_key, baseline_p50_ms, multiplier)
VALUES
  ('phase', 'LEAD', 30000, 2.0),        -- Alert if LEAD takes >60s (2x baseline)
  ('gate', 'GATE_PRD_REQUIRED', 5000, 3.0), -- Alert if gate takes >15s (3x baseline)
  ('subagent', 'DESIGN', 120000, 1.5);  -- Alert if DESIGN takes >180s (1.5x baseline)
""",
    "view recent traces": """
SELECT span_type, span_name, AVG(duration_ms) as avg_duration_ms, COUNT(*) as count
FROM workflow_trace_log
WHERE created_at > NOW() - INTERVAL '7 days'
GROUP BY span_type, span_name
ORDER BY avg_duration_ms DESC
LIMIT 20;
""",
    "check last analysis run": """
   SELECT status, triggered_at, finished_at, reason_code
   FROM telemetry_analysis_runs
   ORDER BY triggered_at DESC LIMIT 5;
""",
    "check thresholds are configured": """
   SELECT * FROM telemetry_thresholds WHERE is_active = true;
""",
    "lower multipliers": """
   UPDATE telemetry_thresholds
   SET multiplier = 1.5
   WHERE dimension_type = 'phase' AND dimension_key = 'EXEC';
""",
    "add missing dimensions": """
   INSERT INTO telemetry_thresholds (dimension_type, dimension_key, baseline_p50_ms, multiplier)
   VALUES ('gate', 'GATE_NEW_GATE_NAME', 10000, 2.0);
""",
    "increase thresholds": """
   UPDATE telemetry_thresholds
   SET multiplier = 3.0
   WHERE dimension_type = 'subagent';
""",
    "disable noisy dimensions": """
   UPDATE telemetry_thresholds
   SET is_active = false
   WHERE dimension_key = 'NOISY_DIMENSION';
""",
    "add new dimension to monitor": """
INSERT INTO telemetry_thresholds (dimension_type, dimension_key, baseline_p50_ms, multiplier, is_active)
VALUES ('gate', 'GATE_NEW_GATE', 5000, 2.5, true);
""",
    "adjust threshold for existing dimension": """
UPDATE telemetry_thresholds
SET baseline_p50_ms = 60000,  -- New baseline (60s)
    multiplier = 1.8           -- New threshold (60s * 1.8 = 108s)
WHERE dimension_type = 'phase' AND dimension_key = 'PLAN';
""",
    "disable monitoring for dimension": """
UPDATE telemetry_thresholds
SET is_active = false
WHERE dimension_type = 'subagent' AND dimension_key = 'DEPRECATED_SUBAGENT';
""",
}


@pytest.mark.parametrize("name", SEED_STATEMENTS)
def test_a_statement_of_the_seed_runs_as_written(db: Database, name: str):
    """Lost: the operators' runbook would not work."""
    execute(db, SEED_STATEMENTS[name])


def test_the_seeds_statements_work_one_after_another(db: Database):
    """Lost: a statement could run and change nothing."""
    for kind, key in (
        ("phase", "EXEC"),
        ("phase", "PLAN"),
        ("gate", "NOISY_DIMENSION"),
        ("subagent", "DEPRECATED_SUBAGENT"),
    ):
        builders.configure(db, kind, key, 1000, 2.0)
    for statement in SEED_STATEMENTS.values():
        execute(db, statement)
    now = {
        row[:2]: row[2:]
        for row in db.rows(
            "SELECT dimension_type, dimension_key, baseline_p50_ms, multiplier, is_active FROM telemetry_thresholds"
        )
    }
    assert now == {
        ("phase", "LEAD"): (30000, 2.0, True),
        ("phase", "EXEC"): (1000, 1.5, True),
        ("phase", "PLAN"): (60000, 1.8, True),
        ("gate", "GATE_PRD_REQUIRED"): (5000, 3.0, True),
        ("gate", "GATE_NEW_GATE_NAME"): (10000, 2.0, True),
        ("gate", "GATE_NEW_GATE"): (5000, 2.5, True),
        ("gate", "NOISY_DIMENSION"): (1000, 2.0, False),
        ("subagent", "DESIGN"): (120000, 3.0, True),
        ("subagent", "DEPRECATED_SUBAGENT"): (1000, 3.0, False),
    }


def test_a_row_with_only_the_status_queued_is_complete(db: Database):
    """Lost: a plain SQL client could not ask for an analysis."""
    execute(db, "INSERT INTO telemetry_analysis_runs (status) VALUES ('QUEUED')")
    assert db.rows(
        "SELECT scope_type, scope_id, triggered_by, attempt, metadata, started_at, run_id IS NOT NULL,"
        " triggered_at BETWEEN now() - interval '1 minute' AND now() FROM telemetry_analysis_runs"
    ) == [("ALL", "", "MANUAL", 1, {}, None, True, True)]


def _at(status: str) -> Callable[[Database], str]:
    def make(db: Database) -> str:
        run_id = queued(db)
        through = {"QUEUED": [], "RUNNING": ["RUNNING"], "CANCELLED": ["CANCELLED"]}.get(status, ["RUNNING", status])
        for step in through:
            move(db, run_id, step)
        return run_id

    return make


def move(db: Database, run_id: str, status: str) -> None:
    execute(db, "UPDATE telemetry_analysis_runs SET status = %s WHERE run_id = %s::uuid", (status, run_id))


STATUSES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "CANCELLED")
LEGAL = {
    ("QUEUED", "RUNNING"), ("QUEUED", "FAILED"), ("QUEUED", "CANCELLED"), ("RUNNING", "SUCCEEDED"),
    ("RUNNING", "FAILED"), ("RUNNING", "TIMED_OUT"), ("RUNNING", "CANCELLED"),
}  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
def test_only_the_transitions_of_the_lifecycle_are_possible(db: Database, status: str):
    """Lost: a final state would not be final, and a woken worker could turn a failure into a success."""
    run_id = _at(status)(db)
    for to in STATUSES:
        if to == status or (status, to) in LEGAL:
            continue
        with pytest.raises(psycopg2.errors.CheckViolation):
            move(db, run_id, to)
    assert one(db, "SELECT status FROM telemetry_analysis_runs") == status


def test_every_legal_transition_is_possible(db: Database):
    """Lost: some end of a run could not be recorded."""
    for start, to in sorted(LEGAL):
        move(db, _at(start)(db), to)
        execute(db, "DELETE FROM telemetry_analysis_runs")


@pytest.mark.parametrize("status", ["DONE", "queued", ""])
def test_an_unknown_status_is_refused(db: Database, status: str):
    """Lost: a client's typo would create a row that never ends."""
    with pytest.raises(psycopg2.errors.CheckViolation):
        execute(db, "INSERT INTO telemetry_analysis_runs (status) VALUES (%s)", (status,))


@pytest.mark.parametrize("column", ["baseline_p50_ms", "multiplier", "min_samples"])
def test_a_threshold_that_is_not_a_number_above_zero_is_refused(db: Database, column: str):
    """Lost: an analysis would divide by zero, or silently never judge a dimension slow."""
    insert = f"INSERT INTO telemetry_thresholds (dimension_type, dimension_key, {column}) VALUES ('gate', 'A', %s)"
    values = ["0", "-1"] if column == "min_samples" else ["0", "-1", "-0.5", "NaN", "Infinity", "-Infinity"]
    for value in values:
        with pytest.raises(psycopg2.errors.CheckViolation):
            execute(db, insert, (value,))
    execute(db, insert, ("1",))
    for value in values:
        with pytest.raises(psycopg2.errors.CheckViolation):
            execute(db, f"UPDATE telemetry_thresholds SET {column} = %s", (value,))


@pytest.mark.parametrize("key", ["'A'", "NULL"])
def test_a_dimension_has_one_row_of_thresholds_also_where_the_key_is_null(db: Database, key: str):
    """Lost: two rows for one dimension would contradict each other."""
    insert = f"INSERT INTO telemetry_thresholds (dimension_type, dimension_key, multiplier) VALUES ('gate', {key}, 2)"
    execute(db, insert)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        execute(db, insert)


def test_thresholds_are_inherited_column_by_column(db: Database):
    """Lost: setting one column of a dimension would disable its type's values for the others."""
    builders.configure(db, "global", None, None, 4.0, min_samples=7)
    builders.configure(db, "gate", None, 500, None, max_items_per_run=1)
    builders.configure(db, "gate", "A", None, 3.0)
    sql = (
        "SELECT is_active, baseline_p50_ms, baseline_source, multiplier, multiplier_source, min_samples,"
        " min_samples_source, max_items_per_run FROM telemetry_effective_threshold(%s, %s)"
    )
    assert db.rows(sql, ("gate", "A")) == [(True, 500, "configured", 3.0, "key", 7, "global", 1)]
    assert db.rows(sql, ("gate", "B")) == [(True, 500, "configured", 4.0, "global", 7, "global", 1)]
    assert db.rows(sql, ("phase", "A")) == [(True, None, None, 4.0, "global", 7, "global", None)]
    execute(
        db, "UPDATE telemetry_thresholds SET is_active = false WHERE dimension_key IS NULL AND dimension_type = 'gate'"
    )
    assert [row[0] for row in db.rows(sql, ("gate", "A"))] == [False]


def test_updated_at_follows_a_change(db: Database):
    """Lost: nobody could tell when a threshold was changed."""
    builders.configure(db, "gate", "A", 1, 2.0, updated_at="2020-01-01T00:00:00Z")
    execute(db, "UPDATE telemetry_thresholds SET multiplier = 3")
    assert one(db, "SELECT updated_at > now() - interval '1 minute' FROM telemetry_thresholds")


def test_the_views_show_the_last_succeeded_run_only(db: Database):
    """Lost: a dashboard on `p50_by_gate` would mix runs, or show one that failed."""
    insert = (
        "INSERT INTO dimension_p50"
        " (run_id, dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms, p99_ms, sum_ms, method)"
        " VALUES (%s, %s, %s, 1, %s, 1, 1, 1, 1, 'exact')"
    )
    old, new = builders.succeeded(db), builders.succeeded(db)
    back_date(db, old, "finished_at", "1 hour")
    failed = queued(db)
    for run_id, value in ((old, 1), (new, 2), (failed, 3)):
        for kind in ("gate", "phase", "deploy", "gate+sd_type"):
            execute(db, insert, (run_id, kind, "A", value))
    assert db.rows("SELECT dimension_type, p50_ms FROM current_p50 ORDER BY 1") == [
        ("deploy", 2), ("gate", 2), ("gate+sd_type", 2), ("phase", 2)
    ]  # fmt: skip
    assert db.rows("SELECT dimension_type FROM p50_by_gate") == [("gate",)]
    assert db.rows("SELECT dimension_type FROM p50_by_gate_sd_type") == [("gate+sd_type",)]
    assert db.rows("SELECT dimension_type FROM p50_by_other") == [("deploy",)]
    builders.configure(db, "gate", "A", 77, None)
    assert db.rows("SELECT baseline_p50_ms FROM telemetry_effective_thresholds WHERE dimension_type = 'gate'") == [
        (77,)
    ]


def test_a_dagster_run_holds_one_analysis_run(db: Database):
    """Lost: one execution would write two rows."""
    mine = new_id()
    sql = (
        "INSERT INTO telemetry_analysis_runs (status, scope_type, scope_id, dagster_run_id)"
        " VALUES ('FAILED', 'ALL', %s, %s)"
    )
    execute(db, sql, ("", mine))
    with pytest.raises(psycopg2.errors.UniqueViolation):
        execute(db, sql, ("other", mine))


def test_the_alembic_command_works_from_the_clone_too(empty_database_url: str, home):
    """Lost: people who know Alembic could not inspect their database with it."""
    environment = os.environ | {"LEO_TELEMETRY_DATABASE_URL": empty_database_url}
    code = (
        "from alembic import command; from alembic.config import Config;"
        "from leo_telemetry_pipeline.settings import bundled;"
        "c = Config(); c.set_main_option('script_location', str(bundled('migrations'))); command.upgrade(c, 'head')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-800:]
    with closing(psycopg2.connect(empty_database_url)) as connection:
        assert migrations.version(connection) == migrations.newest()
