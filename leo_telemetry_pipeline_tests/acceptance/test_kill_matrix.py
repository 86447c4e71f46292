"""Spans arrive exactly once, however their program ends and whatever it forks."""

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.spool.spool import folder_of, usage
from leo_telemetry_pipeline.store import spool_drain
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.processes import Done, environment, finished, slowness

SPANS = 300
# At exit, a program gets a second to store its spans, which may be too short on a busy machine: here it is a minute.
PATIENT = """
from leo_telemetry_pipeline.writer import bootstrap as first_span, writer
for each in (first_span.FirstSpan, writer.Writer):
    each.close.__defaults__ = (60.0,)
"""
# The program prints a line for each ended span, with the time just after its end.
EMIT = f"""
import os, signal, sys, time
from leo_telemetry_pipeline import trace
{PATIENT}
how = sys.argv[1]
if how == "sigterm":
    trace.flush_on_sigterm()
for number in range({SPANS} if how != "sigkill" else 10**9):
    with trace.tracer.gate(f"G{{number}}"):
        pass
    if how == "sigkill":
        os.write(1, b"%.6f\\n" % time.monotonic())
        time.sleep(0.001)
if how == "exception":
    raise ValueError("meant to end this program")
if how == "exit":
    sys.exit(3)
if how == "sigterm":
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
if how == "_exit":
    os._exit(4)
"""


@pytest.fixture
def variables(settings: Settings, home: Path) -> dict[str, str]:
    return environment(home, **{PREFIX + "DATABASE_URL": settings.database_url})


def python(text: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", text, *arguments]


def drained(db: Database, home: Path) -> Drained:
    done = spool_drain.drain(db, home, "CLI")
    assert (done.torn, done.quarantined, done.left) == (0, 0, 0)
    return done


def names(db: Database) -> list[str]:
    return [name for (name,) in db.rows("SELECT span_name FROM workflow_trace_log")]


@pytest.mark.parametrize(
    ("how", "durable", "code"),
    [
        ("normal", "false", 0),
        ("exception", "false", 1),
        ("exit", "false", 3),
        ("sigterm", "false", -signal.SIGTERM),
        ("sigterm", "true", -signal.SIGTERM),
        ("_exit", "true", 4),
        ("normal", "true", 0),
    ],
)
def test_every_span_arrives_however_its_program_ends(db, home, variables, how, durable, code):
    """Lost: the spans of a failed run, the most interesting ones."""
    done = finished(python(EMIT, how), variables | {PREFIX + "DURABLE": durable})
    assert done.code == code, done.err
    drained(db, home)
    assert sorted(names(db)) == sorted(f"G{number}" for number in range(SPANS))


def killed_after(seconds: float, variables: dict[str, str]) -> tuple[float, list[float]]:
    """Run until SIGKILL; return its time, and the times just after the end of each span."""
    with subprocess.Popen(python(EMIT, "sigkill"), env=variables, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        when = time.monotonic()
        process.kill()
        rest = process.stdout.read().splitlines(keepends=True)
    return when, [float(line) for line in (first, *rest) if line.endswith(b"\n")]


@pytest.mark.parametrize("seconds", [0.05, 0.4, 1.0])
def test_a_killed_durable_program_keeps_every_span_that_ended(db, home, variables, seconds):
    """Lost: spans of durable programs that the out-of-memory killer ends."""
    _, ends = killed_after(seconds + random.random() / 10, variables | {PREFIX + "DURABLE": "true"})
    drained(db, home)
    missing = {f"G{number}" for number in range(len(ends))} - set(names(db))
    assert not missing
    assert len(names(db)) == len(set(names(db))) <= len(ends) + 1


@pytest.mark.parametrize("seconds", [0.7, 1.5])
def test_a_killed_program_loses_at_most_the_last_half_second(db, home, variables, seconds):
    """Lost: hours of spans that waited in the memory of a program that was killed."""
    when, ends = killed_after(seconds + random.random() / 10, variables)
    drained(db, home)
    there = set(names(db))
    missing = [end for number, end in enumerate(ends) if f"G{number}" not in there]
    # If the machine delayed the program, it delayed its writer too.
    paused = max(later - earlier for earlier, later in pairwise(ends))
    assert not missing or when - min(missing) < 0.5 * slowness() + paused


# Every process prints the number of its spans; there must be exactly as many rows.
COUNTED = f"""
import json, os, sys, threading, time
from leo_telemetry_pipeline import trace
{PATIENT}
def say():
    os.write(1, json.dumps(trace.counters()).encode() + b"\\n")
"""
FORKS = (
    COUNTED
    + """
going = True
def emit():
    while going:
        with trace.tracer.gate("parent"):
            pass
        time.sleep(0.0005)
threads = [threading.Thread(target=emit, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
children = []
with trace.tracer.handoff("around the forks"):
    for number in range(100):
        while len(children) > 5:
            assert os.waitstatus_to_exitcode(os.waitpid(children.pop(0), 0)[1]) == 0
        child = os.fork()
        if not child:
            going = False
            with trace.tracer.gate("child"):
                pass
            break
        children.append(child)
if child:
    for one in children:
        assert os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) == 0
    going = False
    for thread in threads:
        thread.join()
assert trace.flush(20)
say()
"""
)
CHILDREN = (
    COUNTED
    + """
import concurrent.futures, multiprocessing
def work(number):
    with trace.tracer.gate("child"):
        return number
def wait(number):
    work(number)
    time.sleep(0.01)
    return number
if __name__ == "__main__":
    method = multiprocessing.get_context(sys.argv[1])
    with trace.tracer.handoff("around the children"):
        children = [method.Process(target=work, args=(number,)) for number in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=method) as pool:
            assert sorted(pool.map(wait, range(20))) == list(range(20))
"""
)


def test_a_hundred_forks_under_four_threads_hang_nothing_and_duplicate_nothing(db, home, variables):
    """Lost: a forking server hangs on a lock that nobody holds; or spans are counted twice."""
    done = finished(python(FORKS), variables)
    assert done.code == 0, done.err[-3000:]
    counters = [json.loads(line) for line in done.out.splitlines()]
    assert len(counters) == 101
    drained(db, home)
    found = names(db)
    assert found.count("child") == 100
    assert found.count("around the forks") == 1
    assert len(found) == sum(one["created"] for one in counters)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_spans_of_multiprocessing_children_arrive_under_their_parent(db, home, variables, tmp_path, method):
    """Lost: all work in child processes, because these end without exit handlers."""
    script = tmp_path / "program.py"
    script.write_text(CHILDREN)
    done: Done = finished([sys.executable, str(script), method], variables)
    assert done.code == 0, done.err[-3000:]
    drained(db, home)
    assert sorted(names(db)) == ["around the children", *["child"] * 24]
    assert usage(folder_of(str(home))) == (0, 0)


def test_counters_of_a_program_that_ended_are_kept_with_the_drain(db, home, variables):
    """Lost: nobody learns what happened to the spans of an ended program."""
    nobody = variables | {PREFIX + "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    assert finished(python(EMIT, "exit"), nobody).code == 3
    drained(db, home)
    (kept,) = db.rows("SELECT counters FROM telemetry_drains")[0]
    assert kept == {"created": SPANS, "stored": 0, "spooled": SPANS, "dropped": {}, "queued": 0}
    with closing(Database(db.target)) as again:
        assert spool_drain.drain(again, home, "CLI").counters == []
