"""Our code location in a shared Dagster instance, next to one that uses our names: line 12.4.

Belongs here: the instance and its expected state. Does not: the other location (strangers_location).
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable

from benchmarks import generate
from benchmarks.figures import Figure
from benchmarks.measure import HOME, environment
from benchmarks.strangers_location import FOLDER, JOBS, SCHEDULE, TAG
from leo_telemetry_pipeline.defs.names import FOLLOWS_TAG, asset_key
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.processes import Running, end_all_of, until

LINE = "12.4"
OURS, THEIRS = "telemetry", "shop"
SCHEMA = "theirs"
WORKSPACE = f"""
load_from:
  - python_module: {{module_name: leo_telemetry_pipeline.definitions, location_name: {OURS}}}
  - python_module: {{module_name: benchmarks.strangers_location, location_name: {THEIRS}}}
"""


def parts(full: bool) -> list[str]:
    """Return the storage backends of the instance."""
    return ["SQLite", "PostgreSQL"] if full else ["SQLite"]


def run(part: str, seed: int, full: bool) -> list[Figure]:  # noqa: ARG001
    """Run both locations with one daemon and check both."""
    with generate.server() as (home, target), closing(Database(target)) as database:
        generate.fill(target, 1_400, 45, 7)
        shared = Shared(home, target, home.parent / "theirs")
        shared.lay_out(part)
        os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
        try:
            with dg.DagsterInstance.from_config(str(shared.folder)) as instance:
                lost = [shared.lost_run(instance, job) for job in JOBS]
                with shared.daemon() as daemon:
                    wrong = _work(shared, database, instance, daemon, lost)
                wrong += shared.wrong_output_of_doctor()
        except pytest.fail.Exception as failed:
            wrong = [" ".join(str(failed).split())[-600:]]
    what = f"a Dagster instance of another project, stored in {part}, whose code location uses our names"
    return [Figure(LINE, what, "their runs untouched, ours unaffected", "; ".join(wrong) or "as required", not wrong)]


@dataclass(frozen=True)
class Shared:
    """A foreign instance, in a folder with its own dagster.yaml."""

    home: Path
    target: Target
    folder: Path

    def lay_out(self, part: str) -> None:
        """Write the files of the deployment."""
        self.folder.mkdir()
        config = {}
        if part == "PostgreSQL":
            with closing(psycopg2.connect(self.target.dsn)) as connection, connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE SCHEMA {SCHEMA}")
            url = f"{self.target.dagster_url}&options=-csearch_path%3D{SCHEMA}".replace("/dagster?", "/leo_telemetry?")
            config = {"storage": {"postgres": {"postgres_url": url}}}
        (self.folder / "dagster.yaml").write_text(json.dumps(config))
        (self.folder / "workspace.yaml").write_text(WORKSPACE)
        (self.folder / "hold").touch()

    def lost_run(self, instance: dg.DagsterInstance, job: str) -> str:
        """Record a run of theirs that began long ago and has our tags."""
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(THEIRS), "__repository__"), job)
        status, tags = dg.DagsterRunStatus.STARTED, {TAG: "theirs"}
        return instance.add_run(dg.DagsterRun(job, status=status, remote_job_origin=origin, tags=tags)).run_id

    @contextmanager
    def daemon(self) -> Iterator[Running]:
        """Run their daemon, with only the settings that every program of ours needs."""
        # Earlier runs are overdue at the next tick; an analysis of this size takes far less.
        deadline = {"LEO_TELEMETRY_DEADLINE": "120s"}
        environ = environment(**{HOME: str(self.home), "DAGSTER_HOME": str(self.folder), FOLDER: str(self.folder)})
        command = [sys.executable, "-P", "-W", "ignore", "-m", "dagster._daemon", "run"]
        workspace = ["-w", str(self.folder / "workspace.yaml")]
        running = Running([*command, *workspace], environ | deadline, self.folder / "daemon.log")
        try:
            yield running
        finally:
            end_all_of(self.folder)
            running.process.wait(timeout=30)

    def wrong_output_of_doctor(self) -> list[str]:
        """Return incorrect output of the doctor."""
        [row] = [line for line in processes.run(self.home, "doctor").out.splitlines() if " worker " in line]
        return [] if "another Dagster instance executed" in row and " ok " in row else [f"doctor: {row}"]


def _work(
    shared: Shared, database: Database, instance: dg.DagsterInstance, daemon: Running, lost: list[str]
) -> list[str]:
    """Run both locations and return what went wrong."""
    run_id, _, _ = runs.enqueue(database)
    assert run_id is not None

    def row() -> runs.Run:
        found = runs.get(database, run_id)
        assert found is not None
        return found

    until(lambda: row().status in runs.FINAL, "the queued row ends", by=daemon)
    follows = dg.RunsFilter(tags={FOLLOWS_TAG: run_id}, statuses=[dg.DagsterRunStatus.SUCCESS])
    until(lambda: instance.get_runs(follows), "insights follow", by=daemon)
    # Make their earlier runs older than our deadline.
    theirs = [run for run in instance.get_runs(dg.RunsFilter(job_name=JOBS[1])) if run.run_id not in lost]
    _make_overdue(instance, [*lost, *(run.run_id for run in theirs)])
    looks = len(list(shared.folder.glob("looked *")))
    until(lambda: len(list(shared.folder.glob("looked *"))) > looks + 3, "their sensor goes on ticking", by=daemon)
    wrong = [] if row().status == "SUCCEEDED" else [f"our row ended as {row().status}: {row().error_detail}"]
    states = {run.job_name: run.status.value for each in lost if (run := instance.get_run_by_id(each))}
    wrong += [f"their {job} is {status}" for job, status in states.items() if status != "STARTED"]
    (shared.folder / "hold").unlink()
    return wrong + _became_of_theirs(instance, daemon)


def _became_of_theirs(instance: dg.DagsterInstance, daemon: Running) -> list[str]:
    name = JOBS[1]

    def ended() -> list[dg.DagsterRun]:
        return [run for run in instance.get_runs(dg.RunsFilter(job_name=name)) if run.is_finished]

    until(ended, "their run ends", by=daemon)
    wrong = [f"their run ended as {run.status.value}" for run in ended() if run.status != dg.DagsterRunStatus.SUCCESS]
    for asset in ("workflow_traces", "continuous_improvements"):
        made = instance.get_latest_materialization_event(dg.AssetKey(asset))
        if made is None or made.run_id not in {run.run_id for run in ended()}:
            wrong.append(f"their asset {asset} was materialized by {made.run_id if made else 'nobody'}")
        if instance.get_latest_materialization_event(asset_key(asset)) is None:
            wrong.append(f"our asset {asset} was not materialized")
    switched = [state.instigator_name for state in instance.all_instigator_state() if _is_switched(state)]
    return wrong + [f"{each} of theirs was switched on" for each in switched]


def _is_switched(state: InstigatorState) -> bool:
    theirs = state.origin.repository_origin.code_location_origin.location_name == THEIRS
    return theirs and state.instigator_name == SCHEDULE and state.is_running


def _make_overdue(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    """Set the last change of runs to before our deadline."""
    past = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
    storage = instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    with storage.connect() as connection:
        connection.execute(RunsTable.update().where(RunsTable.c.run_id.in_(run_ids)).values(update_timestamp=past))
