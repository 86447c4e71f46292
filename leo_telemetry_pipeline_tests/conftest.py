"""What every test stands on: an environment of its own, and a real PostgreSQL started once for the session.

A database of a test is a clone of one that was migrated once, so tests share no row and need no order.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import hypothesis
import psycopg2
import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import migrations
from leo_telemetry_pipeline.store.database import Database, Target, opened, outside
from leo_telemetry_pipeline.store.embedded import ROLE

# The same examples on every run where nobody can replay a lucky find, new ones on a developer's machine.
hypothesis.settings.register_profile("ci", derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI", "").lower() in ("1", "true") else "dev")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """Make a folder whose path is short enough for a socket and which a server that is not root may enter."""
    usable = "/tmp" if os.access("/tmp", os.W_OK | os.X_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="leo-", dir=usable))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def home(short_folder: Path) -> Iterator[Path]:
    """Name a home of the test's own, not made yet; the environment has it and nothing else of ours."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith((PREFIX, "DAGSTER_"))]:
        del os.environ[name]
    home = short_folder / f"h{next(_numbers)}"
    os.environ[PREFIX + "HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    try:
        yield home
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def server(short_folder: Path) -> Iterator[Target]:
    """Run PostgreSQL for as long as the session lasts."""
    with opened(Settings({PREFIX + "HOME": str(short_folder / "server")})) as target:
        # Nothing here has to survive a power cut.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            administer(target, f"ALTER SYSTEM SET {setting} = off")
        administer(target, "SELECT pg_reload_conf()")
        yield target


def administer(server: Target, statement: str) -> None:
    """Run a statement outside any database of a test and outside any transaction."""
    assert server.embedded is not None
    with closing(psycopg2.connect(f"{server.embedded.dsn} dbname=postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def url_of(server: Target, name: str) -> str:
    """Return the address of a database of the session's server, as LEO_TELEMETRY_DATABASE_URL takes it."""
    assert server.embedded is not None
    sockets, passfile = (quote(str(path), safe="") for path in (server.embedded.sockets, server.embedded.password_file))
    return f"postgresql://{ROLE}@/{name}?host={sockets}&passfile={passfile}"


@pytest.fixture
def empty_database_url(server: Target) -> Iterator[str]:
    """Give the address of a database that has no table yet."""
    yield from _made(server, f"empty_{next(_numbers)}", "template1")


@pytest.fixture(scope="session")
def template(server: Target) -> str:
    """Name a migrated database that nobody writes to."""
    administer(server, "CREATE DATABASE template_migrated")
    migrations.migrate(outside(url_of(server, "template_migrated"), "dagster"))
    return "template_migrated"


@pytest.fixture
def database_url(server: Target, template: str) -> Iterator[str]:
    """Give the address of a migrated database of the test's own."""
    yield from _made(server, f"test_{next(_numbers)}", template)


def _made(server: Target, name: str, template: str) -> Iterator[str]:
    administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield url_of(server, name)
    finally:
        administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give settings that name the test's database; whatever reads the environment gets the same ones."""
    monkeypatch.setenv(PREFIX + "DATABASE_URL", database_url)
    return Settings()


@pytest.fixture
def target(database_url: str) -> Target:
    """Give the test's database as something to connect to."""
    return outside(database_url, "dagster")


@pytest.fixture
def db(target: Target) -> Iterator[Database]:
    """Open a connection to the test's database."""
    with closing(Database(target)) as database:
        yield database
