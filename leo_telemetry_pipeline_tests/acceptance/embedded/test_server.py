"""The server of the embedded database: started and stopped by its users, and restarted when it dies."""

import os
import re
import signal
import threading
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest

from benchmarks import accept_server
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import processes, stale_files
from leo_telemetry_pipeline_tests.embedded_homes import Place
from leo_telemetry_pipeline_tests.processes import (
    Running,
    all_ended,
    need,
    postmaster,
    processes_of,
    sees_processes,
    until,
)

pytestmark = sees_processes


def test_commands_share_the_server_and_the_last_one_out_stops_it(used: Place):
    """Lost: a command that ends stops the database that another one uses, or the database runs forever."""
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


def test_a_killed_user_neither_stops_the_server_nor_keeps_it_running_forever(used: Place):
    """Lost: after one crash, the server stops during an analysis, or runs until the machine is restarted."""
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
    """Lost: after the out-of-memory killer ended PostgreSQL, nothing is analysed until a person runs a command."""
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
    """Return how often users of a server report that they restarted it."""
    return sum(user.said().count("had died and was restarted") for user in users)


def test_a_server_that_restarts_its_own_processes_is_left_alone(used: Place):
    """Lost: two servers run on one folder after one of PostgreSQL's processes crashed and it recovered by itself."""
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
    """Lost: PostgreSQL refuses to start for hours because a process has not noticed that its server died."""
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
    """Run an endless computation in the database that never waits for anything."""
    with suppress(psycopg2.Error), db.transaction() as cursor:
        cursor.execute("DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$")


def test_a_measured_program_loses_no_span_when_the_server_is_killed():
    """Lost: spans of the seconds until the restart, or the analysis that was queued meanwhile."""
    [figure] = accept_server.run("SIGKILL under program", 11, full=False)
    assert "row after inf" not in figure.measured, figure
    # On a machine of any speed, every span is stored once, and no process is left.
    counted = re.search(r"([\d,]+) of ([\d,]+) spans stored", figure.measured)
    assert counted is not None
    assert counted[1] == counted[2] != "0"
    assert "left running" not in figure.measured


# As root, which may signal every process, only the most dangerous kinds of files are tried.
STALE = {
    "root": (stale_files.PROGRAM, stale_files.SERVER, stale_files.BROKEN),
    "ordinary user": tuple(kind for kind in stale_files.ALL if kind not in (stale_files.GARBAGE, stale_files.TORN)),
}


@pytest.mark.parametrize("who", STALE)
def test_process_ids_in_stale_files_are_ignored(who: str, folder: Path):
    """Lost: after a power cut, we end another program or another home's database that has our server's old id."""
    need(who in stale_files.users(), "only root can test what root may do")
    for seen in stale_files.start_with_each(who, folder, STALE[who]):
        assert not seen.trouble, seen
