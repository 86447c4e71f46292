"""Privileges that a role needs to use the queue."""

from collections.abc import Callable, Iterator

import psycopg2
import pytest

from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import back_date, execute, new_id, one, row, running


@pytest.fixture
def as_client(db: Database, target: Target) -> Iterator[Callable[..., list[tuple]]]:
    """Return a function that runs statements as a role with only the privileges that the test grants."""
    role = f"client_{new_id()[:8]}"
    execute(db, f"CREATE ROLE {role}")

    def run(sql: str, *, granted: str = "") -> list[tuple]:
        if granted:
            execute(db, granted.format(role=role))
        with db.transaction() as cursor:
            cursor.execute(f"SET LOCAL ROLE {role}")
            cursor.execute(sql)
            return cursor.fetchall()

    yield run
    execute(db, f"DROP OWNED BY {role}")
    execute(db, f"DROP ROLE {role}")


ENQUEUE = "enqueue_telemetry_analysis(boolean, text, text, text, interval)"


def test_a_client_needs_nothing_but_execute_to_ask_for_an_analysis(db: Database, as_client):
    """Lost: every client would need write access to our tables."""
    run_id, _ = running(db)
    back_date(db, run_id, "heartbeat_at", "1 min")
    got = as_client(
        "SELECT outcome FROM enqueue_telemetry_analysis(if_stale => true, triggered_by => 'SESSION_START')",
        granted=f"GRANT EXECUTE ON FUNCTION {ENQUEUE} TO {{role}}",
    )
    assert got == [("ALREADY_QUEUED",)]
    assert row(db, run_id).reason_code == "WORKER_LOST"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_client("SELECT * FROM telemetry_analysis_runs")


FUNCTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc AS p
WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE')
"""


def test_no_role_may_use_the_queue_without_a_grant(db: Database, as_client):
    """Lost: every role that can connect could start, cancel and end analyses."""
    assert db.rows(FUNCTIONS) == []
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_client("SELECT * FROM enqueue_telemetry_analysis()")
    for name in ("reap_telemetry_runs()", f"cancel_telemetry_run('{new_id()}')"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            as_client(f"SELECT * FROM {name}")


def test_the_functions_cannot_be_turned_against_us_by_a_table_of_the_same_name(db: Database, as_client):
    """Lost: a client could make our functions write to its own tables with our rights."""
    got = as_client(
        "CREATE TEMPORARY TABLE telemetry_analysis_runs (LIKE public.telemetry_analysis_runs);"
        " SELECT outcome FROM public.enqueue_telemetry_analysis()",
        granted=f"GRANT EXECUTE ON FUNCTION {ENQUEUE} TO {{role}};"
        " GRANT SELECT ON public.telemetry_analysis_runs TO {role}",
    )
    assert got == [("ENQUEUED",)]
    assert one(db, "SELECT count(*) FROM public.telemetry_analysis_runs") == 1
