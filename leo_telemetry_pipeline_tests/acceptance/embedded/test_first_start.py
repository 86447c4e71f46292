"""First starts of the embedded database: concurrent, killed and repeated, and never over existing data."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.embedded_homes import Place, listening, log_of
from leo_telemetry_pipeline_tests.processes import all_ended, processes_of, sees_processes, until

pytestmark = sees_processes


def test_many_first_starts_at_once_all_succeed(place: Place):
    """Lost: two sessions that begin at the same moment break the home they share."""
    for _ in range(3):  # the first round creates the database, the others start it
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
    """Return whether initdb has just started."""
    return (home / "database" / "PG_VERSION").exists()


def has_password(home: Path) -> bool:
    """Return whether initdb has just finished."""
    return (home / "pgpass").exists()


def has_server(home: Path) -> bool:
    """Return whether a server is starting."""
    return (home / "database" / "postmaster.pid").exists()


@pytest.mark.parametrize("moment", [made_by_initdb, has_password, has_server, processes.answers])
def test_a_first_start_that_was_killed_is_repaired(place: Place, moment: Callable[[Path], bool]):
    """Lost: after Ctrl-C at the wrong moment of the first command, the home must be deleted by hand."""
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
    """Lost: the second command fails because the first one's initdb still writes and holds its shared memory."""
    first = subprocess.Popen(processes.command("runs"), env=place.environment(), cwd="/", stdin=subprocess.DEVNULL)
    with first:
        until(lambda: list(place.home.glob("database.new.*/PG_VERSION")), "initdb has begun", every=0.01)
        first.kill()
    # A newly forked child has the same command line until exec.
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
def test_an_incomplete_data_folder_is_created_again(used: Place, lacks: str):
    """Lost: after a full disk on the first day, nothing ever works again."""
    data = used.home / "database"
    if lacks == "PG_VERSION":
        (data / "PG_VERSION").unlink()
    else:  # the start was killed after the password was written, before the server's sockets were configured
        conf = data / "postgresql.conf"
        conf.write_text(conf.read_text().replace("include 'leo.conf'\n", ""))
        (data / "leo.conf").unlink()
    done = used.run("runs")
    assert done.code == 0, (done, log_of(used.home))
    with used.user():
        assert not listening(used.home)


def test_complete_data_is_never_created_again(used: Place):
    """Lost: years of history, if a missing password file led to a new database instead of an error."""
    assert used.run("thresholds", "set", "gate", "KEPT", "--multiplier", "7").code == 0
    (used.home / "pgpass").unlink()
    done = used.run("thresholds", "list")
    assert "KEPT" in done.out or done.code == 3, done
