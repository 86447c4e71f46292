"""Forks at the worst moment: while a thread of ours connects, imports, or waits for a database that never answers.

The moments are lengthened, so that each test meets what otherwise happens once in many runs.
"""

import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline_tests.processes import Done, environment, finished, slowness

FORK = """
import _thread, atexit, json, os, sys, threading, time
from leo_telemetry_pipeline import trace
reached = threading.Event()
def fork(number):
    longest, children = 0.0, []
    for _ in range(number):
        began = time.monotonic()
        child = os.fork()
        if not child:
            with trace.tracer.gate("child"):
                pass
            trace.flush(8)
            os.write(1, json.dumps(trace.counters()).encode() + b"\\n")
            sys.exit(0)
        longest = max(longest, time.monotonic() - began)
        children.append(child)
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return longest
"""
# A lock in C code, such as OpenSSL's: a child that inherits it locked waits for it forever, in a thread and at exit.
CONNECTS = (
    FORK
    + """
from leo_telemetry_pipeline.store import sink
native, connect = _thread.allocate_lock(), sink.connect
def slowly(settings):
    with native:
        reached.set()
        time.sleep(0.3)
        return connect(settings)
sink.connect = slowly
atexit.register(lambda: native.acquire() and native.release())
with trace.tracer.gate("parent"):
    pass
assert reached.wait(20)
fork(3)
assert trace.flush(20)
"""
)
HANGS = (
    FORK
    + """
with trace.tracer.gate("parent"):
    pass
assert trace.writer() is not None
time.sleep(0.5)
print(json.dumps(fork(6)))
"""
)
# An import that never ends, as from a missing disk.
IMPORTS = (
    FORK
    + """
from importlib.machinery import ModuleSpec
class Hangs:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == sys.argv[1] else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        reached.set()
        time.sleep(1e6)
sys.meta_path.insert(0, Hangs())
with trace.tracer.gate("parent"):
    pass
assert reached.wait(20)
fork(4)
atexit.register(lambda: trace.tracer.gate("late").__enter__().__exit__(None, None, None))
"""
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


@pytest.fixture
def variables(settings: Settings, home: Path) -> dict[str, str]:
    return environment(home, **{PREFIX + "DATABASE_URL": settings.database_url})


def test_a_fork_waits_for_the_first_connection_to_be_made(variables):
    """Lost: a worker that was forked while OpenSSL was initialized never ends; or its spans go to the spool."""
    done = finished([sys.executable, "-c", CONNECTS], variables)
    assert done.code == 0, done.err[-3000:]
    counted = [json.loads(line) for line in done.out.splitlines()]
    assert [(one["created"], one["stored"]) for one in counted] == [(1, 1)] * 3


def test_a_fork_does_not_wait_for_a_database_that_never_answers(home):
    """Lost: each worker that a server forks while the database hangs starts one time-out later."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        variables = environment(home, **{PREFIX + "DATABASE_URL": f"postgresql://leo@127.0.0.1:{port}/none"})
        done = finished([sys.executable, "-c", HANGS], variables)
    assert done.code == 0, done.err[-3000:]
    *counted, longest = [json.loads(line) for line in done.out.splitlines()]
    assert [(one["created"], one["spooled"]) for one in counted] == [(1, 1)] * 6
    # A connection attempt times out after 2 s, however slow the forking machine is.
    assert longest < 1.8 * slowness()


# The module whose import hangs, whether spans are durable, and the number of a child's spans on disk at its end.
HANGING = [
    ("writer.writer", "false", 0),
    ("writer.worker_thread", "false", 0),
    ("writer.worker_thread", "true", 0),
    ("scrub.tools", "false", 0),
    ("store.sink", "false", 1),
    ("store.sink", "true", 1),
]


def test_a_fork_during_an_import_that_never_ends_lets_everyone_end(home):
    """Lost: a server and its workers hang because a disk disappeared while one thread imported from it."""

    def run(case: tuple[str, str, int]) -> Done:
        module, durable, _ = case
        variables = {PREFIX + "DATABASE_URL": "postgresql://leo@127.0.0.1:1/none", PREFIX + "DURABLE": durable}
        command = [sys.executable, "-c", IMPORTS, f"leo_telemetry_pipeline.{module}"]
        return finished(command, environment(home / f"{module}-{durable}", **variables))

    home.mkdir(mode=0o700)
    # These programs wait most of the time, so they run concurrently.
    with ThreadPoolExecutor(len(HANGING)) as pool:
        ended = list(pool.map(run, HANGING))
    for case, done in zip(HANGING, ended, strict=True):
        assert (done.code, done.err) == (0, ""), case
        counted = [json.loads(line) for line in done.out.splitlines()]
        assert [one["spooled"] for one in counted] == [case[2]] * 4, case
        assert all(one["created"] == one["spooled"] + sum(one["dropped"].values()) for one in counted), case
