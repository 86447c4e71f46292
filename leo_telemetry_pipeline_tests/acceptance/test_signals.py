"""Commands that run until a signal: ended while they start, killed, or started while another one runs."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import accept_signals
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.processes import PATIENCE_S, Running, has_line, sees_processes, until

pytestmark = sees_processes

HANGS = """
from leo_telemetry_pipeline.cli import signals
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server import database
signals.listen()
with database.opened(Settings()) as target:
    cursor = target.connect().cursor()
    print("ready", flush=True)
    cursor.execute("SELECT pg_sleep(600)")
"""


@pytest.mark.parametrize("command", accept_signals.COMMANDS)
def test_a_command_that_is_ended_while_it_starts_leaves_nothing(command: str, make_home: Callable[[Path], Path]):
    """Lost: each aborted start leaves a database, a daemon or an incomplete home behind."""
    for ended in accept_signals.measured(command, (1.5, 0.9), make_home):
        assert ended.is_well, ended


def test_a_command_that_hangs_in_a_statement_leaves_no_database(made_home: Path, tmp_path: Path):
    """Lost: Ctrl-C in a long import leaves a database running that nobody uses."""
    running = Running([sys.executable, "-P", "-c", HANGS], processes.environment(made_home), tmp_path / "log")
    try:
        until(lambda: "ready" in running.said() or running.process.poll() is not None, "it hangs", by=running)
        running.interrupt()
        assert running.ended() != 0
        processes.all_ended(made_home)
    finally:
        processes.end_all_of(made_home)
        running.process.wait(timeout=PATIENCE_S)


def test_one_home_has_one_daemon_and_one_ui_and_a_kill_leaves_nothing(
    make_home: Callable[[Path], Path], short_folder: Path
):
    """Lost: two competing daemons fill two terminals with errors; or a daemon survives a kill unnoticed."""
    home, long = make_home(short_folder / "owned"), short_folder / ("long" * 30)
    long.mkdir()
    port, otlp_port = processes.free_port(), processes.free_port()
    ports, variables = ("--port", str(port), "--otlp-port", str(otlp_port)), {"TMPDIR": str(long)}
    with processes.started(home, "worker", variables=variables) as first:
        until(lambda: processes.daemon_beat(home).year > 1 or first.process.poll() is not None, "a daemon beats")
        assert first.process.poll() is None, first.tail()
        daemon = set(processes.processes_of(home)) - servers(home)
        done = processes.run(home, "worker")
        has_line(done, f"`leo-telemetry worker` (process {first.process.pid})", str(home), "end it first")
        assert (done.code, done.out) == (1, "")
        with processes.started(home, "dev", *ports, variables=variables) as dev:
            until(lambda: processes.serves(port) or dev.process.poll() is not None, "the UI answers", by=dev)
            assert f"(process {first.process.pid}) runs the daemon" in dev.said()
            another_dev_opens_the_pages_of_the_first(home, port, short_folder)
            done = processes.run(home, "serve", "--port", str(otlp_port))
            has_line(done, f"Port {otlp_port} is in use", f"`leo-telemetry dev` (process {dev.process.pid})")
            assert (done.code, done.out) == (2, "")
            command, log = processes.command("worker", "--wait"), home.with_name("second.log")
            second = Running(command, processes.environment(home, **variables), log)
            until(lambda: "takes over when it ends" in second.said(), "the second worker waits", by=second)
            works_quietly(home, first)
            first.interrupt(signal.SIGKILL)
            until(lambda: "is running" in second.said(), "the second worker takes over", by=second)
            assert not daemon & set(processes.processes_of(home)), processes.processes_of(home)
            dev.interrupt(signal.SIGHUP)
            assert dev.ended() == 0, dev.tail()
            second.interrupt(signal.SIGKILL)
            second.ended()
            processes.all_ended(home)
    for one in (first, dev, second):
        assert "Traceback" not in one.said()
        assert len(one.said().splitlines()) <= 4, one.said()
    assert not list(long.iterdir())


def servers(home: Path) -> set[int]:
    """Return the processes of the home's database."""
    return {pid for pid, line in processes.processes_of(home).items() if "postgres" in line.split(" ", 1)[0]}


def another_dev_opens_the_pages_of_the_first(home: Path, port: int, folder: Path) -> None:
    """Run a second `dev` on a desktop, and assert that it opens dashboard and UI of the first."""
    opened, tools = folder / "opened", folder / "tools"
    tools.mkdir()
    for name in ("open", "xdg-open"):
        (tools / name).write_text(f'#!/bin/sh\necho "$1" >>"{opened}"\n')
        (tools / name).chmod(0o755)
    desktop = {"DISPLAY": ":99", "PATH": f"{tools}:{os.environ['PATH']}"}
    done = processes.run(home, "dev", **desktop)
    assert (done.code, done.out) == (0, "")
    assert f"its UI at http://127.0.0.1:{port}" in done.err
    assert len(done.err.splitlines()) == 1
    until(lambda: opened.exists() and len(opened.read_text().splitlines()) == 2, "both pages are opened")
    assert f"http://127.0.0.1:{port}" in opened.read_text().splitlines()


def works_quietly(home: Path, worker: Running) -> None:
    """Wait until sensors have ticked several times, and assert that nothing was printed."""
    ticks = "SELECT count(*) FROM job_ticks WHERE status <> 'STARTED'"
    before = processes.dagster_says(home, ticks)[0][0]
    until(lambda: processes.dagster_says(home, ticks)[0][0] > before + 4, "the sensors tick", by=worker)
    assert worker.said() == "The worker is running. Ctrl-C ends it.\n"
