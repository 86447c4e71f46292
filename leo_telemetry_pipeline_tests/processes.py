"""Real processes for acceptance tests: starting commands, listing live processes, ending all of them by id.

Belongs here: helpers of every test with processes. Does not: expectations.
"""

import atexit
import fcntl
import functools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import psycopg2
import pytest

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store.server.database import DAGSTER_DATABASE, DATABASE, Database, Target
from leo_telemetry_pipeline.store.server.embedded import Embedded

ROOT = Path(__file__).resolve().parents[1]
# Against hanging: longer than any correct step takes on a busy machine that is ten times slower than ours.
PATIENCE_S = 600.0
# The time that Python takes to start on an idle machine of ours.
START_S = 0.03
NOBODY = 65534

T = TypeVar("T")

sees_processes = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


def command(*arguments: str) -> list[str]:
    """Return the command line of ``leo-telemetry``, also if its script is not installed."""
    return [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", *arguments]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment with the home and ``more``, and without any other of our variables."""
    ours = re.compile(f"{PREFIX}|DAGSTER_|PG[A-Z]")
    clean = {name: value for name, value in os.environ.items() if not ours.match(name)}
    # This makes a clone importable that is not installed.
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return clean | {"PYTHONPATH": os.pathsep.join(paths), PREFIX + "HOME": str(home)} | more


@dataclass(frozen=True)
class Done:
    """The exit status and output of a command."""

    code: int
    out: str
    err: str


def finished(command: Sequence[str], environment: Mapping[str, str], **more) -> Done:
    """Run a command to its end. If it hangs, fail the test and end it with all its children."""
    mark = f"TEST_COMMAND={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    try:
        done = subprocess.run(
            command,
            env={**environment, name: value},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            **({"cwd": "/", "timeout": PATIENCE_S} | more),
        )
    except subprocess.TimeoutExpired as late:
        while alive := _processes(lambda entry: mark.encode() in (entry / "environ").read_bytes()):
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        pytest.fail(f"{command} did not end within {late.timeout} s; it said {late.stdout!r} {late.stderr!r}")
    return Done(done.returncode, done.stdout, done.stderr)


def run(home: Path, *arguments: str, **variables: str) -> Done:
    """Run ``leo-telemetry`` in a home to its end."""
    return finished(command(*arguments), environment(home, **variables))


def copy_home(source: Path, home: Path) -> Path:
    """Copy a home whose server has stopped, including the owners of its files: cheaper than a first start."""
    assert not home.exists()
    subprocess.run(["cp", "-a", source, home], check=True)
    return home


class Running:
    """A command that runs in its own session, and its output so far."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """Return its output."""
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        """Return the end of its output, for failure messages."""
        return self.said()[-3000:]

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send a signal to the command only, as a supervisor does; its children do not get it."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(timeout=PATIENCE_S)


@contextmanager
def started(
    home: Path, *arguments: str, prefix: Sequence[str] = (), variables: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Start ``leo-telemetry`` in a home, and end every process of that home when the block ends."""
    log = home.with_name(f"{home.name}-{arguments[0]}.log")
    running = Running([*prefix, *command(*arguments)], environment(home, **(variables or {})), log)
    try:
        yield running
    finally:
        end_all_of(home)
        running.process.wait(timeout=PATIENCE_S)


def until(
    question: Callable[[], T | None],
    what: str,
    *,
    by: Running | None = None,
    seconds: float = PATIENCE_S,
    every: float = 0.1,
) -> T:
    """Repeat a question until the answer is truthy, and return it.

    Otherwise fail with ``what``, the last answer, and the output of ``by``, the command that should make it true.
    """
    give_up = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > give_up:
            said = by.tail() if by else ""
            pytest.fail(f"not within {seconds:.0f} s: {what} (last answer: {answer!r})\n{said}")
        time.sleep(every)


def slowness() -> float:
    """Return how much slower a program starts now than on an idle machine of ours; at least 1."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return max(1.0, (time.monotonic() - began) / START_S)


def processes_of(home: Path) -> dict[int, str]:
    """Return id and command line of live processes with a home in their arguments, environment or working folder."""
    named = re.compile(re.escape(os.fsencode(home)) + rb"(?![\w.-])")

    def names_it(entry: Path) -> bool:
        # PostgreSQL's processes overwrite both with their state, but their working folder is the data folder.
        places = ((entry / "cmdline").read_bytes(), (entry / "environ").read_bytes(), (entry / "cwd").readlink())
        return any(named.search(os.fsencode(place)) for place in places)

    return _processes(names_it)


def all_ended(home: Path) -> None:
    """Wait until no process of a home is alive; a server releases its files a moment before it ends."""
    until(lambda: not processes_of(home), f"all processes of {home} have ended")


def _processes(wanted: Callable[[Path], bool]) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX" and wanted(entry):
                arguments = (entry / "cmdline").read_bytes()
                found[int(entry.name)] = arguments.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def end_all_of(home: Path) -> None:
    """End every process of a home by id; the database by an immediate shutdown, so that it can clean up."""
    for number, patience in ((signal.SIGQUIT, 10.0), (signal.SIGKILL, 20.0)):
        give_up = time.monotonic() + patience
        while time.monotonic() < give_up:
            alive = processes_of(home)
            if not alive:
                return
            for pid, arguments in alive.items():
                is_server = "postgres" in arguments.split(" ", 1)[0]
                with suppress(ProcessLookupError):
                    os.kill(pid, number if is_server else signal.SIGKILL)
            time.sleep(0.1)


def kill_all_of(home: Path) -> None:
    """End every process of a home with SIGKILL, as a power cut would."""
    while alive := processes_of(home):
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def postmaster(home: Path) -> int:
    """Return the process id of a home's server, which must have started."""
    return int((home / "database" / "postmaster.pid").read_text().split()[0])


@contextmanager
def database_away(home: Path) -> Iterator[None]:
    """Stop a home's server as ``pg_ctl -m immediate`` does, and prevent restarts until the block ends."""
    with (home / "start.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pid = postmaster(home)
        os.kill(pid, signal.SIGQUIT)
        until(lambda: pid not in processes_of(home), "the database is gone", every=0.02)
        yield


def inside(home: Path) -> Database:
    """Return the embedded database of a home, without registering as one of its users."""
    return Database(Target(f"{Embedded(home).dsn} dbname={DATABASE}", f"the database of {home}", ""))


def dagster_says(home: Path, question: str, *parameters: object) -> list[tuple]:
    """Query Dagster's own tables in the embedded database of a home."""
    connection = psycopg2.connect(f"{Embedded(home).dsn} dbname={DAGSTER_DATABASE}")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(question, parameters)
            return cursor.fetchall()
    finally:
        connection.close()


def answers(home: Path) -> bool:
    """Return whether the embedded database of a home accepts connections and has our tables."""
    try:
        with closing(inside(home)) as database:
            return database.rows("SELECT to_regclass('alembic_version') IS NOT NULL")[0][0]
    except (psycopg2.Error, UserError):
        return False


def daemon_beat(home: Path) -> datetime:
    """Return the last heartbeat of Dagster's sensor daemon; `datetime.min` if there is none."""
    with suppress(psycopg2.Error):
        for (beat,) in dagster_says(home, "SELECT timestamp FROM daemon_heartbeats WHERE daemon_type = 'SENSOR'"):
            return beat
    return datetime.min  # noqa: DTZ901  # Dagster keeps this time without a zone


def serves(port: int) -> bool:
    """Return whether Dagster's UI answers on a port."""
    with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{port}/server_info", timeout=10) as answer:
        return b"dagster_webserver_version" in answer.read()
    return False


def free_port() -> int:
    """Return a free port of 127.0.0.1 that no other test process gets.

    Below 32768, because the kernel may assign higher ports to outgoing connections before the server starts.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                _lock(port)
            except OSError:
                continue
        return port


def _lock(port: int) -> None:
    """Hold a machine-wide lock for a port until this process ends."""
    if sys.platform == "linux":
        with socket.socket(socket.AF_UNIX) as lock:
            lock.bind(f"\0leo-telemetry-tests-{port}")
            lock.detach()


def need(condition: object, reason: str) -> None:
    """Skip a test loudly if the machine cannot run it; in CI, fail."""
    if condition:
        return
    if os.environ.get("CI", "").lower() in ("1", "true"):
        _fail(reason)
    pytest.skip(reason)


def _fail(reason: str) -> NoReturn:
    pytest.fail(f"CI must be able to test this: {reason}")


def has_line(done: Done, *words: str) -> None:
    """Assert that a command printed one line with these words on stderr, and no traceback."""
    assert "Traceback" not in done.out + done.err, done.err[-3000:]
    assert done.err.startswith("leo-telemetry: "), done.err
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert len(lines) == 1, done.err
    for word in words:
        assert word in lines[0], (word, lines[0])


def as_user(uid: int, *capabilities: str) -> list[str]:
    """Return the prefix that runs a command as another user; only root may use it."""
    kept = [f"--{which}-caps=+{','.join(capabilities)}" for which in ("inh", "ambient") if capabilities]
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *kept]


@functools.cache
def open_clone() -> str:
    """Return a folder with our code that every user may enter: the clone, or a copy if the clone is private.

    A capability to read is not enough: Alembic checks with access(2), which ignores it.
    """
    if all(folder.stat().st_mode & 0o001 for folder in (ROOT, *ROOT.parents)):
        return str(ROOT)
    copy = Path(tempfile.mkdtemp(prefix="leo-clone-", dir="/tmp"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    for name in ("leo_telemetry_pipeline", "migrations", "examples"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("workspace.yaml", "dagster.yaml"):
        shutil.copy(ROOT / name, copy / name)
    copy.chmod(0o755)
    return str(copy)


def as_ordinary_user() -> list[str]:
    """Return the prefix that runs our commands as an ordinary user: empty unless we are root.

    A clone or its environment may be in a private folder of root: then the prefix adds the capability to read it.
    """
    if os.geteuid() != 0:
        return []
    need(shutil.which("setpriv"), "setpriv (util-linux) is not installed")
    # setpriv keeps root's rights until exec, so the program that it starts must exec once more.
    imports = "import leo_telemetry_pipeline.cli.main, psycopg2, dagster.version"
    again = f"import os, sys; os.execv(sys.executable, [sys.executable, '-P', '-c', {imports!r}])"
    probe = [sys.executable, "-P", "-c", again]
    for prefix in (as_user(NOBODY), as_user(NOBODY, "dac_read_search"), as_user(NOBODY, "dac_override")):
        if subprocess.run([*prefix, *probe], env=environment(Path("/")), cwd="/", capture_output=True).returncode == 0:
            return prefix
    need(False, f"user {NOBODY} cannot run {sys.executable} or read {ROOT}")
    return []
