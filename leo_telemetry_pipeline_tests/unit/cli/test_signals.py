"""Signals to programs that lose exceptions, with real processes and real signals."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests import processes

# A module whose import drops exceptions, like a C extension that clears errors.
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
with signals.recorded():
    print("ready", flush=True)
    while not signals.end_requested():
        time.sleep(0.1)
    time.sleep(4)
    print("left", flush=True)
"""
)
DOES_NOT_LOOK = (
    BEGIN
    + """
with signals.recorded():
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
    with signals.deferred():
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
# Bypasses the buffer of print, which the signal may interrupt.
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"theirs\\n"))
os.write(1, b"ready\\n")
time.sleep(1.5)
signal.signal(signal.SIGINT, ours)
time.sleep(6)
print("went on, asked:", signals.end_requested(), signals.number(), flush=True)
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
    """Wait until a program prints a word."""
    assert one.stdout is not None
    assert one.stdout.readline().strip() == word


def ended(one: subprocess.Popen) -> tuple[int, str, str]:
    """Wait for a program to end, and return its status and output."""
    out, err = one.communicate(timeout=120)
    return one.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_an_import_that_drops_exceptions_takes_effect_after_it(tmp_path: Path, number: signal.Signals):
    """Lost: one Ctrl-C in twenty at the start of a command has no effect."""
    (tmp_path / "loses.py").write_text(LOSES)
    with program(IMPORTS, environ={"PYTHONPATH": f"{tmp_path}:{processes.ROOT}"}) as one:
        heard(one, "importing")
        one.send_signal(number)
        heard(one, "imported")
        code, out, err = ended(one)
    assert (code, out) == (-signal.SIGINT, "")
    assert "KeyboardInterrupt" in err


def test_a_polling_loop_is_not_interrupted_during_its_cleanup():
    """Lost: a child process or database keeps running, because the signal interrupted its cleanup."""
    with program(LOOKS) as one:
        heard(one, "ready")
        one.send_signal(signal.SIGTERM)
        one.send_signal(signal.SIGINT)
        assert ended(one) == (0, "left\n", "")


def test_a_step_that_does_not_poll_is_interrupted_after_the_grace_period():
    """Lost: a supervisor has to kill a process that waits for a lock, and its children stay."""
    with program(DOES_NOT_LOOK) as one:
        heard(one, "ready")
        one.send_signal(signal.SIGTERM)
        assert ended(one) == (0, "left\n", "")


def test_a_process_that_hangs_in_c_is_ended():
    """Lost: Ctrl-C has no effect while the database hangs."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent, program(HANGS, str(silent.getsockname()[1])) as one:
        heard(one, "ready")
        connection, _ = silent.accept()
        with connection:
            one.send_signal(signal.SIGTERM)
            assert ended(one) == (128 + signal.SIGTERM, "", "")


def test_a_cleanup_is_not_interrupted():
    """Lost: a second Ctrl-C leaves the daemon that the first one was ending."""
    with program(DEAF) as one:
        heard(one, "ready")
        one.send_signal(signal.SIGINT)
        one.send_signal(signal.SIGINT)
        assert ended(one) == (0, "done\ninterrupted\n", "")


def test_a_process_whose_start_is_interrupted_is_known():
    """Lost: nothing stops a database that its starter does not know of."""
    with program(STARTS) as one:
        heard(one, "starting")
        one.send_signal(signal.SIGTERM)
        assert ended(one) == (0, "ended\n", "")


def test_a_signal_taken_by_another_handler_interrupts_nothing_but_is_visible_to_polling():
    """Lost: Dagster's cleanup is cut short, or a worker ignores the signal."""
    with program(OTHERS) as one:
        heard(one, "ready")
        one.send_signal(signal.SIGINT)
        assert ended(one) == (0, f"theirs\nwent on, asked: True {int(signal.SIGINT)}\n", "")
