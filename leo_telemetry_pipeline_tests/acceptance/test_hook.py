"""The SessionStart hook with real processes: what the session notices, and what happens in the background."""

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from leo_telemetry_pipeline import settings as settings_module
from leo_telemetry_pipeline.cli.claude import hook
from leo_telemetry_pipeline.sample import generated
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import runs, spans
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.dagster_home import QUEUE_SENSOR
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.processes import PATIENCE_S, ROOT, sees_processes

EVENT = (
    b'{"session_id": "58306048-168c-44db-a8fd-9ad6a24b516c", "transcript_path": "/home/user/t.jsonl",'
    b' "cwd": "/home/user/proj", "hook_event_name": "SessionStart", "source": "startup"}\n'
)
# Nothing listens at this address, so the child logs that and ends at once.
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
SCRIPT = Path(sys.executable).with_name("leo-telemetry")
PROGRAM = (
    [str(SCRIPT)]
    if SCRIPT.exists()
    else [sys.executable, "-c", "from leo_telemetry_pipeline.cli.main import main; main()"]
)
HOOK = [*PROGRAM, "hook", "session-start"]
CHILD = [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli.claude.hook_child"]

T = TypeVar("T")


@pytest.fixture(autouse=True)
def lonely(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the tests without a reachable database, and end what they started."""
    monkeypatch.setenv(PREFIX + "DATABASE_URL", NOWHERE)
    if not SCRIPT.exists():
        monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    yield
    end_all_of(home)


@pytest.mark.parametrize(
    ("event", "noted"),
    [
        (EVENT, 'event "SessionStart", source "startup", session "58306048-168c-44db-a8fd-9ad6a24b516c"'),
        (b"", "SessionStart without an event"),
        (b"{}", "event null, source null, session null"),
        (b"[1]", "not a JSON object"),
        (b"\x00\xff{ garbage", "not JSON"),
        (b'{"source": "start\\nup"}', r'source "start\nup"'),
        (b" " * 200_000 + EVENT, "SessionStart without an event"),
    ],
    ids=["valid", "empty", "no fields", "a list", "garbage", "two lines", "far too long"],
)
def test_malformed_events_are_logged_and_invisible_to_the_session(home: Path, event: bytes, noted: str):
    """Lost: an unexpected event blocks the session or prints into it."""
    assert run(event) == (0, "", "")
    log = log_when(home, "does not answer")
    assert noted in log.splitlines()[0]
    assert "Traceback" not in log
    assert (home / "logs").stat().st_mode & 0o777 == 0o700
    assert (home / "logs" / "hook.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_do_no_harm(home: Path, closed: str):
    """Lost: if the caller closes stdin, the child would use a pipe or the log as stdin."""
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *HOOK]
    assert run(EVENT, shell) == (0, "", "")
    assert "SessionStart without an event" in log_when(home, "does not answer")


@pytest.mark.parametrize("event", [b"", EVENT])
def test_a_stdin_that_is_never_closed_does_not_delay_the_session(home: Path, event: bytes):
    """Lost: a session waits forever because its caller forgot to close a pipe."""
    process = subprocess.Popen(HOOK, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdin is not None
        process.stdin.write(event)
        process.stdin.flush()
        assert process.wait(timeout=PATIENCE_S) == 0
        said = [pipe.read() for pipe in (process.stdout, process.stderr) if pipe is not None]
        assert said == [b"", b""]
    log = log_when(home, "does not answer")
    assert ("58306048" in log) == bool(event)


def test_a_terminal_is_not_read(home: Path):
    """Lost: a user who tries the command by hand would have to type Ctrl-D."""
    outer, inner = pty.openpty()
    try:
        done = subprocess.run(HOOK, stdin=inner, capture_output=True, timeout=PATIENCE_S)
    finally:
        os.close(outer)
        os.close(inner)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert "without an event" in log_when(home, "does not answer")


@pytest.mark.parametrize(
    ("unusable", "said"), [("{home}/file/inside", "cannot be written (Not a directory)"), ("a/b", "absolute path")]
)
def test_a_home_that_cannot_be_used_is_one_line_on_stderr(
    home: Path, monkeypatch: pytest.MonkeyPatch, unusable: str, said: str
):
    """Lost: the reason why there are no analyses."""
    home.mkdir()
    (home / "file").touch()
    monkeypatch.setenv(PREFIX + "HOME", unusable.format(home=home))
    monkeypatch.chdir(home)
    code, out, err = run(EVENT)
    assert (code, out) == (0, "")
    assert said in err
    assert err.startswith("leo-telemetry hook: ")
    assert err.count("\n") == 1
    assert list(home.iterdir()) == [home / "file"]


def test_an_interpreter_that_is_gone_is_one_line_on_stderr(home: Path):
    """Lost: after an upgrade of Python, the hook would do nothing forever, silently."""
    code = (
        "import sys; sys.executable = '/gone/python'; from leo_telemetry_pipeline.cli.claude.hook import session_start"
    )
    assert run(EVENT, [sys.executable, "-c", f"{code}; session_start()"]) == (
        0,
        "",
        "leo-telemetry hook: nothing was started: [Errno 2] No such file or directory\n",
    )


@pytest.mark.parametrize("word", ["false", "FALSE", "off", "no", "0"])
def test_switched_off_nothing_happens_at_all(home: Path, monkeypatch: pytest.MonkeyPatch, word: str):
    """Lost: the promise that one variable switches everything off."""
    assert settings_module.switch(word) is False
    monkeypatch.setenv(PREFIX + "ENABLED", word)
    assert run(EVENT) == (0, "", "")
    assert not home.exists()


@sees_processes
def test_the_session_goes_on_while_the_child_still_waits_for_the_database(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Lost: the hook delays its session, or an unknown process keeps a folder, terminal or pipe busy."""
    with socket.create_server(("127.0.0.1", 0)) as silent, (tmp_path / "callers").open("w") as callers:
        monkeypatch.setenv(PREFIX + "DATABASE_URL", f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x")
        os.set_inheritable(callers.fileno(), True)
        # Reads both pipes to their end, which comes only when no process has them open.
        done = subprocess.run(HOOK, input=EVENT, capture_output=True, cwd=tmp_path, close_fds=False, timeout=PATIENCE_S)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        (child,) = wait_for(lambda: processes_of(home))
        wait_for(lambda: "58306048" in log_of(home))
        place = Path(f"/proc/{child}")
        held = {entry.name: str(entry.readlink()) for entry in (place / "fd").iterdir()}
        log = str(home / "logs" / "hook.log")
        assert held.pop("0").startswith("pipe:")
        assert (held.pop("1"), held.pop("2")) == (log, log)
        assert [what for what in held.values() if not what.startswith("socket:")] == []
        assert str((place / "cwd").readlink()) == "/"
        parent, _, session, terminal = (place / "stat").read_text().rpartition(")")[2].split()[1:5]
        assert int(parent) != os.getpid()
        assert int(session) not in (os.getsid(0), child)
        assert terminal == "0"
        os.kill(child, signal.SIGTERM)


def test_modules_in_the_working_folder_are_not_imported(home: Path, tmp_path: Path):
    """Lost: anyone who can write into a project could run code as everyone who opens a session in it."""
    for name in ("json", "psycopg2", "leo_telemetry_pipeline"):
        (tmp_path / f"{name}.py").write_text("import pathlib; pathlib.Path('/').joinpath(__file__ + '.ran').touch()")
    # Start Python like an installed script, without the working folder on its path.
    command = [sys.executable, "-P", *HOOK[1:]] if HOOK[0] == sys.executable else HOOK
    assert run(EVENT, command, cwd=tmp_path) == (0, "", "")
    assert "58306048" in log_when(home, "does not answer")
    assert list(tmp_path.glob("*.ran")) == []


def test_no_slow_import_delays_the_session(home: Path):
    """Lost: the budget of 40 ms, a good part of which any of these imports takes."""
    code = "from leo_telemetry_pipeline.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, "hook", "session-start"], input=EVENT, capture_output=True
    )
    loaded = imports(done.stderr.decode())
    assert "leo_telemetry_pipeline.cli.claude.hook" in loaded
    heavy = {"click", "dagster", "json", "numpy", "pandas", "psycopg2", "sqlalchemy", "subprocess"}
    assert loaded & heavy == set()
    assert {name for name in loaded if name.startswith("leo_telemetry_pipeline.")} == {
        "leo_telemetry_pipeline.cli",
        "leo_telemetry_pipeline.cli.main",
        "leo_telemetry_pipeline.cli.claude",
        "leo_telemetry_pipeline.cli.claude.hook",
    }
    log_when(home, "does not answer")


@pytest.mark.parametrize("user", [0, 1000])
@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize(
    "named", [{}, {PREFIX + "HOME": "~/x"}, {"XDG_DATA_HOME": "/data"}, {PREFIX + "HOME": "/y"}], ids=str
)
def test_hook_and_settings_agree_on_the_home(monkeypatch: pytest.MonkeyPatch, named, platform: str, user: int):
    """Lost: the log would be where nobody looks for it."""
    for name in (PREFIX + "HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(sys, "platform", platform)
    assert hook.home() == str(Settings().home)


def test_an_outside_database_without_our_tables_is_named_in_the_log(
    home: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Lost: the hook changes a database unasked, or fills the log with tracebacks."""
    monkeypatch.setenv(PREFIX + "DATABASE_URL", empty_database_url)
    assert run(EVENT) == (0, "", "")
    assert "Traceback" not in log_when(home, "run `leo-telemetry migrate`")


def test_a_running_analysis_is_left_alone_without_loading_dagster(settings: Settings, db: Database):
    """Lost: two seconds of CPU time at the start of every session, for nothing."""
    runs.begin(db, "somebody's", 900)
    done = subprocess.run([*CHILD[:1], "-X", "importtime", *CHILD[1:]], input=EVENT, capture_output=True, check=True)
    said = done.stderr.decode()
    assert "] ALREADY_RUNNING: " in said
    assert imports(said) & {"dagster", "pandas", "sqlalchemy"} == set()


def test_the_child_leaves_the_work_to_a_live_daemon(settings: Settings, db: Database):
    """Lost: the analysis is prepared twice, on a machine in use."""
    with db.transaction() as cursor:
        cursor.execute("CREATE SCHEMA dagster")
        cursor.execute("CREATE TABLE dagster.daemon_heartbeats (daemon_type text, timestamp timestamp, body text)")
        cursor.execute("CREATE TABLE dagster.instigators (selector_id text, status text, instigator_body text)")
        cursor.execute(
            "CREATE TABLE dagster.job_ticks (selector_id text, status text, timestamp timestamp, tick_body text)"
        )
        cursor.execute(
            "INSERT INTO dagster.daemon_heartbeats (daemon_type, timestamp, body)"
            " VALUES ('SENSOR', now() AT TIME ZONE 'UTC', '{}')"
        )
        cursor.execute(
            "INSERT INTO dagster.instigators (selector_id, status, instigator_body)"
            " VALUES ('it', 'DECLARED_IN_CODE', %s)",
            (f'{{"job_name": "{QUEUE_SENSOR}"}}',),
        )
        cursor.execute(
            "INSERT INTO dagster.job_ticks (selector_id, status, timestamp, tick_body)"
            " VALUES ('it', 'SKIPPED', now() AT TIME ZONE 'UTC', '{}')"
        )
    done = subprocess.run(CHILD, input=EVENT, capture_output=True, check=True)
    assert "a running daemon" in done.stderr.decode()
    assert [run.status for run in runs.waiting(db)] == ["QUEUED"]


@sees_processes
def test_one_session_on_a_machine_where_nothing_runs_ends_in_an_analysis_and_no_process(
    stale_home: Path, monkeypatch: pytest.MonkeyPatch
):
    """Lost: on a laptop, nothing would ever be analysed."""
    monkeypatch.delenv(PREFIX + "DATABASE_URL")
    monkeypatch.setenv(PREFIX + "HOME", str(stale_home))
    assert run(EVENT) == (0, "", "")
    wait_for(lambda: "analyses executed: 1" in log_of(stale_home), instead=lambda: log_of(stale_home))
    wait_for(lambda: not processes_of(stale_home))
    assert "Traceback" not in log_of(stale_home)
    with database.ready(Settings()) as target, closing(Database(target)) as connection:
        (analysis,) = runs.latest(connection, 10)
    assert (analysis.status, analysis.triggered_by) == ("SUCCEEDED", "SESSION_START")
    assert analysis.findings_count is not None
    assert analysis.findings_count > 0
    # The next session finds a fresh analysis.
    assert run(EVENT) == (0, "", "")
    wait_for(lambda: "] FRESH: " in log_of(stale_home), instead=lambda: log_of(stale_home))
    wait_for(lambda: not processes_of(stale_home))


@pytest.fixture
def stale_home() -> Iterator[Path]:
    """Create a home with five weeks of spans, no analysis and no running process."""
    folder = Path(tempfile.mkdtemp(prefix="leo", dir="/tmp"))
    folder.chmod(0o711)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        settings = Settings({PREFIX + "HOME": str(folder)})
        with database.ready(settings) as target, closing(Database(target)) as connection:
            spans.insert(connection, generated.generate(midnight))
        yield folder
    finally:
        end_all_of(folder)
        shutil.rmtree(folder)


def run(event: bytes, command: Sequence[str] = HOOK, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run the hook as a session does: the event on a pipe, both outputs read to their end."""
    done = subprocess.run(command, input=event, capture_output=True, cwd=cwd, timeout=PATIENCE_S)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def wait_for(look: Callable[[], T], instead: Callable[[], object] = str) -> T:
    """Repeat ``look`` until its result is truthy, and return it."""
    until = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        assert time.monotonic() < until, f"not within {PATIENCE_S} s: {instead()}"
        time.sleep(0.05)
    return seen


def log_of(home: Path) -> str:
    """Return the hook's log."""
    path = home / "logs" / "hook.log"
    return path.read_text() if path.exists() else ""


def log_when(home: Path, words: str) -> str:
    """Return the hook's log once it contains ``words``."""
    wait_for(lambda: words in log_of(home), instead=lambda: log_of(home))
    return log_of(home)


def imports(said: str) -> set[str]:
    """Return the modules named by ``python -X importtime``."""
    return set(re.findall(r"^import time: .*\| +(\S+)$", said, re.MULTILINE))


def processes_of(home: Path) -> list[int]:
    """Return the live processes that have a home in their environment or arguments."""
    needles = (f"{PREFIX}HOME={home}\0".encode(), os.fsencode(home) + b"/")
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                said = (entry / "environ").read_bytes() + b"\0" + (entry / "cmdline").read_bytes()
                alive = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                if alive and any(needle in said for needle in needles):
                    found.append(int(entry.name))
    return found


def end_all_of(home: Path) -> None:
    """Wait for the processes of a home, and kill those that do not end."""
    if not Path("/proc/self/environ").exists():
        return
    until = time.monotonic() + PATIENCE_S
    while (left := processes_of(home)) and time.monotonic() < until:
        time.sleep(0.05)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
