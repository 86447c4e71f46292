"""Analyses that Dagster's launchers for Celery and Kubernetes start elsewhere, as docs/deployment.md shows them.

Celery is real, with Redis. Kubernetes is a stand-in, which starts the commands of the launcher's Jobs.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import builders, kubernetes_api, launcher_packages, processes
from leo_telemetry_pipeline_tests.analysis_loop import BRAKES, Loop
from leo_telemetry_pipeline_tests.builders import execute, queued, row
from leo_telemetry_pipeline_tests.documents import DEPLOYMENT, block, command
from leo_telemetry_pipeline_tests.kubernetes_api import Cluster
from leo_telemetry_pipeline_tests.processes import (
    ROOT,
    Running,
    end_all_of,
    environment,
    free_port,
    need,
    sees_processes,
    until,
)

pytestmark = sees_processes

MANIFESTS = ROOT / "examples" / "kubernetes.yaml"
# Dagster's warnings here are not about our code.
QUIET = {"DAGSTER_DISABLE_TELEMETRY": "1", "PYTHONWARNINGS": "ignore"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the launchers, and return the variables with which programs find them."""
    return launcher_packages.install(tmp_path_factory.mktemp("launchers"))


@pytest.fixture
def variables(home: Path, packages: dict[str, str], database_url: str) -> dict[str, str]:
    """Return the variables of every program, with the addresses that `leo-telemetry env` prints."""
    home.mkdir(mode=0o711)
    ours = {PREFIX + "DATABASE_URL": database_url, PREFIX + "HOME": str(home / "ours")}
    printed = processes.run(home, "env", **ours)
    assert printed.code == 0, printed
    exports = [word for word in shlex.split(printed.out) if word.startswith(PREFIX)]
    return {**packages, **dict(word.split("=", 1) for word in exports), **QUIET}


Start = Callable[..., Running]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Return a function that starts a program, given its line, a name for its log and its variables."""
    started: list[Running] = []

    def start(line: str, name: str, variables: Mapping[str, str]) -> Running:
        started.append(Running(shlex.split(line), environment(home, **variables), home / f"{name}.log"))
        return started[-1]

    yield start
    end_all_of(home)
    for program in started:
        program.process.wait(timeout=processes.PATIENCE_S)


@dataclass(frozen=True)
class Elsewhere:
    """A launcher, and the machines where it starts runs.

    ``variables``: of daemon and code server. ``executed``: whether a run was executed there. ``lose``: kills the
    process of a run with its machine; another machine takes the next run.
    """

    launcher: dict[str, Any]
    variables: Mapping[str, str]
    executed: Callable[[Run], bool]
    lose: Callable[[Run], None]


def documented(launcher: str) -> dict[str, Any]:
    """Return the block of a launcher for dagster.yaml."""
    return yaml.safe_load(block(DEPLOYMENT, "yaml", launcher))["run_launcher"]


@pytest.fixture
def celery(home: Path, variables: dict[str, str], start: Start) -> Elsewhere:
    """Start Redis and a Celery worker."""
    need(shutil.which("redis-server"), "redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    broker = start(f"redis-server --bind 127.0.0.1 --port {port} --dir {home} --save ''", "redis", {})
    addresses = {"CELERY_BROKER_URL": 0, "CELERY_RESULT_BACKEND": 1}
    variables = variables | {name: f"redis://127.0.0.1:{port}/{number}" for name, number in addresses.items()}
    until(lambda: "Ready to accept connections" in broker.said(), "the broker is up", by=broker)
    workers: list[Running] = []

    def start_worker() -> None:
        more = {**variables, "DAGSTER_HOME": str(home / "dagster")}
        workers.append(start(command(DEPLOYMENT, "celery "), f"worker{len(workers)}", more))

    def lose(run: Run) -> None:
        # All processes of a worker are in its group.
        os.killpg(workers[-1].process.pid, signal.SIGKILL)
        start_worker()

    def executed(run: Run) -> bool:
        return f"{run.dagster_run_id} - Analysis {run.run_id} began" in workers[-1].said()

    start_worker()
    return Elsewhere(documented("CeleryRunLauncher"), variables, executed, lose)


@pytest.fixture
def kubernetes(home: Path, variables: dict[str, str]) -> Iterator[Elsewhere]:
    """Start the stand-in for a cluster. Its jobs get no variables but those that the launcher gives them."""
    launcher = documented("K8sRunLauncher")
    config = launcher["config"]
    [name] = config["env_secrets"]
    secret = {name: value for name, value in variables.items() if name.startswith(PREFIX)}
    image = {name: variables[name] for name in ("PATH", "PYTHONPATH", "PYTHONWARNINGS")}
    cluster = Cluster(config["job_namespace"], image, {name: secret}, home / "jobs.log")

    def job(run: Run) -> str:
        return f"dagster-run-{run.dagster_run_id}"

    with kubernetes_api.serving(cluster):
        file = home / "kubeconfig"
        file.write_text(json.dumps(cluster.kubeconfig()))
        # In a cluster, the launcher finds the API by itself, and the image has made the folder.
        config |= {"load_incluster_config": False, "kubeconfig_file": str(file), "dagster_home": str(home / "job")}
        yield Elsewhere(
            launcher, variables, lambda run: job(run) in cluster.jobs, lambda run: cluster.processes[job(run)].kill()
        )


@pytest.fixture(params=["celery", "kubernetes"])
def elsewhere(request: pytest.FixtureRequest) -> Elsewhere:
    """Return each launcher in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def loop(home: Path, elsewhere: Elsewhere, start: Start, db: Database) -> Loop:
    """Start daemon and code server with a launcher."""
    folder, port = home / "dagster", str(free_port())
    folder.mkdir()
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text()) | {"run_launcher": elsewhere.launcher}
    (folder / "dagster.yaml").write_text(json.dumps(settings))
    workspace = folder / "workspace.yaml"
    location = block(DEPLOYMENT, "yaml", "grpc_server")
    workspace.write_text(location.replace("code.example", "127.0.0.1").replace("4000", port))
    serve = command(DEPLOYMENT, "dagster api grpc ").replace("4000", port).replace("0.0.0.0", "127.0.0.1")
    code = start(serve, "code", elsewhere.variables)
    until(lambda: "Started Dagster code server" in code.said(), "the code server is up", by=code)
    daemon = command(DEPLOYMENT, "dagster-daemon ").replace(workspace.name, str(workspace))
    return Loop(home, start(daemon, "daemon", {**elsewhere.variables, "DAGSTER_HOME": str(folder)}), db)


def test_an_analysis_is_executed_elsewhere_and_again_if_its_machine_is_lost(elsewhere: Elsewhere, loop: Loop):
    """Lost: who moves analyses to other machines, as documented, gets none, or none after the first lost machine."""
    execute(loop.db, BRAKES)
    builders.slow(loop.db, "GATE_A", "GATE_B")
    run = loop.ended(queued(loop.db))
    assert (run.status, run.findings_count) == ("SUCCEEDED", 2), loop.running.tail()
    assert elsewhere.executed(run)
    loop.on("start")
    run = loop.claimed(queued(loop.db))
    loop.braked()
    until(lambda: row(loop.db, run.run_id).heartbeat_at != run.heartbeat_at, "it sends heartbeats", by=loop.running)
    elsewhere.lose(run)
    loop.off()
    run = loop.ended(run.run_id)
    assert (run.status, run.reason_code) == ("FAILED", "WORKER_LOST"), run
    assert loop.wrote(run) == (0, 0)
    retry = loop.ended(loop.retry_of(run).run_id)
    assert retry.status == "SUCCEEDED", retry
    assert elsewhere.executed(retry)


def refusals(packages: dict[str, str], *given: Any) -> list[str]:
    """Return why Dagster's or Kubernetes' own schema refuses each part of a configuration, or an empty text."""
    done = subprocess.run(
        [sys.executable, "-m", "leo_telemetry_pipeline_tests.launcher_schemas"],
        env={**os.environ, **packages, "CELERY_BROKER_URL": "redis://", "CELERY_RESULT_BACKEND": "redis://"},
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_launchers_accept_what_the_document_shows(packages: dict[str, str]):
    """Lost: the daemon ends with a page of errors about its configuration."""
    shown = [documented("CeleryRunLauncher"), documented("K8sRunLauncher")]
    misspelt = [each | {"config": each["config"] | {"job_namespce": "telemetry"}} for each in shown]
    *accepted, celery, kubernetes = refusals(packages, *shown, *misspelt)
    assert accepted == ["", ""]
    assert "job_namespce" in celery
    assert "job_namespce" in kubernetes


def test_kubernetes_accepts_our_manifests(packages: dict[str, str]):
    """Lost: `kubectl apply` refuses half of the objects and creates the others."""
    manifests = list(yaml.safe_load_all(MANIFESTS.read_text()))
    wrong_group = manifests[-1] | {"apiVersion": "v1"}
    misspelt = manifests[-1] | {"spec": manifests[-1]["spec"] | {"replica": 1}}
    *accepted, group, field = refusals(packages, *manifests, wrong_group, misspelt)
    assert set(accepted) == {""}
    assert "create_namespaced_deployment" in group
    assert "replica" in field


def test_manifests_document_and_launcher_agree():
    """Lost: a Job waits for a Secret or a service account that has another name."""
    manifests = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(MANIFESTS.read_text())}
    config = documented("K8sRunLauncher")["config"]
    account = config["service_account_name"]
    assert {("ServiceAccount", account), ("Role", account), ("RoleBinding", account)} < manifests.keys()
    pods = [each["spec"]["template"]["spec"] for each in manifests.values() if each["kind"] == "Deployment"]
    assert [pod["serviceAccountName"] for pod in pods] == [account] * 2
    code, daemon = [pod["containers"][0] for pod in pods]
    assert code["args"] == shlex.split(command(DEPLOYMENT, "dagster api grpc "))
    assert daemon["args"] == shlex.split(command(DEPLOYMENT, "dagster-daemon "))
    assert daemon["workingDir"] == daemon["env"][0]["value"] == config["dagster_home"]
    secrets = [container["envFrom"][0]["secretRef"]["name"] for container in (code, daemon)]
    assert secrets == config["env_secrets"] * 2
    assert {code["image"], daemon["image"]} == {config["job_image"]}
    shown = block(DEPLOYMENT, "sh", "kubectl apply")
    assert f"create secret generic {secrets[0]} " in shown
    assert f"create configmap {config['instance_config_map']} " in shown
    assert f"create namespace {config['job_namespace']}\n" in shown
