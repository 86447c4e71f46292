"""Launchers other than Dagster's default: what they say about a process may be wrong, and they may fail to say it."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from leo_telemetry_pipeline.defs import sensors
from leo_telemetry_pipeline.defs.lifecycle import process_lives
from leo_telemetry_pipeline.defs.names import ANALYSIS_JOB, INSIGHTS_JOB, RUN_ID_TAG
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.defs.sensors import run_lifecycle_sensor
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import back_date, execute, queued, row, running
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = [
    pytest.mark.usefixtures("settings"),
    pytest.mark.only_on(EMBEDDED, reason="it is about Dagster's own records"),
]

LOCATION = "telemetry"
NO_TIME = timedelta(0)


class Deaf(RunLauncher, ConfigurableClass):
    """Launcher that promises to end every process, ends none, and cannot tell whether one is alive, as Celery's."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "Deaf":
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        raise NotImplementedError

    def terminate(self, run_id: str) -> bool:
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        raise KeyError("task_id")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Open an instance with that launcher."""
    launcher = {"module": __name__, "class": Deaf.__name__, "config": {}}
    (tmp_path / "dagster.yaml").write_text(json.dumps({"run_launcher": launcher}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def launched(instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, **tags: str) -> str:
    """Record a launched run of ours."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), "__repository__")
    run = dg.DagsterRun(job, status=status, tags=tags, remote_job_origin=RemoteJobOrigin(repository, job))
    return instance.add_run(run).run_id


def run_tick(instance: dg.DagsterInstance) -> None:
    """Run one tick of the lifecycle sensor."""
    context = dg.SensorEvaluationContext(
        None,
        instance=instance,
        resources={"telemetry_database": dg.ResourceDefinition.hardcoded_resource(TelemetryDatabase())},
        code_location_origin=RegisteredCodeLocationOrigin(LOCATION),
    )
    assert isinstance(run_lifecycle_sensor(context), dg.SkipReason)


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_whose_process_is_gone_ends_although_its_launcher_says_that_it_is_ending(
    instance: dg.DagsterInstance, db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: each lost worker occupies one of Dagster's slots for good; after the fourth, nothing is analysed."""
    run_id, _ = running(db)
    behind = launched(instance, ANALYSIS_JOB, dg.DagsterRunStatus.STARTED)
    execute(db, "UPDATE telemetry_analysis_runs SET dagster_run_id = %s", (behind,))
    back_date(db, run_id, "heartbeat_at", "5 min")
    run_tick(instance)
    assert row(db, run_id).reason_code == "WORKER_LOST"
    run_tick(instance)
    # A process that is alive needs a moment to end.
    assert status_of(instance, behind) == dg.DagsterRunStatus.CANCELING
    monkeypatch.setattr(sensors, "LONGEST_END", NO_TIME)
    run_tick(instance)
    assert status_of(instance, behind) == dg.DagsterRunStatus.FAILURE


def test_insights_whose_process_is_gone_end_although_their_launcher_says_that_they_are_ending(
    instance: dg.DagsterInstance, db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: insights of a node that was lost occupy one of Dagster's slots for good."""
    monkeypatch.setenv("LEO_TELEMETRY_DEADLINE", "1s")
    follower = launched(instance, INSIGHTS_JOB, dg.DagsterRunStatus.STARTED)
    time.sleep(1.1)
    run_tick(instance)
    assert status_of(instance, follower) == dg.DagsterRunStatus.CANCELING
    monkeypatch.setattr(sensors, "LONGEST_END", NO_TIME)
    time.sleep(1.1)
    run_tick(instance)
    assert status_of(instance, follower) == dg.DagsterRunStatus.FAILURE


def test_a_launcher_that_fails_to_tell_whether_a_process_lives_hinders_nothing(
    instance: dg.DagsterInstance, db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a broker that is away keeps lost analyses RUNNING."""
    monkeypatch.setattr(sensors, "SILENT_LAUNCH", NO_TIME)
    waiting = queued(db)
    launch = launched(instance, ANALYSIS_JOB, dg.DagsterRunStatus.STARTING, **{RUN_ID_TAG: waiting})
    run = instance.get_run_by_id(launch)
    assert run is not None
    assert process_lives(instance, run) is None
    run_tick(instance)
    assert [each.status for each in runs.waiting(db)] == ["QUEUED"]
