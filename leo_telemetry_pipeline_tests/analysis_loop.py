"""`leo-telemetry dev` or `worker` in a prepared home, with brakes that hold analyses at a given place."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType

from leo_telemetry_pipeline.cli.processes.code_server import LOCATION
from leo_telemetry_pipeline.defs.sensors import insights_sensor
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.builders import execute, one, row
from leo_telemetry_pipeline_tests.processes import Running, until

# While test_brake names a place, analyses wait there, inside the database. No time limit of ours ends the wait,
# so tests need not be fast to find a process in that state.
BRAKES = """
CREATE TABLE test_brake (place text);
CREATE FUNCTION test_wait(at text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM test_brake WHERE place = at) LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;

-- "start": in the first asset, which makes partitions before anything is written in the run's name.
ALTER FUNCTION ensure_trace_partitions(date, date) RENAME TO test_ensure_trace_partitions;
CREATE FUNCTION ensure_trace_partitions(first_day date, last_day date) RETURNS integer LANGUAGE sql AS $$
    SELECT test_wait('start');
    SELECT test_ensure_trace_partitions(first_day, last_day);
$$;

-- "p50": while the P50s are written, in a transaction that holds the row of the run.
CREATE FUNCTION test_wait_at_p50() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM test_wait('p50');
    RETURN NULL;
END $$;
CREATE TRIGGER test_brake BEFORE INSERT ON dimension_p50 FOR EACH STATEMENT EXECUTE FUNCTION test_wait_at_p50();
"""


@dataclass
class Loop:
    """A home with spans, four slow gates and brakes, where ``leo-telemetry dev`` or ``worker`` runs."""

    home: Path
    running: Running
    db: Database

    def on(self, place: str) -> None:
        """Hold analyses at a place from now on."""
        execute(self.db, "INSERT INTO test_brake (place) VALUES (%s)", (place,))

    def off(self) -> None:
        """Release all analyses."""
        execute(self.db, "DELETE FROM test_brake")

    def ended(self, run_id: str | None) -> runs.Run:
        """Wait until a run has ended and return it."""
        return until(lambda: self.in_status(run_id, *runs.FINAL), f"run {run_id} ends", by=self.running)

    def claimed(self, run_id: str | None) -> runs.Run:
        """Wait until a run is RUNNING and return it."""
        run = until(lambda: self.in_status(run_id, "RUNNING", *runs.FINAL), f"{run_id} runs", by=self.running)
        assert run.status == "RUNNING", run
        return run

    def in_status(self, run_id: str | None, *statuses: str) -> runs.Run | None:
        """Return a run if it has one of the statuses."""
        run = row(self.db, run_id)
        return run if run.status in statuses else None

    def braked(self) -> None:
        """Wait until a brake holds an analysis."""
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        until(lambda: one(self.db, asleep), "a brake holds an analysis")

    def retry_of(self, run: runs.Run) -> runs.Run:
        """Return the only retry of a run."""
        again = self.db.rows(
            "SELECT run_id::text FROM telemetry_analysis_runs WHERE retry_of = %s::uuid", (run.run_id,)
        )
        assert len(again) == 1, again
        retry = row(self.db, again[0][0])
        assert (retry.attempt, retry.retry_of) == (run.attempt + 1, run.run_id)
        assert (retry.scope_type, retry.triggered_by) == (run.scope_type, run.triggered_by)
        return retry

    def kill_server(self) -> None:
        """Kill PostgreSQL, and wait until it is back."""
        server = processes.postmaster(self.home)
        self.db.close()
        os.kill(server, signal.SIGKILL)
        until(lambda: server not in processes.processes_of(self.home), "the server is gone", every=0.02)
        until(lambda: processes.answers(self.home), "the server is back", by=self.running)

    def process_of_the_run(self) -> int:
        """Return the process that executes the only Dagster run."""
        return until(
            lambda: spawned if len(spawned := self._spawned()) == 1 else [], "one process executes a run", every=0.3
        )[0]

    def nothing_runs(self) -> bool:
        """Return whether no analysis is queued or running and no process of one is alive."""
        return not runs.waiting(self.db) and not self._spawned()

    def _spawned(self) -> list[int]:
        every = processes.processes_of(self.home)
        return [pid for pid, arguments in every.items() if "multiprocessing.spawn" in arguments]

    def dagster_status(self, run: runs.Run) -> str:
        """Return the status that Dagster itself gives the run."""
        [[status]] = processes.dagster_says(self.home, "SELECT status FROM runs WHERE run_id = %s", run.dagster_run_id)
        return status

    def dagster_run_ends(self, run: runs.Run) -> str:
        """Wait until Dagster itself says that the run has ended, and return how."""
        ends = ("SUCCESS", "FAILURE", "CANCELED")
        until(lambda: self.dagster_status(run) in ends, f"Dagster ends {run.dagster_run_id}", by=self.running)
        return self.dagster_status(run)

    def said_of(self, run: runs.Run, level: str) -> list[str]:
        """Return the console's log lines about a run at one level."""
        of = f" - {level} - "
        return [line for line in self.running.said().splitlines() if of in line and str(run.dagster_run_id) in line]

    def wrote(self, run: runs.Run) -> tuple[int, int]:
        """Return how many P50s and improvement items a run has written."""
        p50s = one(self.db, "SELECT count(*) FROM dimension_p50 WHERE run_id = %s::uuid", (run.run_id,))
        items = "SELECT count(*) FROM continuous_improvements WHERE source_detail ->> 'run_id' = %s"
        return p50s, one(self.db, items, (run.run_id,))


def stop_insights(instance: dg.DagsterInstance) -> None:
    """Switch off the insights sensor, as in the UI: these tests do not cover insights."""
    location = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("", 1, location_name=LOCATION), "__repository__")
    sensor = location.get_instigator_origin(insights_sensor.name)
    instance.add_instigator_state(InstigatorState(sensor, InstigatorType.SENSOR, InstigatorStatus.STOPPED))


@contextmanager
def running(home: Path, program: str, **variables: str) -> Iterator[Loop]:
    """Start ``dev`` or ``worker`` in a prepared home and wait until it works."""
    port = processes.free_port()
    ports = ("--port", str(port), "--otlp-port", str(processes.free_port()))
    arguments = ("dev", *ports) if program == "dev" else (program,)
    with processes.started(home, *arguments, variables=variables) as process:
        until(lambda: processes.answers(home), "the database is up", by=process, every=0.2)
        before = processes.daemon_beat(home)
        until(lambda: processes.daemon_beat(home) > before, "the daemon beats", by=process, every=0.2)
        if program == "dev":
            until(lambda: processes.serves(port), "the UI serves", by=process)
        with closing(processes.inside(home)) as db:
            yield Loop(home, process, db)
