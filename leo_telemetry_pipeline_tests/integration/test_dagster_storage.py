"""Dagster's own tables: made whole, and completed where a start was killed while it made them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import dagster as dg
import psycopg2
import pytest
import sqlalchemy as sa
from dagster._core.storage.runs import SqlRunStorage
from dagster_postgres.storage import DagsterPostgresStorage
from sqlalchemy import event
from sqlalchemy.exc import ProgrammingError

from leo_telemetry_pipeline.defs.storage import Storage
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import dagster_home
from leo_telemetry_pipeline.store.database import Target, outside
from leo_telemetry_pipeline_tests.processes import ROOT
from leo_telemetry_pipeline_tests.servers import DEBIAN, EMBEDDED

pytestmark = pytest.mark.only_on(EMBEDDED, reason="it is about what Dagster does, and one server shows it")

SHAPE = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'dagster'::regnamespace AND c.relkind IN ('r', 'i') ORDER BY 1, 2
"""
MARKS = "SELECT name FROM secondary_indexes WHERE migration_completed IS NOT NULL ORDER BY 1"


class Killed(BaseException):
    """What ends a process between two statements."""


class Tables:
    """Dagster's tables in a schema of a test's database."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.target: Target = outside(url, settings.dagster_schema)
        dagster_home.environment(self.target, settings)
        self.url = self.target.dagster_url

    def rows(self, question: str) -> list[tuple]:
        with closing(self.target.connect_as_dagster()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchall()

    def execute(self, statement: str) -> None:
        with closing(self.target.connect_as_dagster()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def empty(self) -> None:
        self.execute("DROP SCHEMA dagster CASCADE; CREATE SCHEMA dagster")

    def what_is_there(self) -> tuple[list[tuple], list[tuple], list[tuple]]:
        return self.rows(SHAPE), self.rows(MARKS), self.rows("SELECT version_num FROM alembic_version")


@pytest.fixture
def tables(database_url: str, settings: Settings) -> Tables:
    return Tables(database_url, settings)


@contextmanager
def killed_after(statements: int) -> Iterator[list[int]]:
    """Let no statement after so many reach a server; what was committed by then stays, as after SIGKILL."""
    seen = [0]

    def count(*_: object) -> None:
        seen[0] += 1
        if seen[0] > statements:
            raise Killed

    event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        yield seen
    except Killed:
        pass
    finally:
        event.remove(sa.Engine, "before_cursor_execute", count)


def counted(make: Callable[[], object]) -> int:
    """Return how many statements something takes."""
    with killed_after(100_000) as seen:
        make()
    return seen[0]


@pytest.mark.only_on(EMBEDDED, DEBIAN, reason="Dagster's tables need a session, which the pooler has not")
@pytest.mark.parametrize("way", [DagsterPostgresStorage, Storage], ids=["as Dagster makes them", "as we make them"])
def test_a_first_start_killed_at_any_moment_is_completed_by_the_next(tables: Tables, way: type):
    """Lost: after a Ctrl-C in a bad moment no analysis ever runs again in this home, and nothing says so."""
    Storage(tables.url)
    whole = tables.what_is_there()
    assert dagster_home.has_tables(tables.target)
    tables.empty()
    needed = counted(lambda: way(tables.url))
    states = set()
    for moment in range(1, needed, max(1, needed // 8)):
        tables.empty()
        with killed_after(moment):
            way(tables.url)
        states.add(len(tables.rows(SHAPE)))
        assert not dagster_home.has_tables(tables.target), moment
        Storage(tables.url)
        assert dagster_home.has_tables(tables.target), moment
        assert tables.what_is_there() == whole, moment
    # Ours are there together, or not at all.
    assert (states == {0, len(whole[0])}) == (way is Storage)


def test_what_lies_in_an_incomplete_database_stays(tables: Tables, monkeypatch: pytest.MonkeyPatch, settings: Settings):
    """Lost: a repair that takes the history of runs with it."""
    variables = dagster_home.environment(tables.target, settings)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
        run = instance.add_run(dg.DagsterRun("theirs", tags={"of": "them"}))
    tables.execute(
        "DELETE FROM kvs; DELETE FROM secondary_indexes; DROP INDEX idx_run_tags; DROP TABLE bulk_actions CASCADE"
    )
    with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
        kept = instance.get_run_by_id(run.run_id)
    assert kept is not None
    assert kept.tags["of"] == "them"
    assert dagster_home.has_tables(tables.target)


def test_tables_of_another_version_of_dagster_are_left_alone(tables: Tables):
    """Lost: tables of a shared deployment that its own Dagster cannot migrate any more."""
    DagsterPostgresStorage(tables.url)
    tables.execute("UPDATE alembic_version SET version_num = 'of_another'; DROP TABLE kvs")
    before = tables.rows(SHAPE)
    with pytest.raises(ProgrammingError):
        Storage(tables.url)
    assert tables.rows(SHAPE) == before


def test_a_busy_machine_gets_the_time_to_import(tables: Tables, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Lost: on a busy machine Dagster fails each launch after a minute, while its process still imports."""
    assert int(dagster_home.environment(tables.target, settings)["DAGSTER_GRPC_TIMEOUT_SECONDS"]) >= 600
    monkeypatch.setenv("DAGSTER_GRPC_TIMEOUT_SECONDS", "1200")
    assert dagster_home.environment(tables.target, settings)["DAGSTER_GRPC_TIMEOUT_SECONDS"] == "1200"


MAKER = """
import sys
from leo_telemetry_pipeline.defs.storage import Storage
print("ready", flush=True)
sys.stdin.readline()
Storage(sys.argv[1])
"""


def test_two_first_starts_at_once_make_the_tables_once(tables: Tables):
    """Lost: daemon and UI start together, and one of them fails over the other's half-made tables."""
    makers = [
        subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", MAKER, tables.url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]  # fmt: skip
    for maker in makers:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "ready\n"
    ends = [maker.communicate("go\n") for maker in makers]
    assert [maker.returncode for maker in makers] == [0, 0], ends
    assert dagster_home.has_tables(tables.target)


def test_a_server_that_was_started_anew_is_found_again(tables: Tables):
    """Lost: connections that are kept for speed fail the run that uses them after a restart of the database."""
    storage = Storage(tables.url).run_storage
    assert isinstance(storage, SqlRunStorage)
    with storage.connect() as connection:
        [[kept]] = connection.execute(sa.text("SELECT pg_backend_pid()"))
    with storage.connect() as connection:
        assert connection.execute(sa.text("SELECT pg_backend_pid()")).scalar() == kept
    with closing(psycopg2.connect(tables.target.dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", (kept,))
    assert storage.get_cursor_values({"anything"}) == {}
