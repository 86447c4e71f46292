"""QUEUED to SUCCEEDED for 1,400 spans: at most 1.5 x an empty job of the same Dagster instance.

Belongs here: the measurement, with a real daemon. Does not: the empty job (empty_location).

Both are requested by sensors of the same daemon, which tick every five seconds. The time until the next tick matters
as much as the run, so both are requested with the same delays after their sensor's last tick.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from benchmarks import generate
from benchmarks.empty_location import ASKED
from benchmarks.measure import HOME, Budget, Options, environment, judge, process, run
from benchmarks.table import Measured, last_line
from leo_telemetry_pipeline.cli.processes import supervise
from leo_telemetry_pipeline.defs.sensors import insights_sensor
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server import dagster_home
from leo_telemetry_pipeline.store.server.database import Database, Target

LOOK_S = 5.0
PATIENCE_S = 120.0
WORKSPACE = """
load_from:
  - python_module: {module_name: leo_telemetry_pipeline.definitions, location_name: leo_telemetry_pipeline}
  - python_module: {module_name: benchmarks.empty_location, location_name: empty}
"""
LAST_LOOK = "SELECT max(extract(epoch FROM timestamp)) FROM job_ticks WHERE tick_body LIKE %s"
ENDED = """
SELECT r.status, r.end_time FROM runs AS r JOIN run_tags AS t USING (run_id)
WHERE t.key = 'dagster/run_key' AND t.value = %s AND r.status IN ('SUCCESS', 'FAILURE', 'CANCELED')
"""


@dataclass(frozen=True)
class Daemon:
    """A daemon that runs both code locations, with its log and the two request queues."""

    database: Database
    dagster_url: str
    asked: Path
    log: Path

    def dagster_says(self, question: str, parameter: str) -> list[tuple]:
        """Query Dagster's tables."""
        with closing(psycopg2.connect(self.dagster_url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(question, (parameter,))
            return cursor.fetchall()

    def until(self, question: Callable[[], float | None], what: str) -> float:
        """Wait for an answer other than None. Raises RuntimeError after two minutes."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            if (answer := question()) is not None:
                return answer
            time.sleep(0.05)
        raise RuntimeError(f"{what} took more than {PATIENCE_S:.0f} s: {last_line(self.log.read_text())}")

    def tick_of(self, sensor: str) -> float:
        """Wait for the next tick of a sensor and return its time."""
        before = time.time()

        def looked() -> float | None:
            at = self.dagster_says(LAST_LOOK, f'%"{sensor}"%')[0][0]
            return float(at) if at is not None and float(at) > before else None

        return self.until(looked, f"a tick of {sensor}")

    def ours(self) -> float:
        """Queue an analysis and return the seconds until its row is SUCCEEDED."""
        run_id, outcome, detail = runs.enqueue(self.database)
        if run_id is None or outcome != "ENQUEUED":
            raise RuntimeError(f"nothing was queued: {outcome}, {detail}")

        def ended() -> float | None:
            row = runs.get(self.database, run_id)
            if row is None or row.finished_at is None:
                return None
            if row.status != "SUCCEEDED":
                raise RuntimeError(f"the analysis ended as {row.status}: {row.error_detail}")
            return (row.finished_at - row.triggered_at).total_seconds()

        return self.until(ended, "an analysis")

    def empty(self) -> float:
        """Request the empty job and return the seconds until it is SUCCESS."""
        asked = time.time()
        name = f"run-{asked}"
        (self.asked / name).touch()

        def ended() -> float | None:
            for status, end in self.dagster_says(ENDED, name):
                if status != "SUCCESS":
                    raise RuntimeError(f"the empty job ended as {status}")
                return end - asked
            return None

        return self.until(ended, "the empty job")


@contextmanager
def daemon(home: Path, target: Target) -> Iterator[Daemon]:
    """Run a daemon with both code locations in a home after one analysis."""
    environ = environment(**{HOME: str(home)})
    process([sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", "analyze"], environ)
    workspace, log, asked = home / "workspace.yaml", home / "daemon.log", home / "asked"
    workspace.write_text(WORKSPACE)
    asked.mkdir()
    environ |= dagster_home.environment(target, Settings({HOME: str(home)})) | {ASKED: str(asked)}
    # Insights after an analysis would slow the next measurement.
    stop = ("dagster", "sensor", "stop", insights_sensor.name, "-w", str(workspace), "-l", "leo_telemetry_pipeline")
    process([sys.executable, "-P", "-W", "ignore", "-m", *stop], environ)
    command = [sys.executable, "-P", "-W", "ignore", "-m", "dagster._daemon", "run", "-w", str(workspace)]
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        database = stack.enter_context(closing(Database(target)))
        stack.enter_context(supervise.group(command, environ, target, output))
        url = target.dagster_url.replace("postgresql+psycopg2", "postgresql", 1)
        yield Daemon(database, url, asked, log)


def measurements(options: Options) -> Iterator[Measured]:
    """Request both alternately, at delays spread evenly between two ticks, after a warm-up but for a quick run."""
    rounds, first = (1, 0) if options.quick else (6, -1)
    took: dict[str, list[float]] = {"ours": [], "empty": []}
    with generate.server() as (home, target):
        generate.fill(target, 1_400, 45, 7)
        with daemon(home, target) as started:
            kinds = (("ours", started.ours, dagster_home.QUEUE_SENSOR), ("empty", started.empty, "asked_sensor"))
            for number in range(first, rounds):
                for name, ask, sensor in kinds:
                    rest = LOOK_S * (number + 0.5) / rounds
                    time.sleep(max(0.0, started.tick_of(sensor) + rest - time.time()))
                    seconds = ask()
                    if number >= 0:
                        took[name].append(seconds)
    ours, empty = (statistics.median(seconds) for seconds in took.values())
    what = "QUEUED to SUCCEEDED: 1,400 spans, 45 dimensions, by the daemon's sensor"
    yield judge(what, ours, "s", Budget(1.5), options, reference=("an empty job of three assets", empty))


if __name__ == "__main__":
    raise SystemExit(run(measurements))
