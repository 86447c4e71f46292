"""Our code location in somebody else's Dagster instance, whose jobs, assets and tags may have the names of ours."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import GRPC_INFO_TAG

from leo_telemetry_pipeline.definitions import build_definitions
from leo_telemetry_pipeline.defs import lifecycle, sensors
from leo_telemetry_pipeline.defs.assets.insights import INSIGHTS
from leo_telemetry_pipeline.defs.lifecycle import process_lives
from leo_telemetry_pipeline.defs.names import ANALYSIS_JOB, FOLLOWS_TAG, INSIGHTS_JOB, PREFIX, RUN_ID_TAG, asset_key
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.defs.sensors import AWAY, Launch, launch_failure, run_lifecycle_sensor, was_away
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline_tests.builders import back_date, execute, new_id, queued, row, running, statuses
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = [
    pytest.mark.usefixtures("settings"),
    pytest.mark.only_on(EMBEDDED, reason="it is about Dagster's own records"),
]

OURS, THEIRS = "telemetry of the shop", "shop"
STARTED, STARTING, FAILURE = (
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.FAILURE,
)
NOW = datetime(2026, 2, 9, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def instance(request: pytest.FixtureRequest, db: Database, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Open somebody else's instance, with their own dagster.yaml."""
    execute(db, "CREATE SCHEMA theirs")
    storage = {"postgres": {"postgres_url": outside(os.environ["LEO_TELEMETRY_DATABASE_URL"], "theirs").dagster_url}}
    theirs = {"storage": storage} if request.param == "postgres" else {}
    (tmp_path / "dagster.yaml").write_text(json.dumps(theirs))
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def origin(location: str, job: str) -> RemoteJobOrigin:
    return RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__"), job)


def started(
    instance: dg.DagsterInstance, location: str | None, job: str, *, status: dg.DagsterRunStatus = STARTED, **more
) -> str:
    """Record a started run, as a daemon does with a code location, or our own process without one."""
    of = origin(location, job) if location else None
    return instance.add_run(dg.DagsterRun(job, status=status, remote_job_origin=of, **more)).run_id


def run_tick(instance: dg.DagsterInstance, location: str | None = OURS) -> str:
    """Run one tick of the lifecycle sensor in a location, and return its result."""
    context = dg.SensorEvaluationContext(
        None,
        instance=instance,
        resources={"telemetry_database": dg.ResourceDefinition.hardcoded_resource(TelemetryDatabase())},
        code_location_origin=RegisteredCodeLocationOrigin(location) if location else None,
    )
    said = run_lifecycle_sensor(context)
    assert isinstance(said, dg.SkipReason)
    return said.skip_message or ""


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_only_our_own_runs_are_ended(instance: dg.DagsterInstance, db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: somebody else's long run is ended at our deadline, because its job has the name of one of ours."""
    monkeypatch.setenv("LEO_TELEMETRY_DEADLINE", "1s")
    monkeypatch.setattr(sensors, "SILENT_LAUNCH", timedelta(seconds=1))
    waiting = queued(db)
    lost, _ = running(db)
    tags = {RUN_ID_TAG: waiting, FOLLOWS_TAG: waiting}
    theirs = [
        started(instance, THEIRS, "insights_job"),
        started(instance, THEIRS, INSIGHTS_JOB, tags=tags),
        started(instance, THEIRS, ANALYSIS_JOB, tags=tags),
        started(instance, OURS, "nightly_job", tags=tags),
        started(instance, OURS, "__ASSET_JOB", asset_selection=frozenset({dg.AssetKey("workflow_traces")})),
    ]
    behind = started(instance, THEIRS, "nightly_job")
    ours = [
        started(instance, OURS, INSIGHTS_JOB),
        started(instance, None, INSIGHTS_JOB),
        started(instance, OURS, "__ASSET_JOB", tags=tags, asset_selection=frozenset({asset_key("workflow_traces")})),
    ]
    # A row that names somebody else's run: anyone who may write rows can insert it.
    execute(db, "UPDATE telemetry_analysis_runs SET status = 'FAILED', finished_at = now(), dagster_run_id = %s"
                " WHERE run_id = %s::uuid", (behind, lost))  # fmt: skip
    time.sleep(1.1)
    run_tick(instance)
    assert [status_of(instance, run) for run in (*theirs, behind)] == [STARTED] * 6
    assert [status_of(instance, run) for run in ours] == [FAILURE] * 3
    assert ("FAILED", "LAUNCH_FAILED") in statuses(db)


def test_our_assets_do_not_share_names_with_those_of_others():
    """Lost: Dagster merges two assets, and a run of theirs makes ours look fresh."""
    definitions = build_definitions()
    graph = definitions.resolve_asset_graph()
    keys = graph.get_all_asset_keys()
    assert keys
    assert {key.path[0] for key in keys} == {PREFIX}
    groups = {graph.get(key).group_name for key in keys}
    of_ours = ("traces", "p50", "findings", "insights", "maintenance", "alerts")
    assert groups == {f"leo_telemetry_{name}" for name in of_ours}
    repository = definitions.get_repository_def()
    jobs = [job.name for job in repository.get_all_jobs() if not job.name.startswith("__")]
    names = [*jobs, *(each.name for each in (*repository.sensor_defs, *repository.schedule_defs))]
    assert len(names) == 10
    assert [name for name in names if not name.startswith("leo_telemetry_")] == []


def test_our_jobs_leave_the_assets_of_others_alone():
    """Lost: if definitions are merged, each analysis materializes the other project's assets."""

    @dg.asset(group_name=INSIGHTS)
    def workflow_traces() -> None: ...

    merged = dg.Definitions.merge(build_definitions(), dg.Definitions(assets=[workflow_traces]))
    for name in (ANALYSIS_JOB, INSIGHTS_JOB, "leo_telemetry_maintenance_job"):
        keys = merged.resolve_job_def(name).asset_layer.executable_asset_keys
        assert {key.path[0] for key in keys} == {PREFIX}, name


def launch(status: dg.DagsterRunStatus, ago_s: float, lives: bool | None) -> Launch:
    return Launch(status, NOW - timedelta(seconds=ago_s), lambda: lives)


@pytest.mark.parametrize(
    ("launched", "is_failure"),
    [
        ([], False),
        ([launch(dg.DagsterRunStatus.QUEUED, 5000, False)], False),
        ([launch(STARTING, 39, False)], False),
        ([launch(STARTING, 41, False)], True),
        # A process that is, or may be, alive counts as slow, not as failed.
        ([launch(STARTING, 600, True)], False),
        ([launch(STARTED, 600, True)], False),
        ([launch(STARTING, 600, None)], False),
        ([launch(STARTING, 901, True)], True),
        ([launch(STARTED, 901, None)], True),
        ([launch(FAILURE, 1, None)], True),
        ([launch(FAILURE, 50, False), launch(STARTING, 30, True)], False),
    ],
)
def test_a_launch_fails_when_its_process_is_gone_and_not_because_the_machine_is_slow(
    db: Database, launched: list[Launch], is_failure: bool
):
    """Lost: on a busy machine, each analysis is ended before it starts, until all retries are used up."""
    run = row(db, queued(db))
    assert (launch_failure(run, launched, NOW) is not None) == is_failure


def test_whether_a_process_lives_is_checked_where_it_was_started(monkeypatch: pytest.MonkeyPatch):
    """Lost: the queue waits a quarter of an hour for a process that ended with its daemon."""
    monkeypatch.setattr(lifecycle, "_ANSWERS_S", 1)
    with (
        dg.DagsterInstance.local_temp() as instance,
        closing(socket.socket()) as busy,
        closing(socket.socket()) as gone,
    ):
        for each in (busy, gone):
            each.bind(("127.0.0.1", 0))
        busy.listen()
        asked = {
            None: False,
            gone.getsockname()[1]: False,
            busy.getsockname()[1]: None,
        }
        for port, lives in asked.items():
            tags = {} if port is None else {GRPC_INFO_TAG: json.dumps({"host": "127.0.0.1", "port": port})}
            assert process_lives(instance, dg.DagsterRun(ANALYSIS_JOB, run_id=new_id(), tags=tags)) is lives, port


def test_after_a_machine_slept_runs_get_the_time_to_beat(instance: dg.DagsterInstance, db: Database):
    """Lost: each laptop that wakes up ends its running analysis."""
    assert not was_away(None, None, 1000.0)
    assert not was_away("", 990.0, 1000.0)
    assert was_away("", 900.0, 1000.0)
    assert not was_away(AWAY, 900.0, 1000.0)
    run_id, _ = running(db)
    back_date(db, run_id, "heartbeat_at", "5 min")
    assert "1 lost" in run_tick(instance)
    assert row(db, run_id).reason_code == "WORKER_LOST"
