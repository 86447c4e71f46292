"""`worker --once` that gets a signal while Dagster, which has its own signal handlers, executes a step."""

import os
import signal
import sys
from pathlib import Path

import pytest

from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.builders import execute, statuses
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = [
    pytest.mark.usefixtures("settings"),
    pytest.mark.only_on(EMBEDDED, reason="signals do not depend on the server"),
]

# The first analysis loses its row in a step, so its heartbeat interrupts it; the second gets Ctrl-C.
WORKER = """
import os, sys, time
from contextlib import closing
from leo_telemetry_pipeline.analysis import bottlenecks
from leo_telemetry_pipeline.cli import main
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server import database

def lose():
    with database.ready(Settings()) as target, closing(database.Database(target)) as connection:
        runs.cancel(connection, next(run.run_id for run in runs.waiting(connection) if run.status == "RUNNING"))

def judge(*arguments, **more):
    print("judges", flush=True)
    if acts:
        acts.pop(0)()
        time.sleep(600)
    return original(*arguments, **more)

number, original = int(sys.argv.pop()), bottlenecks.judge
acts = [lose, lambda: os.kill(os.getpid(), number)]
bottlenecks.judge = judge
sys.exit(main.main())
"""
QUEUED = """
INSERT INTO telemetry_analysis_runs (scope_type, scope_id, triggered_at)
SELECT 'PROJECT', name, clock_timestamp() FROM unnest(ARRAY['a', 'b', 'c']) AS name
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_worker_stops_after_a_signal_in_a_step_but_continues_after_losing_a_row(
    db: Database, home: Path, number: signal.Signals
):
    """Lost: Ctrl-C on a worker cancels one analysis and starts the next; or a lost analysis ends the worker."""
    execute(db, QUEUED)
    command = [sys.executable, "-P", "-c", WORKER, "worker", "--once", str(int(number))]
    url = {"LEO_TELEMETRY_DATABASE_URL": os.environ["LEO_TELEMETRY_DATABASE_URL"]}
    done = processes.finished(command, processes.environment(home, **url))
    cancelled = ("CANCELLED", "CANCELLED_BY_USER")
    assert statuses(db) == [cancelled, cancelled, ("QUEUED", None)], done
    assert (done.code, done.out.splitlines()) == (128 + number, ["judges"] * 2), done
