"""The servers of the tests: the embedded PostgreSQL, Debian's PostgreSQL 15, pgbouncer in front of it, a Citus cluster.

Belongs here: starting each once, when the first test needs it, and ending all of them by id.
Does not: databases of tests (conftest), expectations.
"""

import os
import re
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import distributed, migrations
from leo_telemetry_pipeline.store.server.database import Database, Target, opened
from leo_telemetry_pipeline.store.server.embedded import ROLE
from leo_telemetry_pipeline.store.server.server_programs import server_environment, server_user
from leo_telemetry_pipeline_tests.processes import need, until

EMBEDDED, DEBIAN, POOLER, WIDE_POOLER = "embedded", "postgresql15", "pgbouncer", "pgbouncer5"
CITUS = "citus"
# Address of the coordinator of a running cluster, as a superuser; read before tests get an environment of their own.
CITUS_VARIABLE = PREFIX + "TEST_CITUS_URL"
CITUS_URL = os.environ.get(CITUS_VARIABLE, "")
# The strictest possible pooler, and one for tests that need concurrent transactions.
POOL_SIZES = {POOLER: 1, WIDE_POOLER: 5}
PROGRAMS = Path("/usr/lib/postgresql/15/bin")
PGBOUNCER = Path("/usr/sbin/pgbouncer")
# Test data need not survive a power cut.
CARELESS = ("fsync", "synchronous_commit", "full_page_writes")


@dataclass(frozen=True)
class Server:
    """A server: ``address`` is the query part of a URL, ``direct`` the same past a pooler."""

    name: str
    address: str
    direct: str
    # Of the names of all databases.
    prefix: str = ""

    def url(self, database: str) -> str:
        """Return the address of a database, as LEO_TELEMETRY_DATABASE_URL takes it."""
        return f"postgresql://{ROLE}@/{database}?{self.address}"

    def direct_url(self, database: str) -> str:
        """Return the address of a database past a pooler."""
        return f"postgresql://{ROLE}@/{database}?{self.direct}"

    def administer(self, statement: str) -> None:
        """Run a statement outside the databases of tests and outside a transaction."""
        run_alone(self.direct_url("postgres"), statement)

    def empty(self) -> str:
        """Return the name of a template without our tables."""
        return "template1"

    def migrate(self, target: Target) -> None:
        """Create our tables."""
        migrations.migrate(target)

    def release(self, name: str) -> None:
        """End what would keep a database from being a template."""


@dataclass(frozen=True)
class Cluster(Server):
    """A Citus cluster: ``address`` is the URL of its coordinator, ``nodes`` are those of all nodes, it first.

    A database of a test is a clone of a template on every node, so the clones together are a cluster of their own.
    """

    nodes: tuple[str, ...] = ()
    # Other sessions may use the same cluster.
    prefix: str = f"leo_{os.getpid()}_"

    def url(self, database: str) -> str:
        """Return the address of a database on the coordinator."""
        return _at(self.address, database)

    direct_url = url

    def administer(self, statement: str) -> None:
        """Run a statement on every node."""
        for node in self.nodes:
            until(
                lambda node=node: _is_free(_at(node, "postgres"), statement), f"no session is in the way of {statement}"
            )

    def empty(self) -> str:
        """Return the name of a template with the extension and all nodes, created once."""
        name = f"{self.prefix}citus"
        if not run_alone(self.url("postgres"), "SELECT 1 FROM pg_database WHERE datname = %s", (name,)):
            self.administer(f"CREATE DATABASE {name}")
            for node in self.nodes:
                run_alone(_at(node, name), "CREATE EXTENSION citus")
            coordinator, *workers = [urlsplit(node) for node in self.nodes]
            add = "SELECT citus_set_coordinator_host(%s, %s)"
            run_alone(self.url(name), add, (coordinator.hostname, coordinator.port))
            for worker in workers:
                run_alone(self.url(name), "SELECT citus_add_node(%s, %s)", (worker.hostname, worker.port))
            self.release(name)
        return name

    def migrate(self, target: Target) -> None:
        """Create our tables, and distribute the spans."""
        migrations.migrate(target)
        name = parse_dsn(target.dsn)["dbname"]
        # Of a partition, more shards would take longer to make than most tests.
        run_alone(self.url(name), f"ALTER DATABASE {name} SET citus.shard_count = 2")
        with closing(Database(target)) as db:
            distributed.distribute(db)

    def release(self, name: str) -> None:
        """End the maintenance daemons of a database, which would otherwise be connected to it for good."""
        self.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
        for node in self.nodes:
            run_alone(_at(node, "postgres"), ended, (name,))

    def clear(self) -> None:
        """Drop all databases of this session."""
        for (name,) in run_alone(
            self.url("postgres"), "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (self.prefix,)
        ):
            self.administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def cluster_at(url: str) -> Cluster:
    """Return the cluster with a coordinator, given the address of a database on it as a superuser."""
    workers = run_alone(url, "SELECT nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards")
    parts = urlsplit(url)
    user = f"{parts.netloc.rpartition('@')[0]}@"
    nodes = [parts._replace(netloc=f"{user}{host}:{port}").geturl() for host, port in sorted(workers)]
    return Cluster(CITUS, url, url, nodes=(url, *nodes))


def run_alone(url: str, statement: str, parameters: tuple | None = None) -> list[tuple]:
    """Run a statement outside a transaction, and return its rows."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


def _is_free(url: str, statement: str) -> bool:
    """Run a statement, unless another session uses its database: daemons of Citus come and go."""
    try:
        run_alone(url, statement)
    except psycopg2.errors.ObjectInUse:
        return False
    return True


def _at(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def as_role(url: str, role: str) -> str:
    """Return the address of a database for an existing role whose password is ``pw``."""
    return re.sub("(?<=//)[^/@]*(?=@)", f"{role}:pw", url, count=1)


class Servers:
    """All servers of a session, in a folder that a server without root may enter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[str, Server | BaseException] = {}
        self._ends = ExitStack()

    def get(self, name: str) -> Server:
        """Return a server, which the first call starts. If it is not installed, skip the test; in CI, fail.

        A failure is remembered, because another attempt might take minutes.
        """
        if name not in self._started:
            starts: dict[str, Callable[[], Server]]
            starts = {EMBEDDED: self._embedded, DEBIAN: self._debian, CITUS: self._citus}
            start = starts.get(name, lambda: self._pooler(name))
            try:
                self._started[name] = start()
            except (Exception, pytest.skip.Exception, pytest.fail.Exception) as error:  # noqa: BLE001  # raised below
                self._started[name] = error
        server = self._started[name]
        if isinstance(server, BaseException):
            raise server
        return server

    def close(self) -> None:
        """End all servers that were started."""
        self._ends.close()

    def _embedded(self) -> Server:
        target = self._ends.enter_context(opened(Settings({PREFIX + "HOME": str(self._folder / "server")})))
        assert target.embedded is not None
        sockets, passfile = target.embedded.sockets, target.embedded.password_file
        address = f"host={quote(str(sockets), safe='')}&passfile={quote(str(passfile), safe='')}"
        server = Server(EMBEDDED, address, address)
        for setting in CARELESS:
            server.administer(f"ALTER SYSTEM SET {setting} = off")
        server.administer("SELECT pg_reload_conf()")
        return server

    def _debian(self) -> Server:
        need((PROGRAMS / "postgres").exists(), "PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)")
        sockets, data = self._private("pg15"), self._folder / "pg15" / "data"
        self._run("initdb", "-D", str(data), "-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        settings = {"listen_addresses": "", "unix_socket_directories": sockets, "max_connections": 200}
        settings |= {"timezone": "UTC"} | dict.fromkeys(CARELESS, "off")
        with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        control = ("pg_ctl", "-D", str(data), "-w")
        self._run(*control, "-l", str(sockets / "log"), "start")
        self._ends.callback(self._run, *control, "-m", "immediate", "stop")
        address = f"host={quote(str(sockets), safe='')}"
        return Server(DEBIAN, address, address)

    def _citus(self) -> Server:
        if not CITUS_URL:
            # Skipped in CI, too: Citus is not in the package registries.
            pytest.skip(f"{CITUS_VARIABLE} names no Citus cluster (docs/deployment.md says how to put one up)")
        cluster = cluster_at(CITUS_URL)
        self._ends.callback(cluster.clear)
        return cluster

    def _pooler(self, name: str) -> Server:
        need(PGBOUNCER.exists(), "pgbouncer is not installed (Debian: apt-get install pgbouncer)")
        behind, folder = self.get(DEBIAN), self._private(name)
        (folder / "users").write_text(f'"{ROLE}" ""\n', encoding="utf-8")
        # ignore_startup_parameters is not set: our connections must not need it.
        (folder / "pgbouncer.ini").write_text(
            f"""
            [databases]
            * = host={self._folder / "pg15"}
            [pgbouncer]
            listen_addr =
            listen_port = 5432
            unix_socket_dir = {folder}
            auth_type = trust
            auth_file = {folder / "users"}
            auth_user = {ROLE}
            pool_mode = transaction
            default_pool_size = {POOL_SIZES[name]}
            max_db_connections = {POOL_SIZES[name]}
            max_client_conn = 500
            server_login_retry = 1
            query_wait_timeout = 600
            """.replace("\n            ", "\n"),
            encoding="utf-8",
        )
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([PGBOUNCER, folder / "pgbouncer.ini"], stdout=log, stderr=log, **_as_server())
        self._ends.callback(process.wait)
        self._ends.callback(process.kill)
        server = Server(name, f"host={quote(str(folder), safe='')}", behind.direct)
        until(lambda: _answers(server) or process.poll() is not None, "pgbouncer answers")
        assert process.poll() is None, (folder / "log").read_text()
        return server

    def _private(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(mode=0o700)
        if owner := server_user():
            os.chown(folder, *owner)
        return folder

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [PROGRAMS / program, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **_as_server(),
        )
        assert done.returncode == 0, done.stderr


def _as_server() -> dict:
    owner = server_user()
    rights = {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
    return {"stdin": subprocess.DEVNULL, "cwd": "/", "env": server_environment(), **rights}


def _answers(server: Server) -> bool:
    try:
        psycopg2.connect(server.url("postgres")).close()
    except psycopg2.OperationalError:
        return False
    return True
