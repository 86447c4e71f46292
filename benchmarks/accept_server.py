"""Killing the embedded server, and stale files that name other processes: lines 2 and 3 of issue 12.

Belongs here: both trials. Does not: the server (store.server.embedded), killing other processes (acceptance tests).

Line 2: while a command runs and spans arrive continuously, an analysis is queued and the server is killed at a random
moment before or after that, several times. Then every acknowledged span must be stored exactly once.
"""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from benchmarks import measure
from benchmarks.figures import Figure
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import runs, spool_drain
from leo_telemetry_pipeline.store.server import dagster_home, database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import processes, stale_files

UNDER = ("worker", "dev", "serve", "program")
BACK_S, ROW_S = 10.0, 120.0
_PATIENCE_S = 240.0
_DAY_LATER = "UPDATE telemetry_analysis_runs SET triggered_at = triggered_at - interval '1 day' WHERE status = ANY(%s)"
# A run lost with the server is retried as another row.
_SUCCEEDED = """
WITH RECURSIVE tries AS (
    SELECT run_id, status FROM telemetry_analysis_runs WHERE run_id = %s::uuid
    UNION ALL
    SELECT again.run_id, again.status FROM telemetry_analysis_runs AS again JOIN tries ON again.retry_of = tries.run_id)
SELECT bool_or(status = 'SUCCEEDED'), count(*) - 1 FROM tries
"""
# Traces spans until its standard input ends, then prints its counters.
_PROGRAM = """
import json, sys, threading, time
from leo_telemetry_pipeline import trace
ends = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ends.set()), daemon=True).start()
while not ends.wait(0.01):
    with trace.tracer.gate("G"):
        pass
print(json.dumps([trace.flush(60), trace.counters()]))
"""


def parts(full: bool) -> list[str]:
    """Return the names of the parts."""
    stale = [f"stale files, {who}" for who in stale_files.users()]
    signals = ("SIGKILL", "SIGQUIT") if full else ("SIGKILL",)
    return [*(f"{name} under {under}" for under in UNDER for name in signals), *stale]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:
    """Measure one part."""
    if part.startswith("stale files, "):
        yield _stale(part.removeprefix("stale files, "))
        return
    name, _, under = part.partition(" under ")
    yield from _killed(signal.Signals[name], under, 20 if full else 1, random.Random(seed))


def _stale(who: str) -> Figure:
    with measure.home() as home:
        seen = stale_files.start_with_each(who, home.parent)
    bad = [f"{one.names}: {one.trouble}" for one in seen if one.trouble]
    slowest = max(one.took_s for one in seen)
    return Figure(
        "12.3",
        f"start as {who}, for each process that stale server files may name: {'; '.join(one.names for one in seen)}",
        "starts within 5 s, no signal to any other program",
        f"slowest start {slowest:.1f} s" + (f"; {'; '.join(bad)}" if bad else ", no signal"),
        not bad and slowest < 5,
    )


@dataclass
class Trial:
    """A home whose server is killed repeatedly, and the measurements."""

    home: Path
    back_s: list[float] = field(default_factory=list)
    rows_s: list[float] = field(default_factory=list)
    retries: int = 0

    @contextmanager
    def asked(self) -> Iterator[Database]:
        """Open a connection that does not count as a user of the server."""
        with closing(processes.inside(self.home)) as db:
            yield db

    def kill(self, number: signal.Signals) -> None:
        """Kill the server and record its downtime."""
        pid = processes.postmaster(self.home)
        began = time.monotonic()
        os.kill(pid, number)
        _until(lambda: pid not in processes.processes_of(self.home), began)
        self.back_s.append(_until(lambda: processes.answers(self.home), began))

    def queue(self) -> str:
        """Queue an analysis."""
        with self.asked() as db:
            # Two retries per day are the limit: move earlier rounds to another day.
            with db.transaction() as cursor:
                cursor.execute(_DAY_LATER, (list(runs.FINAL),))
            run_id, _, _ = runs.enqueue(db)
        assert run_id is not None
        return run_id

    def wait_for(self, run_id: str, began: float) -> None:
        """Wait until an analysis has succeeded and record the duration."""
        self.rows_s.append(_until(lambda: self.has_succeeded(run_id), began))
        with suppress(psycopg2.Error, UserError), self.asked() as db:
            self.retries += db.rows(_SUCCEEDED, (run_id,))[0][1]

    def has_succeeded(self, run_id: str) -> bool:
        """Tell whether an analysis or a retry of it has succeeded."""
        with suppress(psycopg2.Error, UserError), self.asked() as db:
            return bool(db.rows(_SUCCEEDED, (run_id,))[0][0])
        return False

    def daemon_lives(self) -> bool:
        """Tell whether Dagster's daemon is alive."""
        with suppress(psycopg2.Error, UserError):
            return dagster_home.daemon_lives(database.running(Settings({measure.HOME: str(self.home)})))
        return False


def _until(question: Callable[[], bool], began: float) -> float:
    """Wait until ``question`` is true and return the seconds since ``began``, infinity on timeout."""
    while time.monotonic() - began < _PATIENCE_S:
        if question():
            return time.monotonic() - began
        time.sleep(0.05)
    return float("inf")


def _killed(number: signal.Signals, under: str, rounds: int, rng: random.Random) -> Iterator[Figure]:
    with measure.home() as home:
        trial = Trial(home)
        with _started(trial, under) as sender:
            for _ in range(rounds):
                _round(trial, number, under, rng)
        lost, what = sender.lost(home)
        left = processes.processes_of(home)
    yield Figure(
        "12.2",
        f"{number.name} to the server while {'a program' if under == 'program' else f'`{under}`'} runs, {rounds} times",
        f"server back within {BACK_S:.0f} s, queued run SUCCEEDED within {ROW_S:.0f} s, no acknowledged span lost",
        f"server back after at most {max(trial.back_s):.1f} s, run SUCCEEDED after at most {max(trial.rows_s):.0f} s"
        f" ({trial.retries} by a retry), {what}" + (f", left running: {sorted(left.values())}" if left else ""),
        max(trial.back_s) < BACK_S and max(trial.rows_s) < ROW_S and not lost and not left,
    )


def _round(trial: Trial, number: signal.Signals, under: str, rng: random.Random) -> None:
    before_s = rng.uniform(-4, 12)
    if before_s < 0:
        trial.kill(number)
        began = time.monotonic()
        run_id = trial.queue()
        with _worked_on(trial, under, run_id):
            trial.wait_for(run_id, began)
        return
    run_id = trial.queue()
    with _worked_on(trial, under, run_id):
        time.sleep(before_s)
        began = time.monotonic()
        trial.kill(number)
        trial.wait_for(run_id, began)


@contextmanager
def _worked_on(trial: Trial, under: str, run_id: str) -> Iterator[None]:
    """Execute the queue repeatedly, like cron, if no daemon does."""
    ends = threading.Event()

    def work() -> None:
        while not (ends.is_set() or trial.has_succeeded(run_id)):
            processes.run(trial.home, "worker", "--once")
            ends.wait(1)

    worker = threading.Thread(target=work)
    if under in ("serve", "program"):
        worker.start()
    try:
        yield
    finally:
        ends.set()
        if worker.ident is not None:
            worker.join()


@contextmanager
def _started(trial: Trial, under: str) -> Iterator["Posts | Program"]:
    """Run the command and a sender of spans until the block ends; yield the sender."""
    ui, otlp = processes.free_port(), processes.free_port()
    arguments = {
        "worker": ("worker",),
        "dev": ("dev", "--port", str(ui), "--otlp-port", str(otlp)),
        "serve": ("serve", "--quiet", "--port", str(otlp)),
    }
    with ExitStack() as ends:
        if under == "program":
            ends.enter_context(_kept(trial.home))
        else:
            command = ends.enter_context(_command(trial.home, arguments[under]))
            assert command.poll() is None
        _until(lambda: processes.answers(trial.home), time.monotonic())
        if under in ("worker", "dev"):
            _until(trial.daemon_lives, time.monotonic())
        sender = Posts(otlp) if under in ("dev", "serve") else Program(trial.home)
        ends.callback(sender.end)
        yield sender


@contextmanager
def _command(home: Path, arguments: Sequence[str]) -> Iterator[subprocess.Popen]:
    with (home.with_name("command.log")).open("wb") as log:
        process = subprocess.Popen(
            processes.command(*arguments),
            env=processes.environment(home),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _kept(home: Path) -> Iterator[None]:
    """Keep the database running like ``leo-telemetry env`` does for a shell."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as shell:
        assert processes.run(home, "migrate").code == 0
        assert processes.run(home, "keep-database", str(shell.pid)).code == 0
        yield
    _until(lambda: not processes.processes_of(home), time.monotonic())


class Program:
    """A program that uses the trace API."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env=processes.environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._output = ""

    def end(self) -> None:
        """End the program and keep its output."""
        self._output, _ = self._process.communicate(timeout=120)

    def lost(self, home: Path) -> tuple[bool, str]:
        """Tell whether spans are missing or duplicated, and count them."""
        flushed, counters = json.loads(self._output)
        stored, distinct = _stored(home, "G")
        what = f"{stored:,} of {counters['created']:,} spans stored"
        return not (flushed and stored == distinct == counters["created"]), what


class Posts:
    """A client of the receiver: one span per request, each with a unique name."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends = threading.Event()
        self._acknowledged: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ends.wait(0.02):
            name = f"P{uuid.uuid4()}"
            with suppress(OSError, http.client.HTTPException):
                if _posted(self._port, name) == 200:
                    self._acknowledged.append(name)

    def end(self) -> None:
        """Stop sending."""
        self._ends.set()
        self._thread.join()

    def lost(self, home: Path) -> tuple[bool, str]:
        """Tell whether acknowledged spans are missing or duplicated, and count them."""
        stored, distinct = _stored(home, "P")
        with database.ready(Settings({measure.HOME: str(home)})) as target, closing(Database(target)) as db:
            found = {name for (name,) in db.rows("SELECT span_name FROM workflow_trace_log")}
        missing = set(self._acknowledged) - found
        what = f"{len(self._acknowledged) - len(missing):,} of {len(self._acknowledged):,} acknowledged spans stored"
        return bool(missing) or stored != distinct or not self._acknowledged, what


def _posted(port: int, name: str) -> int:
    now = time.time_ns()
    span = {
        "traceId": uuid.uuid4().hex,
        "spanId": uuid.uuid4().hex[:16],
        "name": name,
        "startTimeUnixNano": str(now - 1_000_000),
        "endTimeUnixNano": str(now),
    }
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as line:
        line.request("POST", "/v1/traces", body, {"content-type": "application/json"})
        return line.getresponse().status


def _stored(home: Path, beginning: str) -> tuple[int, int]:
    """Drain the spool, and return the number of spans and of distinct spans in the table."""
    with database.ready(Settings({PREFIX + "HOME": str(home)})) as target, closing(Database(target)) as db:
        spool_drain.drain(db, home, "CLI")
        return db.rows(
            "SELECT count(*), count(DISTINCT span_id) FROM workflow_trace_log WHERE span_name LIKE %s",
            (f"{beginning}%",),
        )[0]
