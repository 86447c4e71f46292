"""A first start killed at any moment, after which the next one must work and execute the queue: line 12.6.

Belongs here: the moments and the expected state. Does not: starting and ending processes (processes).
"""

import random
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import measure
from benchmarks.figures import Figure
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server import dagster_home, database
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.processes import Running, started, until

LINE = "12.6"
WAYS = ("SIGKILL", "SIGTERM")
_PARTS, _MOMENTS = 5, 5
# Duration of a first start in a small run; a full run measures it.
_START_S = 6.0
EXECUTED_S = 180.0
_STATUS = "SELECT status FROM telemetry_analysis_runs WHERE run_id = %s::uuid"


def parts(full: bool) -> list[str]:
    """Return the signals, each several times."""
    return [f"{way} {number}" for way in WAYS for number in range(1, 1 + (_PARTS if full else 1))]


def run(part: str, seed: int, full: bool) -> list[Figure]:
    """End first starts at random moments and count the second starts that work."""
    way, rng = part.split()[0], random.Random(seed)
    lasts = _measured_start() if full else _START_S
    moments = sorted(rng.uniform(0, lasts) for _ in range(_MOMENTS if full else 1))
    broken = [f"after {moment:.2f} s: {why}" for moment in moments if (why := _broken(way, moment))]
    measured = f"{len(moments) - len(broken)} of {len(moments)} within {lasts:.1f} s"
    what = f"first start ended by {way}, then a worker"
    return [Figure(LINE, what, "all analyses SUCCEEDED", "; ".join([measured, *broken]), not broken)]


def _measured_start() -> float:
    with measure.home() as home:
        began = time.monotonic()
        with started(home, "worker") as worker:
            _looks(home, worker)
            return time.monotonic() - began


def _broken(way: str, moment: float) -> str:
    """Return what fails after a first start that was ended at ``moment``; empty if nothing fails."""
    with measure.home() as home:
        with started(home, "worker") as first:
            time.sleep(moment)
            if way == "SIGKILL":
                processes.kill_all_of(home)
            else:
                first.interrupt(signal.SIGTERM)
            first.ended()
        try:
            return _works(home)
        except pytest.fail.Exception as failed:
            return " ".join(str(failed).split())[-600:]


def _works(home: Path) -> str:
    with started(home, "worker") as second:
        until(lambda: processes.answers(home) or second.process.poll() is not None, "the database answers", by=second)
        run_id = processes.run(home, "enqueue").out.split()[2].rstrip(".")

        def has_ended() -> bool:
            # Polling with a command would cost as much as the analysis.
            with closing(processes.inside(home)) as db:
                return db.rows(_STATUS, (run_id,))[0][0] in runs.FINAL

        until(has_ended, "the queued row ends", by=second, seconds=EXECUTED_S, every=1.0)
        if '"SUCCEEDED"' not in processes.run(home, "runs", "show", run_id).out:
            return f"the row did not succeed: {second.tail()}"
        _looks(home, second)
    return ""


def _looks(home: Path, worker: Running) -> None:
    target = database.running(Settings({measure.HOME: str(home)}))
    until(lambda: dagster_home.daemon_lives(target), "a daemon looks", by=worker, every=1.0)

    def is_seen() -> bool:
        return "a Dagster daemon is running\n" in processes.run(home, "doctor").out

    until(is_seen, "the doctor sees a daemon that works", by=worker, every=1.0)
