"""Dagster's own tables: created completely, and completed after a start that was killed while creating them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import dagster as dg
import psycopg2
import pytest
import sqlalchemy as sa
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    TickData,
    TickStatus,
)
from dagster._core.storage.runs import SqlRunStorage
from dagster._daemon.types import DaemonHeartbeat
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import event
from sqlalchemy.exc import ProgrammingError

from leo_telemetry_pipeline.defs.storage import Storage
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server import dagster_home
from leo_telemetry_pipeline.store.server.dagster_home import QUEUE_SENSOR, Daemon
from leo_telemetry_pipeline.store.server.database import Target, outside
from leo_telemetry_pipeline_tests.processes import ROOT, until
from leo_telemetry_pipeline_tests.servers import DEBIAN, EMBEDDED

pytestmark = pytest.mark.only_on(EMBEDDED, reason="Dagster does the same on every server")

SHAPE = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'dagster'::regnamespace AND c.relkind IN ('r', 'i') ORDER BY 1, 2
"""
MARKS = "SELECT name FROM secondary_indexes WHERE migration_completed IS NOT NULL ORDER BY 1"


class Killed(BaseException):
    """The end of a process between two statements."""


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
    """Let only some statements reach the server; what is committed by then stays, as after SIGKILL."""
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
    """Return the number of statements of a call."""
    with killed_after(100_000) as seen:
        make()
    return seen[0]


@pytest.mark.only_on(EMBEDDED, DEBIAN, reason="Dagster's tables need a session, which the pooler does not keep")
@pytest.mark.parametrize("way", [DagsterPostgresStorage, Storage], ids=["as Dagster makes them", "as we make them"])
def test_a_first_start_killed_at_any_moment_is_completed_by_the_next(tables: Tables, way: type):
    """Lost: after a Ctrl-C at a bad moment, no analysis ever runs again in this home, and nothing says so."""
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
    # Our storage creates all tables or none; Dagster's own leaves some.
    assert (states == {0, len(whole[0])}) == (way is Storage)


def test_the_contents_of_an_incomplete_database_stay(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, settings: Settings
):
    """Lost: a repair would delete the history of runs."""
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


def test_a_run_from_before_an_upgrade_is_still_known(
    tables: Tables, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Lost: after each upgrade, the doctor would blame another instance instead of asking for a worker."""
    variables = dagster_home.environment(tables.target, settings)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # This home never executed anything: its run belongs to a deployment with other storage.
    assert not dagster_home.has_run(tables.target, "of another")
    with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
        run = instance.add_run(dg.DagsterRun("ours"))
    tables.execute("UPDATE kvs SET value = '1.0' WHERE key = 'leo_telemetry/tables_made'")
    assert dagster_home.has_run(tables.target, run.run_id)
    tables.execute("DROP TABLE kvs")
    assert dagster_home.has_run(tables.target, run.run_id)
    assert not dagster_home.has_run(tables.target, "of another")


def test_tables_of_another_version_of_dagster_are_left_alone(tables: Tables):
    """Lost: a shared deployment's own Dagster could not migrate its tables any more."""
    DagsterPostgresStorage(tables.url)
    tables.execute("UPDATE alembic_version SET version_num = 'of_another'; DROP TABLE kvs")
    before = tables.rows(SHAPE)
    with pytest.raises(ProgrammingError):
        Storage(tables.url)
    assert tables.rows(SHAPE) == before


def test_a_busy_machine_gets_the_time_to_import(tables: Tables, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Lost: on a busy machine, Dagster fails each launch after a minute, while its process still imports."""
    assert int(dagster_home.environment(tables.target, settings)["DAGSTER_GRPC_TIMEOUT_SECONDS"]) >= 600
    monkeypatch.setenv("DAGSTER_GRPC_TIMEOUT_SECONDS", "1200")
    assert dagster_home.environment(tables.target, settings)["DAGSTER_GRPC_TIMEOUT_SECONDS"] == "1200"


def beat(instance: dg.DagsterInstance, ago_s: float = 0.0, error: str = "") -> None:
    """Record a heartbeat of the sensor daemon."""
    errors = [SerializableErrorInfo(error, [], "Error")] if error else []
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago_s, "SENSOR", "its-id", errors))


def state_of(sensor: str, status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE) -> InstigatorState:
    """Return the state of one of our sensors."""
    location = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("leo_telemetry_pipeline"), "__repository__")
    return InstigatorState(RemoteInstigatorOrigin(location, sensor), InstigatorType.SENSOR, status)


def record_tick(
    instance: dg.DagsterInstance, sensor: str, status: TickStatus, ago_s: float = 0.0, error: str = ""
) -> None:
    """Record a tick of one of our sensors, as the daemon does."""
    state = state_of(sensor)
    if not instance.get_instigator_state(state.instigator_origin_id, state.selector_id):
        instance.add_instigator_state(state)
    cause = SerializableErrorInfo(error, [], "Error") if error else None
    instance.create_tick(
        TickData(
            state.instigator_origin_id,
            sensor,
            InstigatorType.SENSOR,
            status,
            time.time() - ago_s,
            selector_id=state.selector_id,
            error=SerializableErrorInfo("Error occurred during the execution of evaluation_fn", [], "E", cause)
            if cause
            else None,
        )
    )


def test_a_daemon_is_judged_by_what_our_sensors_did(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, settings: Settings
):
    """Lost: the doctor would report a daemon as healthy because of its heartbeat, although all its ticks fail."""
    variables = dagster_home.environment(tables.target, settings)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    lifecycle = "leo_telemetry_run_lifecycle_sensor"

    def found() -> Daemon:
        return dagster_home.daemon(tables.target)

    assert found() == Daemon()
    with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
        assert found() == Daemon()
        beat(instance, ago_s=3600)
        record_tick(instance, QUEUE_SENSOR, TickStatus.SKIPPED)
        assert found() == Daemon()
        beat(instance, error="no index mark\nand more")
        assert found() == Daemon(beats=True, checks_queue=True)
        record_tick(instance, "queued_runs_sensor", TickStatus.FAILURE, error="of somebody else")
        record_tick(instance, QUEUE_SENSOR, TickStatus.STARTED)
        assert found() == Daemon(beats=True, checks_queue=True)
        record_tick(instance, lifecycle, TickStatus.FAILURE, error="no table x\nLINE 1: SELECT")
        assert found() == Daemon(beats=True, checks_queue=True, failing=((lifecycle, "no table x"),))
        instance.update_instigator_state(state_of(lifecycle, InstigatorStatus.STOPPED))
        assert found() == Daemon(beats=True, checks_queue=True)
        instance.update_instigator_state(state_of(lifecycle, InstigatorStatus.RUNNING))
        assert found() == Daemon(beats=True, checks_queue=True, failing=((lifecycle, "no table x"),))
        record_tick(instance, lifecycle, TickStatus.SKIPPED)
        assert found() == Daemon(beats=True, checks_queue=True)
        record_tick(instance, QUEUE_SENSOR, TickStatus.FAILURE, error="no table y")
        assert found() == Daemon(beats=True, checks_queue=False, failing=((QUEUE_SENSOR, "no table y"),))
    tables.execute("DELETE FROM job_ticks")
    assert found() == Daemon(beats=True, checks_queue=False, failing=(("the sensor daemon", "no index mark"),))
    tables.execute("DROP TABLE instigators")
    assert found() == Daemon(beats=True)


def test_an_instance_that_ends_leaves_no_connection(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, settings: Settings
):
    """Lost: each sensor tick leaks a connection until the database refuses more."""
    variables = dagster_home.environment(tables.target, settings)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    [[before]] = tables.rows(mine)
    for _ in range(2):
        with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
            assert instance.get_runs(limit=1) == []
            assert instance.all_instigator_state() == []
            assert instance.get_asset_keys() == []
            [[during]] = tables.rows(mine)
            assert during <= before + 1
    until(lambda: tables.rows(mine)[0][0] <= before, "its connection is closed")


MAKER = """
import sys
import time
from leo_telemetry_pipeline.defs.storage import Storage
print("ready", flush=True)
sys.stdin.readline()
Storage(sys.argv[1])
"""


def test_two_first_starts_at_once_make_the_tables_once(tables: Tables):
    """Lost: daemon and UI start together, and one fails because of the other's incomplete tables."""
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


def test_connections_to_a_restarted_server_are_replaced(tables: Tables):
    """Lost: the next run after a restart of the database, which gets a closed connection."""
    storage = Storage(tables.url).run_storage
    assert isinstance(storage, SqlRunStorage)
    with storage.connect() as connection:
        [[kept]] = connection.execute(sa.text("SELECT pg_backend_pid()"))
    with storage.connect() as connection:
        assert connection.execute(sa.text("SELECT pg_backend_pid()")).scalar() == kept
    with closing(psycopg2.connect(tables.target.dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", (kept,))
    assert storage.get_cursor_values({"anything"}) == {}
