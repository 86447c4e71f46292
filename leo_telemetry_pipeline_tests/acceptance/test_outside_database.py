"""Outside databases: wrong addresses, servers that refuse, and one on which everything works."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest

from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store.server.server_programs import programs as embedded_programs
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.processes import ROOT, free_port, has_line, need, run

URL = PREFIX + "DATABASE_URL"
SECRET = "tausendschoen"
# Every command that needs the database, with arguments.
COMMANDS = (
    ("analyze",),
    ("analyze", "--dry-run"),
    ("dev",),
    ("enqueue",),
    ("enqueue", "--if-stale"),
    ("env",),
    ("findings",),
    ("import", __file__),
    ("items",),
    ("items", "show", "7b3a2f0c-5d1e-4f6a-9c8b-0e1d2c3b4a59"),
    ("runs",),
    ("runs", "show", "7b3a2f0c-5d1e-4f6a-9c8b-0e1d2c3b4a59"),
    ("runs", "cancel", "7b3a2f0c-5d1e-4f6a-9c8b-0e1d2c3b4a59"),
    ("thresholds", "list"),
    ("thresholds", "set", "gate", "--multiplier", "2"),
    ("thresholds", "disable", "gate"),
    ("worker",),
    ("worker", "--once"),
)


@pytest.mark.parametrize(
    "address",
    [
        f"mysql://leo:{SECRET}@127.0.0.1/db",
        f"leo:{SECRET}@127.0.0.1/db",
        "postgresql://",
        f"postgresql://leo:[{SECRET}@127.0.0.1/db",
        f"postgresql://leo:{SECRET}@127.0.0.1:port/db",
        f"postgresql://leo:{SECRET}@127.0.0.1:99999/db",
        f"postgresql://leo:{SECRET}@127.0.0.1/db?nonsense=1",
        f"postgresql://leo:{SECRET}%zz@127.0.0.1/db",
        f"host=127.0.0.1 password={SECRET}",
    ],
)
@pytest.mark.parametrize("arguments", [("runs",), ("analyze",), ("migrate",)])
def test_an_invalid_address_is_reported_as_such(home: Path, arguments: Sequence[str], address: str):
    """Lost: a password appears in a log because of one wrong letter in an address."""
    done = run(home, *arguments, **{URL: address})
    has_line(done, URL)
    assert SECRET not in done.out + done.err
    assert (done.code, done.out) == (3, "")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_missing_database_is_reported_in_one_line(home: Path, arguments: Sequence[str]):
    """Lost: nobody learns that a database is down, or which one it is."""
    port = free_port()
    done = run(home, *arguments, **{URL: f"postgresql://leo:{SECRET}@127.0.0.1:{port}/db"})
    has_line(done, f"postgresql://leo@127.0.0.1:{port}/db", "does not answer", URL)
    assert SECRET not in done.out + done.err
    assert (done.code, done.out) == (3, "")


def test_the_doctor_reports_a_missing_database(home: Path):
    """Lost: the command that should explain the problem fails itself."""
    port = free_port()
    done = run(home, "doctor", **{URL: f"postgresql://leo:{SECRET}@127.0.0.1:{port}/db"})
    assert done.code == 3
    assert f"127.0.0.1:{port}" in done.out
    assert SECRET not in done.out + done.err
    assert "Traceback" not in done.out + done.err


@dataclass(frozen=True)
class Outside:
    """An outside PostgreSQL: on TCP, with passwords, and a role that is not a superuser."""

    port: int
    passwords: dict[str, str]

    def url(self, name: str, role: str = "app", password: str | None = None) -> str:
        """Return an address as a person would write it."""
        password = quote(self.passwords[role], safe="") if password is None else password
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{name}"

    def administer(self, *statements: str, name: str = "postgres") -> None:
        """Run statements as the superuser."""
        with closing(psycopg2.connect(self.url(name, "postgres"))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    def ask(self, name: str, question: str) -> list[tuple]:
        """Return the rows of a query."""
        with closing(psycopg2.connect(self.url(name))) as connection, connection, connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchall()


@pytest.fixture(scope="module")
def outside(short_folder: Path) -> Iterator[Outside]:
    """Start the system's PostgreSQL 15, or the programs of the embedded one."""
    folder, port = short_folder / "pg", free_port()
    folder.mkdir(mode=0o700)
    debian = Path("/usr/lib/postgresql/15/bin")
    need(debian.exists() or os.environ.get("CI") is None, f"{debian} is not there: postgresql-15 is not installed")
    programs = debian if debian.exists() else embedded_programs(folder, folder / "data")
    prefix: list[str] = []
    if os.geteuid() == 0:
        os.chown(folder, processes.NOBODY, processes.NOBODY)
        prefix = processes.as_user(processes.NOBODY)
    secret = folder / "secret"
    # Careless parsers end a part of an address at '#', '?' and '/'.
    passwords = {"postgres": "postgres", "app": f"{SECRET}#1?/@:%"}
    secret.write_text(passwords["postgres"])
    secret.chmod(0o644)

    def tell(program: str, *arguments: str) -> None:
        with (short_folder / "pg.log").open("ab") as log:
            subprocess.run(
                [*prefix, str(programs / program), "-D", str(folder / "data"), *arguments],
                check=True,
                cwd="/",
                stdout=log,
                stderr=log,
            )

    tell("initdb", "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c fsync=off"
    tell("pg_ctl", "-w", "-o", options, "start")
    try:
        made = Outside(port, passwords)
        made.administer(
            f"CREATE ROLE app LOGIN PASSWORD '{passwords['app']}'",
            "CREATE ROLE reader LOGIN PASSWORD 'reader'",
            "CREATE DATABASE app OWNER app",
            "CREATE DATABASE unmigrated OWNER app",
        )
        made.passwords["reader"] = "reader"
        assert run(short_folder / "setup", "migrate", **{URL: made.url("app")}).code == 0
        yield made
    finally:
        tell("pg_ctl", "-m", "immediate", "-w", "stop")


@pytest.mark.parametrize("typed", [SECRET, f"{SECRET}%23", f"{SECRET}#x", f"{SECRET}?x", f"x#{SECRET}", f"x?{SECRET}"])
def test_a_wrong_password_is_reported_and_never_printed(home: Path, outside: Outside, typed: str):
    """Lost: a password appears on a shared screen or in a build log."""
    for arguments in (("runs",), ("migrate",), ("analyze",)):
        done = run(home, *arguments, **{URL: outside.url("app", password=typed)})
        has_line(done, "127.0.0.1", str(outside.port), "password", URL)
        assert SECRET not in done.out + done.err
        assert (done.code, done.out) == (3, "")
    written = [path for path in home.rglob("*") if path.is_file() and SECRET in path.read_text(errors="replace")]
    assert not written


def test_an_at_sign_in_a_password_gives_nothing_away(home: Path, outside: Outside):
    """Lost: libpq takes the text after the first @ for the host, and prints it in its error."""
    done = run(home, "runs", **{URL: outside.url("app", password=f"x@{SECRET}")})
    has_line(done, URL)
    assert SECRET not in done.out + done.err
    assert (done.code, done.out) == (3, "")


def test_an_outside_database_that_is_not_there_is_named(home: Path, outside: Outside):
    """Lost: a name with one wrong letter looks like a server that is down."""
    done = run(home, "runs", **{URL: outside.url("nope")})
    has_line(done, "/nope does not exist", "create it", URL)
    assert done.code == 3


@pytest.mark.parametrize("arguments", [each for each in COMMANDS if each[0] != "migrate"], ids=" ".join)
def test_an_outside_database_is_not_migrated_behind_its_owners_back(
    home: Path, outside: Outside, arguments: Sequence[str]
):
    """Lost: a read-only command creates thirty tables in a production database."""
    done = run(home, *arguments, **{URL: outside.url("unmigrated")})
    has_line(done, "`leo-telemetry migrate`")
    assert (done.code, done.out) == (3, "")
    tables = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    assert outside.ask("unmigrated", tables) == []
    assert outside.ask("unmigrated", "SELECT 1 FROM pg_namespace WHERE nspname = 'dagster'") == []


def test_missing_privileges_are_reported(home: Path, outside: Outside):
    """Lost: a user with a read-only role gets a page of SQL instead of the missing privilege."""
    done = run(home, "migrate", **{URL: outside.url("app", "reader")})
    has_line(done, "permission denied")
    assert done.code == 3
    done = run(home, "findings", **{URL: outside.url("app", "reader")})
    has_line(done, "permission denied")
    assert done.code == 3


def test_everything_works_on_an_outside_postgresql(home: Path, outside: Outside):
    """Lost: a user with an existing PostgreSQL, a password and no superuser cannot use this at all."""
    outside.administer("CREATE DATABASE whole OWNER app")
    variables = {URL: outside.url("whole")}

    def well(*arguments: str) -> str:
        done = run(home, *arguments, **variables)
        assert done.code == 0, (arguments, done)
        # Only `env` prints the password, for the shell.
        assert SECRET not in done.out + done.err or arguments == ("env",)
        return done.out

    assert "empty" in well("migrate")
    assert "up to date" in well("migrate")
    sample = str(ROOT / "examples" / "data" / "claude_code_otlp_sample.jsonl")
    assert "span(s) stored" in well("import", "--accept-times", sample)
    assert "already stored" in well("import", "--accept-times", sample)
    assert "WORKFLOW TELEMETRY" in well("analyze")
    assert "Last analysis" in well("findings")
    assert "Queued analysis" in well("enqueue")
    assert well("worker", "--once") == "Executed 1 analysis run(s).\n"
    assert well("runs").count("SUCCEEDED") == 2
    well("items")
    well("thresholds", "set", "gate", "G", "--baseline-p50-ms", "5000", "--multiplier", "3")
    assert "5000" in well("thresholds", "list")
    assert URL in well("env")
    # Dagster's tables are separate from those that people read.
    tables = outside.ask(
        "whole", "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information)'"
    )
    assert {"runs", "event_logs", "daemon_heartbeats"} <= {name for schema, name in tables if schema == "dagster"}
    assert {schema for schema, _ in tables} == {"dagster", "public"}
    ours = {name for schema, name in tables if schema == "public"}
    assert {name for name in ours if not name.startswith(("workflow_", "telemetry_", "duration_", "dimension_"))} == {
        "alembic_version",
        "alert_outbox",
        "continuous_improvements",
        "directive_events",
        "directive_items",
        "item_events",
        "item_occurrences",
        "strategic_directives",
    }
    # With an outside database, no embedded server is created.
    assert not (home / "database").exists()


def test_an_analysis_that_cannot_take_its_row_gives_the_reason(home: Path, outside: Outside):
    """Lost: a broken database is blamed on "another analysis" that nobody can find."""
    outside.administer("CREATE DATABASE broken TEMPLATE app OWNER app")
    variables = {URL: outside.url("broken")}
    outside.administer("ALTER FUNCTION begin_telemetry_run RENAME TO gone", name="broken")
    done = run(home, "analyze", **variables)
    has_line(done, "begin_telemetry_run")
    assert "Another analysis" not in done.err
    assert done.code in (3, 4)
