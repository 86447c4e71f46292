"""Signals against programs that do all that loses an exception, with real processes and real signals."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests import processes

# A module whose import loses whatever is raised in it, as a C extension that clears errors does.
LOSES = """
import time
print("importing", flush=True)
try:
    time.sleep(1)
except BaseException:
    print("lost", flush=True)
"""
BEGIN = "from leo_telemetry_pipeline.cli import signals\nimport time\n"
IMPORTS = BEGIN + "signals.listen()\nimport loses\nprint('imported', flush=True)\ntime.sleep(600)"
LOOKS = (
    BEGIN
    + """
with signals.noted():
    print("ready", flush=True)
    while not signals.asked():
        time.sleep(0.1)
    time.sleep(4)
    print("left", flush=True)
"""
)
DOES_NOT_LOOK = (
    BEGIN
    + """
with signals.noted():
    print("ready", flush=True)
    try:
        time.sleep(600)
    finally:
        print("left", flush=True)
"""
)
HANGS = (
    BEGIN
    + """
import psycopg2, sys
signals.listen()
print("ready", flush=True)
psycopg2.connect(f"host=127.0.0.1 port={sys.argv[1]} dbname=x sslmode=disable gssencmode=disable")
"""
)
DEAF = (
    BEGIN
    + """
signals.listen()
try:
    with signals.deaf():
        print("ready", flush=True)
        time.sleep(6)
        print("done", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
)
STARTS = (
    BEGIN
    + """
import os, subprocess

def slow():
    os.write(1, b"starting\\n")
    time.sleep(1)

signals.listen()
try:
    process = subprocess.Popen(["sleep", "600"], preexec_fn=slow)
    time.sleep(600)
except KeyboardInterrupt:
    process.kill()
    process.wait()
    print("ended", flush=True)
"""
)
OTHERS = (
    BEGIN
    + """
import os, signal
signals.listen()
ours = signal.getsignal(signal.SIGINT)
# Past the buffer of print, which the signal may interrupt.
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"theirs\\n"))
os.write(1, b"ready\\n")
time.sleep(1.5)
signal.signal(signal.SIGINT, ours)
time.sleep(6)
print("went on, asked:", signals.asked(), signals.number(), flush=True)
"""
)


@contextmanager
def program(text: str, *arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """Run a program, and end it when the block ends."""
    command = [sys.executable, "-W", "ignore", "-c", text, *arguments]
    environment = processes.environment(Path("/nowhere")) | dict(environ or {})
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
        try:
            yield one
        finally:
            one.kill()


def heard(one: subprocess.Popen, word: str) -> None:
    """Wait until a program says a word."""
    assert one.stdout is not None
    assert one.stdout.readline().strip() == word


def ended(one: subprocess.Popen) -> tuple[int, str, str]:
    """Return status and output of a program that ends."""
    out, err = one.communicate(timeout=120)
    return one.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_an_import_that_loses_exceptions_is_obeyed_after_it(tmp_path: Path, number: signal.Signals):
    """Lost: one Ctrl-C in twenty at the start of a command, which then runs on."""
    (tmp_path / "loses.py").write_text(LOSES)
    with program(IMPORTS, environ={"PYTHONPATH": f"{tmp_path}:{processes.ROOT}"}) as one:
        heard(one, "importing")
        one.send_signal(number)
        heard(one, "imported")
        code, out, err = ended(one)
    assert (code, out) == (-signal.SIGINT, "")
    assert "KeyboardInterrupt" in err


def test_a_loop_that_looks_is_not_interrupted_in_what_it_does_to_leave():
    """Lost: a child process or a database that runs on, since its end was cut by the signal that asked for it."""
    with program(LOOKS) as one:
        heard(one, "ready")
        one.send_signal(signal.SIGTERM)
        one.send_signal(signal.SIGINT)
        assert ended(one) == (0, "left\n", "")


def test_a_step_that_does_not_look_is_interrupted_after_a_while():
    """Lost: a supervisor has to kill what waits for a lock, and its children are left."""
    with program(DOES_NOT_LOOK) as one:
        heard(one, "ready")
        one.send_signal(signal.SIGTERM)
        assert ended(one) == (0, "left\n", "")


def test_a_process_that_hangs_in_c_is_ended():
    """Lost: Ctrl-C does nothing while the database hangs."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent, program(HANGS, str(silent.getsockname()[1])) as one:
        heard(one, "ready")
        connection, _ = silent.accept()
        with connection:
            one.send_signal(signal.SIGTERM)
            assert ended(one) == (128 + signal.SIGTERM, "", "")


def test_what_must_not_be_interrupted_ends_first():
    """Lost: a second Ctrl-C leaves the daemon that the first one was ending."""
    with program(DEAF) as one:
        heard(one, "ready")
        one.send_signal(signal.SIGINT)
        one.send_signal(signal.SIGINT)
        assert ended(one) == (0, "done\ninterrupted\n", "")


def test_a_process_that_is_being_started_is_known_when_its_starter_is_interrupted():
    """Lost: a database that its starter never heard of, and that nobody stops."""
    with program(STARTS) as one:
        heard(one, "starting")
        one.send_signal(signal.SIGTERM)
        assert ended(one) == (0, "ended\n", "")


def test_a_signal_that_another_handler_took_interrupts_nothing_and_is_known_to_who_looks():
    """Lost: what Dagster does to clear up is cut short; or a worker goes on as if nobody had told it to end."""
    with program(OTHERS) as one:
        heard(one, "ready")
        one.send_signal(signal.SIGINT)
        assert ended(one) == (0, f"theirs\nwent on, asked: True {int(signal.SIGINT)}\n", "")
