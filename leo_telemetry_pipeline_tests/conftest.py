"""Fixtures of all tests: an isolated environment, and real servers, each started once per session.

A test's database is a clone of a migrated template, so tests share no rows and may run in any order.
"""

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import hypothesis
import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database, Target, outside
from leo_telemetry_pipeline_tests import sharing
from leo_telemetry_pipeline_tests.builders import midnight
from leo_telemetry_pipeline_tests.servers import (
    CITUS,
    CITUS_URL,
    DEBIAN,
    EMBEDDED,
    POOLER,
    WIDE_POOLER,
    Server,
    Servers,
)

# CI cannot replay a random failure, so it always runs the same examples; a developer's machine runs new ones.
hypothesis.settings.register_profile("ci", derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI", "").lower() in ("1", "true") else "dev")

MEMORY = "/dev/shm"
_numbers = itertools.count(1)
_made_once: set[tuple[str, str]] = set()


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """Create a folder whose path is short enough for a socket and that a server without root may enter."""
    with open_folder("/tmp" if os.access("/tmp", os.W_OK | os.X_OK) else None) as folder:
        yield folder


@contextmanager
def open_folder(where: str | None) -> Iterator[Path]:
    """Create a folder that every user may enter, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="leo-", dir=where))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def home(short_folder: Path) -> Iterator[Path]:
    """Return a home for this test that does not exist yet; none of our other variables is set."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith((PREFIX, "DAGSTER_"))]:
        del os.environ[name]
    home = short_folder / f"h{next(_numbers)}"
    os.environ[PREFIX + "HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    try:
        yield home
    finally:
        _restore_environment(before)
        shutil.rmtree(home, ignore_errors=True)


def _restore_environment(before: dict[str, str]) -> None:
    # Most tests change few variables or none, and setting all of them again costs more than an ordinary unit test.
    now = dict(os.environ)
    for name in now.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if now.get(name) != value})


@pytest.fixture(scope="session")
def servers(short_folder: Path) -> Iterator[Servers]:
    """Return the servers of this session; each starts with the first test that needs it."""
    # Two thousand databases are created and dropped in half the time in memory.
    with open_folder(MEMORY) if has_room(MEMORY) else nullcontext(short_folder) as folder:
        servers = Servers(folder)
        try:
            yield servers
        finally:
            servers.close()


def has_room(folder: str) -> bool:
    """Return whether a system folder is writable, executable and large enough for servers."""
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(folder).free > 8 << 30


@pytest.fixture
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """Return the server of this test: the embedded one, or under integration/ each in turn."""
    return servers.get(getattr(request, "param", EMBEDDED))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option for the servers that tests run on."""
    parser.addoption(
        "--direct",
        action="store_true",
        help="run integration tests for any server on PostgreSQL 15 without pgbouncer",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register our markers, restore default signal handling, and remove libpq's variables.

    How a run is shared between processes, and its summary, are in `sharing`.
    """
    config.pluginmanager.register(sharing)
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    # In the background of a script or under nohup, ignored signals are inherited, also by each program of a test.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    config.addinivalue_line("markers", "only_on(*servers, reason): the test's subject exists only on these servers")
    config.addinivalue_line("markers", "not_on_a_cluster(reason): Citus refuses what the test does")
    config.addinivalue_line("markers", "without_days: the test's database has no partitions yet")
    config.addinivalue_line("markers", "with_days: the test's database has all partitions, which takes a second")
    config.addinivalue_line("markers", "counted_days: the test's database has counted its days, which have no spans")
    config.addinivalue_line("markers", "transactions_at_once: hangs behind a pooler with one server connection")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each integration test with a server twice, embedded and through a pooler, unless a marker limits it.

    If a Citus cluster is named, they run on it instead.
    """
    if "server" not in metafunc.fixturenames or ".integration." not in metafunc.definition.nodeid.replace("/", "."):
        return
    only = metafunc.definition.get_closest_marker("only_on")
    assert only is None or only.kwargs["reason"]
    pooler = WIDE_POOLER if metafunc.definition.get_closest_marker("transactions_at_once") else POOLER
    every = (DEBIAN,) if metafunc.config.getoption("direct") else (EMBEDDED, pooler)
    if CITUS_URL:
        other = metafunc.definition.get_closest_marker("not_on_a_cluster")
        every = (pytest.param(CITUS, marks=pytest.mark.skip(other.kwargs["reason"])) if other else CITUS,)
    names = only.args if only else every
    metafunc.parametrize("server", names, indirect=True)


@pytest.fixture
def empty_database_url(server: Server) -> Iterator[str]:
    """Return the address of a database without tables."""
    yield from _made(server, f"empty_{next(_numbers)}", server.empty())


@pytest.fixture
def template(request: pytest.FixtureRequest, server: Server) -> str:
    """Return the name of the migrated template with the partitions that the test's markers ask for."""
    if request.node.get_closest_marker("without_days"):
        return without_days(server)
    return with_days(server) if request.node.get_closest_marker("with_days") else migrated(server)


def without_days(server: Server) -> str:
    """Return the name of a database with the newest schema and no partitions, created once per server."""
    return made_once(server, "template_without_days", server.empty(), server.migrate)


def migrated(server: Server) -> str:
    """Return the name of a database with the newest schema and partitions for recent days, created once per server.

    Creating a partition takes longer than storing the data of most tests.
    """
    return made_once(server, "template_migrated", without_days(server), lambda target: _make_days(target, 9))


def with_days(server: Server) -> str:
    """Return the name of a migrated database with a partition for each retained day, created once per server."""
    return made_once(server, "template_with_days", migrated(server), lambda target: _make_days(target, 99))


def _make_days(target: Target, past: int) -> None:
    with closing(Database(target)) as db:
        spans.ensure_partitions(db, midnight(past), midnight(-4))


def made_once(server: Server, name: str, template: str, prepare: Callable[[Target], None]) -> str:
    """Create a template database once per server, and return its name."""
    name = server.prefix + name
    if (server.direct, name) not in _made_once:
        # A failed attempt may have left it.
        server.administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.administer(f"CREATE DATABASE {name} TEMPLATE {template}")
        prepare(outside(server.direct_url(name), "dagster"))
        server.release(name)
        _made_once.add((server.direct, name))
    return name


@pytest.fixture
def database_url(server: Server, template: str) -> Iterator[str]:
    """Return the address of a migrated database for this test."""
    yield from _made(server, f"test_{next(_numbers)}", template)


def _made(server: Server, name: str, template: str) -> Iterator[str]:
    name = server.prefix + name
    # The default strategy writes every page to the WAL, which takes three times as long.
    server.administer(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield server.url(name)
    finally:
        server.administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings for the test's database; the environment has the same."""
    monkeypatch.setenv(PREFIX + "DATABASE_URL", database_url)
    return Settings()


@pytest.fixture
def target(database_url: str) -> Target:
    """Return the connection target of the test's database."""
    return outside(database_url, "dagster")


@pytest.fixture
def db(target: Target) -> Iterator[Database]:
    """Open a connection to the test's database."""
    with closing(Database(target)) as database:
        yield database
