"""Bad input and databases of all kinds: one line that names the thing and the remedy, and never a traceback."""

import gzip
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.store.server.server_programs import programs as embedded_programs
from leo_telemetry_pipeline_tests import builders, processes
from leo_telemetry_pipeline_tests.processes import ROOT, finished, free_port, has_line, need, run, until

URL = PREFIX + "DATABASE_URL"
SECRET = "tausendschoen"
# Every command that needs the database, with what it takes.
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
NO_UTF8 = "\udcff"  # what Python makes of a byte that is no UTF-8


# What somebody types, and what the answer must name.
MISTYPED = [
    (("thresholds", "disable", "gate", "NOPE"), ("gate:NOPE", "thresholds list")),
    (("thresholds", "enable", "nope"), ("nope", "thresholds list")),
    (("thresholds", "set", "gate", "G", "--baseline-p50-ms", "0"), ("--baseline-p50-ms is 0", "greater than 0")),
    (("thresholds", "set", "gate", "G", "--baseline-p50-ms=-5"), ("--baseline-p50-ms is -5", "greater than 0")),
    (("thresholds", "set", "gate", "G", "--baseline-p50-ms", "nan"), ("--baseline-p50-ms is nan",)),
    (("thresholds", "set", "gate", "G", "--baseline-p50-ms", "1e-400"), ("--baseline-p50-ms",)),
    (("thresholds", "set", "gate", "G", "--multiplier", "0"), ("--multiplier is 0", "greater than 0")),
    (("thresholds", "set", "gate", "G", "--multiplier", "inf"), ("--multiplier is inf",)),
    (("thresholds", "set", "gate", "G", "--min-samples", "0"), ("--min-samples is 0", "greater than 0")),
    (("thresholds", "set", "gate", "G", "--min-samples", "99999999999"), ("--min-samples",)),
    (("thresholds", "set", "gate", "G"), ("--baseline-p50-ms", "--multiplier", "--min-samples")),
    (("thresholds", "set", "gate:G", "--multiplier", "2"), ("gate:G", "after a space")),
    (("thresholds", "set", "", "--multiplier", "2"), ("''",)),
    (("thresholds", "set", "gate", "", "--multiplier", "2"), ("key",)),
    (("thresholds", "set", "gate", NO_UTF8, "--multiplier", "2"), ("UTF-8",)),
    (("import", "/nope/x.jsonl"), ("/nope/x.jsonl", "check its name")),
    (("import", "/"), ("/ ",)),
    (("import", "x" * 300), ("x" * 300,)),
    (("import", __file__, "--preset", "nope"), ("nope", "nezha")),
    (("import", __file__, "--map", "nonsense"), ("nonsense", "OUR_COLUMN=THEIR_COLUMN")),
    (("import", __file__, "--map", "nope=1"), ("nope", "trace_id")),
    (("import", __file__, "--map", "trace_id=TraceID"), (__file__, "span_id")),
    (("import", __file__, "--map", "trace_id=a,trace_id=b"), ("trace_id",)),
    (("runs", "show", "17"), ("17", "leo-telemetry runs")),
    (("runs", "show", "00000000-0000-0000-0000-000000000000"), ("00000000", "leo-telemetry runs")),
    (("runs", "cancel", "00000000-0000-0000-0000-000000000000"), ("00000000", "leo-telemetry runs")),
    (("analyze", "--window-end", "tomorrow"), ("--window-end", "tomorrow", "2026-02-09")),
    (("analyze", "--window-end", "9999-12-31"), ("--window-end", "9999-12-31")),
    (("analyze", "--window-end", "9999-12-31T23:59-12:00"), ("--window-end",)),
    (("analyze", "--window-end", "0001-01-01T00:00+14:00"), ("--window-end",)),
    (("analyze", "--dry-run", "--window-end", "0001-01-02"), ("--window-end",)),
    (("analyze", "--project", NO_UTF8), ("UTF-8",)),
]


@pytest.fixture(scope="module")
def known(make_home: Callable[[Path], Path], short_folder: Path) -> Iterator[Path]:
    """Make a home whose database is up and has been migrated."""
    home = make_home(short_folder / "known")
    with database.ready(Settings({PREFIX + "HOME": str(home)})) as target, closing(Database(target)) as db:
        builders.succeeded(db)
        yield home


@pytest.mark.parametrize(("arguments", "words"), MISTYPED, ids=[ascii(" ".join(each))[:70] for each, _ in MISTYPED])
def test_what_a_person_mistypes_is_named_with_its_remedy(known: Path, arguments: Sequence[str], words: Sequence[str]):
    """Lost: a typing error costs an hour, or looks like a bug that is reported to us."""
    done = run(known, *arguments)
    has_line(done, *words)
    assert (done.code, done.out) == (2, "")


def test_a_window_before_all_time_breaks_nothing(made_home: Path):
    """Lost: after one typing error, every command and sensor fails on the row that it left, for ever."""
    done = run(made_home, "analyze", "--window-end", "0001-01-02")
    assert run(made_home, "runs").code == 0
    has_line(done, "--window-end")
    assert (done.code, done.out) == (2, "")


def test_a_run_that_has_ended_cannot_be_cancelled(known: Path):
    """Lost: somebody believes that an analysis was stopped which had long opened its items."""
    with closing(processes.inside(known)) as db:
        run_id = builders.succeeded(db)
    done = run(known, "runs", "cancel", run_id)
    has_line(done, run_id, "SUCCEEDED")
    assert done.code == 2


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("STALE_AFTER", "soon", ("soon", "7d, 12h, 30m or 45s")),
        ("STALE_AFTER", "0d", ("0d",)),
        ("STALE_AFTER", "7", ("7",)),
        ("STALE_AFTER", "-7d", ("-7d",)),
        ("STALE_AFTER", "99999999999d", ("99999999999d",)),
        ("DEADLINE", "99999999999d", ("99999999999d",)),
        ("MIN_SAMPLES", "many", ("many", "whole number")),
        ("MIN_SAMPLES", "²", ("²", "whole number")),
        ("EXACT_SPANS", "0", ("0", "whole number")),
        ("UI_PORT", "99999", ("99999",)),
        ("ENABLED", "perhaps", ("perhaps", "true or false")),
        ("HOME", "relative/path", ("relative/path", "absolute")),
        ("HOME", "~nosuchuser/x", ("~nosuchuser",)),
    ],
)
@pytest.mark.parametrize("command", ["analyze", "enqueue", "dev"])
def test_a_setting_that_cannot_be_read_is_named(known: Path, command: str, name: str, value: str, words: Sequence[str]):
    """Lost: one wrong letter in a shell profile, and every command fails without a hint where it stands."""
    done = finished(processes.command(command), processes.environment(known) | {PREFIX + name: value})
    has_line(done, PREFIX + name, *words)
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("arguments", [("analyze",), ("analyze", "--dry-run"), ("enqueue",), ("dev",), ("worker",)])
def test_what_is_switched_off_says_so(known: Path, arguments: Sequence[str]):
    """Lost: a system that somebody switched off last year looks broken."""
    done = run(known, *arguments, LEO_TELEMETRY_ENABLED="false")
    has_line(done, "LEO_TELEMETRY_ENABLED is false", "unset it")
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_port_in_use_is_named(known: Path, address: str, way: str):
    """Lost: the page that opens is some other program's, or nothing comes up at all."""
    with socket.socket() as taken:
        taken.bind((address, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments, variables = (["--port", port], {}) if way == "option" else ([], {PREFIX + "UI_PORT": port})
        done = run(known, "dev", *arguments, **variables)
    has_line(done, f"Port {port} is in use", "--port")
    assert (done.code, done.out) == (2, "")


def test_a_file_that_may_not_be_read_is_named(known: Path, short_folder: Path):
    """Lost: an import of forty files ends in a page of Python for the one that belongs to somebody else."""
    loop = short_folder / "loop.jsonl"
    loop.symlink_to(loop)
    done = run(known, "import", str(loop))
    has_line(done, str(loop), "read")
    assert done.code == 2
    prefix = processes.as_ordinary_user()
    if any("dac_" in word for word in prefix) or not prefix:
        return  # whoever runs the tests lies where others may not look, so this user may read everything
    home = short_folder / "reader"
    home.mkdir()
    os.chown(home, processes.NOBODY, processes.NOBODY)
    secret = short_folder / "secret"
    secret.mkdir(mode=0o700)
    for path in (secret / "spans.jsonl", short_folder / "closed.jsonl"):
        path.touch(mode=0o600)
        done = finished([*prefix, *processes.command("import", str(path))], processes.environment(home, HOME=str(home)))
        has_line(done, str(path), "read")
        assert done.code == 2


def test_a_file_of_something_else_ends_in_one_line_and_with_status_1(known: Path, tmp_path: Path):
    """Lost: a script goes on as if the spans were there, and a conversation lies in the quarantine."""
    path = tmp_path / "transcript.jsonl"
    path.write_text('{"type": "user", "sessionId": "1", "uuid": "2", "message": {"content": "fire Alex"}}\n' * 20_000)
    done = run(known, "import", str(path))
    has_line(done, str(path), "no spans in its first 100 lines", "a Claude Code transcript")
    assert (done.code, done.out) == (1, "")
    assert "Alex" not in done.err
    assert run(known, "psql", "-Atc", "SELECT count(*) FROM telemetry_quarantine WHERE content ~ 'Alex'").out == "0\n"


def test_what_a_pipe_brings_is_imported(known: Path):
    """Lost: the remedy for every file that must be unpacked first."""
    start = int(time.time() * 1000)
    row = {"trace_id": uuid.uuid4().hex, "span_id": uuid.uuid4().hex, "span_type": "gate", "span_name": "G"}
    packed = gzip.compress(json.dumps(row | {"start_time_ms": start}).encode())
    for count in (1, 0):
        done = subprocess.run(
            processes.command("import", "-"),
            input=packed,
            env=processes.environment(known),
            capture_output=True,
            cwd="/",
            timeout=processes.PATIENCE_S,
        )
        assert done.returncode == 0, done
        assert done.stdout.startswith(f"standard input: {count} span(s) stored".encode())


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
def test_an_address_that_is_none_is_said_to_be_none(home: Path, arguments: Sequence[str], address: str):
    """Lost: a password in a log, for an address with one wrong letter."""
    done = run(home, *arguments, **{URL: address})
    has_line(done, URL)
    assert SECRET not in done.out + done.err
    assert (done.code, done.out) == (3, "")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_database_is_said_in_one_line(home: Path, arguments: Sequence[str]):
    """Lost: when the database is down, nobody learns from us that it is, and which one."""
    port = free_port()
    done = run(home, *arguments, **{URL: f"postgresql://leo:{SECRET}@127.0.0.1:{port}/db"})
    has_line(done, f"postgresql://leo@127.0.0.1:{port}/db", "does not answer", URL)
    assert SECRET not in done.out + done.err
    assert (done.code, done.out) == (3, "")


def test_the_doctor_tells_that_there_is_no_database(home: Path):
    """Lost: the command that is there to explain it breaks instead."""
    port = free_port()
    done = run(home, "doctor", **{URL: f"postgresql://leo:{SECRET}@127.0.0.1:{port}/db"})
    assert done.code == 3
    assert f"127.0.0.1:{port}" in done.out
    assert SECRET not in done.out + done.err
    assert "Traceback" not in done.out + done.err


@dataclass(frozen=True)
class Outside:
    """A PostgreSQL of somebody else: on TCP, with a password, and with a role that is no superuser."""

    port: int
    passwords: dict[str, str]

    def url(self, name: str, role: str = "app", password: str | None = None) -> str:
        """Return an address as a person would write it down."""
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
        """Return the rows of a question."""
        with closing(psycopg2.connect(self.url(name))) as connection, connection, connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchall()


@pytest.fixture(scope="module")
def outside(short_folder: Path) -> Iterator[Outside]:
    """Start a PostgreSQL 15 where the system has one, else that of the embedded one."""
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
    # '#', '?' and '/' end a part of an address where a reader is not careful.
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
def test_a_wrong_password_is_said_and_never_printed(home: Path, outside: Outside, typed: str):
    """Lost: a password ends up on a screen that is shared, or in the log of a build."""
    for arguments in (("runs",), ("migrate",), ("analyze",)):
        done = run(home, *arguments, **{URL: outside.url("app", password=typed)})
        has_line(done, "127.0.0.1", str(outside.port), "password", URL)
        assert SECRET not in done.out + done.err
        assert (done.code, done.out) == (3, "")
    written = [path for path in home.rglob("*") if path.is_file() and SECRET in path.read_text(errors="replace")]
    assert not written


def test_an_at_sign_in_a_password_gives_nothing_away(home: Path, outside: Outside):
    """Lost: libpq takes what follows the first @ for the host, and complains of it in full."""
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
    """Lost: a command that only looks makes thirty tables in somebody's production database."""
    done = run(home, *arguments, **{URL: outside.url("unmigrated")})
    has_line(done, "`leo-telemetry migrate`")
    assert (done.code, done.out) == (3, "")
    tables = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    assert outside.ask("unmigrated", tables) == []
    assert outside.ask("unmigrated", "SELECT 1 FROM pg_namespace WHERE nspname = 'dagster'") == []


def test_a_user_who_may_not_is_told_so(home: Path, outside: Outside):
    """Lost: whoever was given a role that only reads gets a page of SQL instead of the one word to tell the owner."""
    done = run(home, "migrate", **{URL: outside.url("app", "reader")})
    has_line(done, "permission denied")
    assert done.code == 3
    done = run(home, "findings", **{URL: outside.url("app", "reader")})
    has_line(done, "permission denied")
    assert done.code == 3


def test_all_works_on_an_outside_postgresql(home: Path, outside: Outside):
    """Lost: whoever has a PostgreSQL already, with a password and without a superuser, cannot use this at all."""
    outside.administer("CREATE DATABASE whole OWNER app")
    variables = {URL: outside.url("whole")}

    def well(*arguments: str) -> str:
        done = run(home, *arguments, **variables)
        assert done.code == 0, (arguments, done)
        # Only `env` prints it, for a shell to take up.
        assert SECRET not in done.out + done.err or arguments == ("env",)
        return done.out

    assert "empty" in well("migrate")
    assert "up to date" in well("migrate")
    sample = str(ROOT / "examples" / "data" / "claude_code_otlp_sample.jsonl")
    assert "span(s) stored" in well("import", "--accept-times", sample)
    assert "stored already" in well("import", "--accept-times", sample)
    assert "WORKFLOW TELEMETRY" in well("analyze")
    assert "Last analysis" in well("findings")
    assert "Queued analysis" in well("enqueue")
    assert well("worker", "--once") == "Executed 1 analysis run(s).\n"
    assert well("runs").count("SUCCEEDED") == 2
    well("items")
    well("thresholds", "set", "gate", "G", "--baseline-p50-ms", "5000", "--multiplier", "3")
    assert "5000" in well("thresholds", "list")
    assert URL in well("env")
    # Dagster's tables are kept apart from those that people look at.
    tables = outside.ask(
        "whole", "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information)'"
    )
    assert {"runs", "event_logs", "daemon_heartbeats"} <= {name for schema, name in tables if schema == "dagster"}
    assert {schema for schema, _ in tables} == {"dagster", "public"}
    ours = {name for schema, name in tables if schema == "public"}
    assert {name for name in ours if not name.startswith(("workflow_", "telemetry_", "duration_", "dimension_"))} == {
        "alembic_version",
        "continuous_improvements",
    }
    # Where the data lies elsewhere, no server of ours is made.
    assert not (home / "database").exists()


def test_an_analysis_that_cannot_take_its_row_says_why(home: Path, outside: Outside):
    """Lost: a broken database is blamed on "another analysis" that nobody can find."""
    outside.administer("CREATE DATABASE broken TEMPLATE app OWNER app")
    variables = {URL: outside.url("broken")}
    outside.administer("ALTER FUNCTION begin_telemetry_run RENAME TO gone", name="broken")
    done = run(home, "analyze", **variables)
    has_line(done, "begin_telemetry_run")
    assert "Another analysis" not in done.err
    assert done.code in (3, 4)


def test_python_is_not_misled_by_the_folder_it_is_called_in(known: Path, tmp_path: Path):
    """Lost: whoever calls us in a downloaded project runs that project's json.py."""
    (tmp_path / "json.py").write_text("raise SystemExit('planted')")
    (tmp_path / ".env").write_text("LEO_TELEMETRY_ENABLED=perhaps")
    done = finished(processes.command("runs"), processes.environment(known), cwd=tmp_path)
    assert done.code == 0, done


def test_a_database_that_goes_away_is_said_in_one_line(make_home: Callable[[Path], Path], short_folder: Path):
    """Lost: the database restarts under a long import, and the person gets a page of Python."""
    home = make_home(short_folder / "away")
    big = short_folder / "many.jsonl"
    line = (
        '{"trace_id": "%s", "span_id": "%s", "span_type": "gate", "span_name": "G", "start_time_ms": 1700000000000,'
        ' "end_time_ms": 1700000001000}\n'
    )
    with big.open("w") as file:
        for _ in range(60_000):
            file.write(line % (uuid.uuid4(), uuid.uuid4()))
    with processes.started(home, "import", "--accept-times", str(big)) as process:
        stored = "SELECT count(*) FROM workflow_trace_log"
        until(lambda: processes.answers(home), "the database is up")
        with closing(processes.inside(home)) as db:
            until(lambda: builders.one(db, stored) > 0 or process.process.poll() is not None, "the first are stored")
            builders.execute(db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        code = process.ended()
    assert "Traceback" not in process.said()
    assert process.said().count("\n") == 1, process.said()
    assert code in (0, 3), process.said()
    assert sys.executable not in process.said()
