"""A database that stops, hangs or is missing, and a disk that refuses: the program goes on, and losses are counted."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.spool.spool import Spool, folder_of, usage
from leo_telemetry_pipeline.store import spool_drain
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline_tests.builders import spans_of
from leo_telemetry_pipeline_tests.draining import drain
from leo_telemetry_pipeline_tests.processes import (
    PATIENCE_S,
    answers,
    as_ordinary_user,
    database_away,
    environment,
    finished,
    free_port,
    inside,
    need,
    open_clone,
    processes_of,
    sees_processes,
    until,
)

# Limit for an exit, which waits one second for spans; everything that hangs here hangs for longer.
EXIT_S = 60.0
# Arguments: the number of spans, and the rate per second. Prints the counters, the time when the program itself was
# done, and the time when its spans were.
EMIT = """
import atexit, json, sys, time
atexit.register(lambda: print(time.monotonic(), flush=True))
from leo_telemetry_pipeline import trace
count, rate = int(sys.argv[1]), float(sys.argv[2])
began, worst = time.monotonic(), []
for number in range(count):
    with trace.tracer.gate(f"G{number}"):
        pass
    left = began + number / rate - time.monotonic()
    if left > 0:
        time.sleep(left)
print(json.dumps(trace.counters()), time.monotonic(), flush=True)
"""


class Emitting:
    """A program that ends spans at a fixed rate."""

    def __init__(self, home: Path, count: int, rate: int, **variables: str) -> None:
        command = [sys.executable, "-c", EMIT, str(count), str(rate)]
        named = {PREFIX + name: value for name, value in variables.items()}
        self.process = subprocess.Popen(
            command, env=environment(home, **named), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ended(self) -> tuple[dict, float]:
        """Return its final counters, and the time that its spans took after its work was done."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        # libpq itself prints this if the server stops while a connection begins.
        said = [line for line in err.splitlines() if not line.startswith("WARNING:  terminating connection due to")]
        assert (self.process.returncode, said) == (0, [])
        said, ended = out.splitlines()
        counters, _, when = said.rpartition(" ")
        return json.loads(counters), float(ended) - float(when)


@pytest.fixture
def own_server(home: Path) -> Iterator[Path]:
    """Run an embedded database for this test; return its home."""
    with database.ready(Settings()):
        try:
            yield home
        finally:
            for pid in processes_of(home):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            until(lambda: answers(home), "the database is back")


def drained(home: Path) -> Drained:
    with closing(inside(home)) as db:
        return spool_drain.drain(db, home, "CLI")


def names(home: Path) -> list[str]:
    with closing(inside(home)) as db:
        return [name for (name,) in db.rows("SELECT span_name FROM workflow_trace_log")]


@contextmanager
def silent_server() -> Iterator[str]:
    """Run a server that accepts connections and never answers; yield its database address."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    accepted.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"postgresql://user:secret@127.0.0.1:{listener.getsockname()[1]}/none"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for one in accepted:
        one.close()


@sees_processes
def test_a_database_that_stops_three_times_loses_and_duplicates_nothing(own_server):
    """Lost: the spans of every database restart; or medians, because spans count twice."""
    emitting = Emitting(own_server, 10_000, 2_000)
    for _ in range(3):
        time.sleep(0.5)
        with database_away(own_server):
            time.sleep(0.3)
        until(lambda: answers(own_server), "the database is back")
    counters, late_s = emitting.ended()
    done = drained(own_server)
    assert (done.torn, done.quarantined, done.left) == (0, 0, 0)
    found = names(own_server)
    assert sorted(found) == sorted(f"G{number}" for number in range(10_000))
    assert counters["created"] == 10_000
    assert counters["dropped"] == {}
    assert late_s < EXIT_S


@pytest.mark.parametrize("durable", ["false", "true"])
def test_a_database_that_accepts_and_never_answers_does_not_delay_the_exit(home, durable):
    """Lost: seconds at every program's exit, or its spans, because of a database behind a dead proxy."""
    with silent_server() as url:
        counters, late_s = Emitting(home, 1_000, 1_000, DATABASE_URL=url, DURABLE=durable).ended()
    assert late_s < EXIT_S
    assert counters["created"] == 1_000
    store = Kept()
    done = drain(folder_of(str(home)), store, note=lambda done: None)
    assert sorted(one.span_name for one in store.spans) == sorted(f"G{number}" for number in range(1_000))
    assert done.torn == 0
    (last,) = done.counters
    assert last == {"created": 1_000, "stored": 0, "spooled": 1_000, "dropped": {}, "queued": 0}
    for path in Path(folder_of(str(home))).iterdir():
        assert b"secret" not in path.read_bytes()


# The writer of this program never gives up the database, so only the waiting flush spools the spans.
FLUSH = """
from leo_telemetry_pipeline import trace
from leo_telemetry_pipeline.writer import worker_thread as loop
loop.PATIENCE_S = 600.0
for number in range(6_000):
    with trace.tracer.gate(f"G{number}"):
        pass
print(trace.flush(600), flush=True)
"""


def test_a_program_that_is_killed_while_it_flushes_into_a_database_that_hangs_loses_nothing(settings, db, home):
    """Lost: nearly all spans of a program that the out-of-memory killer ends while it waits for its database."""
    variables = environment(home, **{PREFIX + "DATABASE_URL": settings.database_url})
    with db.transaction() as cursor:
        cursor.execute("LOCK TABLE workflow_trace_log IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen([sys.executable, "-c", FLUSH], env=variables, stdout=subprocess.PIPE, text=True)
        try:
            until(lambda: on_disk(home) == 6_000, "all of it is on disk", seconds=60, every=0.1)
        finally:
            process.kill()
            said, _ = process.communicate()
    assert (process.returncode, said) == (-signal.SIGKILL, "")
    done = spool_drain.drain(db, home, "CLI")
    assert (done.torn, done.left) == (0, 0)
    found = [name for (name,) in db.rows("SELECT span_name FROM workflow_trace_log")]
    assert sorted(found) == sorted(f"G{number}" for number in range(6_000))


def on_disk(home: Path) -> int:
    """Return the number of spans in the spool."""
    return sum(path.read_bytes().count(b'{"span":') for path in Path(folder_of(str(home))).glob("*.spans"))


# Spooling a span takes 4 ms, as on a machine that is a hundred times slower: 2.4 s for all of them.
SLOW = """
import time
from leo_telemetry_pipeline import trace
from leo_telemetry_pipeline.writer.preparing import Parts
original = Parts.span
def slowly(self, *given):
    time.sleep(0.004)
    return original(self, *given)
Parts.span = slowly
for number in range(600):
    with trace.tracer.gate(f"G{number}"):
        pass
"""


def test_a_program_that_ends_on_a_slow_machine_keeps_all_its_spans(home):
    """Lost: the spans of every short program on a busy machine, without a message."""
    variables = environment(home, **{PREFIX + "DATABASE_URL": "postgresql://leo@127.0.0.1:1/none"})
    done = finished([sys.executable, "-c", SLOW], variables)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert on_disk(home) == 600


@sees_processes
def test_a_database_that_freezes_midway_does_not_delay_the_exit_and_loses_nothing(own_server):
    """Lost: seconds at the exit of a program, or its spans, if the database's machine is out of memory."""
    emitting = Emitting(own_server, 2_000, 800)
    # On an overloaded machine, the program may have ended before the database stored any.
    until(lambda: len(names(own_server)) > 100 or emitting.process.poll() is not None, "spans arrive")
    frozen = [pid for pid, arguments in processes_of(own_server).items() if "postgres" in arguments]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    counters, late_s = emitting.ended()
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    assert late_s < EXIT_S
    assert (counters["created"], counters["dropped"]) == (2_000, {})
    done = drained(own_server)
    assert (done.torn, done.left) == (0, 0)
    # The frozen server commits its current transaction later, if at all.
    assert sorted(names(own_server)) == sorted(f"G{number}" for number in range(2_000))


class Stored:
    def __init__(self, new: int) -> None:
        self.new = new
        self.completed = self.quarantined = 0


class Kept:
    """Stores spans like a database, in memory."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def __call__(self, spans: list[Span], removed: dict[str, int]) -> Stored:
        self.spans += spans
        return Stored(len(spans))


def nowhere() -> str:
    return f"postgresql://nobody@127.0.0.1:{free_port()}/none"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(parents=True, mode=0o700)
    options = f"size={size},mode=0700,uid={os.geteuid()}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    need(mounted.returncode == 0, f"no small disk can be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("durable", ["false", "true"])
def test_a_full_disk_costs_the_spans_that_do_not_fit_and_they_are_counted(home, durable):
    """Lost: the program fails because of its telemetry's disk; or the loss is not counted."""
    folder = Path(folder_of(str(home)))
    need(shutil.which("mount") and os.geteuid() == 0, "only root may mount a small disk")
    with small_disk(folder, "256k"):
        Emitting(home, 5_000, 10_000, DATABASE_URL=nowhere(), DURABLE=durable).ended()
        store = Kept()
        done = drain(str(folder), store, note=lambda done: None)
    assert done.torn == 0
    assert len(store.spans) == len({one.span_id for one in store.spans})
    assert 300 < len(store.spans) < 3_000
    # If not even the counters fit, they are lost.
    for last in done.counters:
        assert last["created"] == 5_000
        assert last["spooled"] == len(store.spans)
        assert last["dropped"] == {"spool_disk_full": 5_000 - len(store.spans)}


ORDINARY = (
    EMIT
    + """
trace.flush(5)
print(json.dumps(trace.counters()))
"""
)


@pytest.mark.parametrize("durable", ["false", "true"])
def test_a_home_that_may_not_be_written_costs_spans_and_no_more(home, durable):
    """Lost: every program of a user without a home, which would fail."""
    prefix = as_ordinary_user()
    home.mkdir(mode=0o755)
    home.chmod(0o555 if not prefix else 0o755)
    variables = environment(home, **{PREFIX + "DATABASE_URL": nowhere(), PREFIX + "DURABLE": durable})
    variables["PYTHONPATH"] = os.pathsep.join([open_clone(), variables["PYTHONPATH"]])
    done = finished([*prefix, sys.executable, "-c", ORDINARY, "200", "1000"], variables)
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out.splitlines()[-2]) == {
        "created": 200,
        "stored": 0,
        "spooled": 0,
        "dropped": {"spool_unavailable": 200},
        "queued": 0,
    }


DRAIN = """
import sys, time
from contextlib import closing
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import spool_drain as drains
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
settings = Settings()
with closing(Database(database.running(settings))) as db:
    done = drains.drain(db, settings.home, "CLI")
print(done.busy, done.spans, done.new)
"""


def test_two_drainers_store_every_span_once_between_them(settings, db, home):
    """Lost: spans of a segment that both process, or the work of one of them."""
    spool = Spool(folder_of(str(home)), 1 << 30)
    for number in range(20):
        spool.write(spans_of("gate", f"A{number}", range(200)))
    variables = environment(home, **{PREFIX + "DATABASE_URL": settings.database_url})
    running = [
        subprocess.Popen([sys.executable, "-c", DRAIN], env=variables, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=PATIENCE_S)[0].split() for one in running]
    assert sum(int(spans) for _, spans, _ in said) == 4_000
    assert sum(int(new) for _, _, new in said) == 4_000
    assert usage(folder_of(str(home))) == (0, 0)
    assert db.rows("SELECT count(*), count(DISTINCT span_id) FROM workflow_trace_log") == [(4_000, 4_000)]


def test_a_torn_record_of_a_power_cut_is_counted_and_not_stored(settings, db, home):
    """Lost: rows have values that were never written."""
    Emitting(home, 50, 1_000, DATABASE_URL=nowhere()).ended()
    (path,) = Path(folder_of(str(home))).glob("*.spans")
    path.write_bytes(path.read_bytes()[:-40])
    done = spool_drain.drain(db, home, "CLI")
    assert (done.torn, done.spans) == (1, 49)
    assert db.rows("SELECT count(*) FROM workflow_trace_log") == [(49,)]
    assert db.rows("SELECT torn FROM telemetry_drains") == [(1,)]
