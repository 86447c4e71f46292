"""A stand-in for a Kubernetes cluster: it starts the command of a Job's container as a process of this machine.

Belongs here: the few requests that Dagster's launcher makes. Does not: images, volumes, scheduling, permissions.
"""

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from leo_telemetry_pipeline_tests.builders import kill


@dataclass
class Cluster:
    """Jobs and their processes by name. A container gets the base environment, its Secrets and its own variables."""

    namespace: str
    base: Mapping[str, str]
    secrets: Mapping[str, Mapping[str, str]]
    log: Path
    port: int = 0
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    def kubeconfig(self) -> dict[str, Any]:
        """Return the configuration of a client."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {}}],
        }

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        """Store a Job and start the command of its container."""
        name, (container,) = job["metadata"]["name"], job["spec"]["template"]["spec"]["containers"]
        environment = dict(self.base)
        for source in container["envFrom"]:
            environment |= self.secrets[source["secretRef"]["name"]]
        environment |= {variable["name"]: variable["value"] for variable in container["env"]}
        with self.log.open("ab") as log:
            process = subprocess.Popen(container["args"], env=environment, cwd="/", stdout=log, stderr=log)
        self.jobs[name], self.processes[name] = job, process
        return job

    def status(self, name: str) -> dict[str, Any] | None:
        """Return a Job with the state of its process."""
        if name not in self.jobs:
            return None
        code = self.processes[name].poll()
        state = {"active": 1} if code is None else {"failed": 1} if code else {"succeeded": 1}
        return self.jobs[name] | {"status": state}

    def pods(self, selector: str) -> dict[str, Any]:
        """Return the only pod of a Job, which has its name."""
        name = selector.removeprefix("job-name=")
        return {"items": [{"metadata": {"name": name}}] if name in self.processes else []}

    def delete_job(self, name: str) -> dict[str, Any] | None:
        """Delete a Job, but not its pod."""
        return {"status": "Success"} if self.jobs.pop(name, None) else None

    def delete_pod(self, name: str) -> dict[str, Any]:
        """End the process of a pod."""
        self.processes.pop(name).terminate()
        return {"metadata": {"name": name}}


@contextmanager
def serving(cluster: Cluster) -> Iterator[Cluster]:
    """Serve the API of a cluster on a free port, and end all processes with the block."""
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        cluster.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield cluster
        finally:
            server.shutdown()
            thread.join()
            for process in cluster.processes.values():
                kill(process)


class _Handler(BaseHTTPRequestHandler):
    cluster: ClassVar[Cluster]

    def _jobs(self) -> str:
        return f"/apis/batch/v1/namespaces/{self.cluster.namespace}/jobs"

    def _pods(self) -> str:
        return f"/api/v1/namespaces/{self.cluster.namespace}/pods"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(self.cluster.create(body) if self.path == self._jobs() else None)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == self._pods():
            self._answer(self.cluster.pods(parse_qs(url.query)["labelSelector"][0]))
        else:
            self._answer(self.cluster.status(url.path.removeprefix(self._jobs() + "/").removesuffix("/status")))

    def do_DELETE(self) -> None:
        folder, _, name = urlsplit(self.path).path.rpartition("/")
        deletes = {self._jobs(): self.cluster.delete_job, self._pods(): self.cluster.delete_pod}
        self._answer(deletes[folder](name))

    def _answer(self, found: dict[str, Any] | None) -> None:
        body = json.dumps({"status": "Failure"} if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the base class
        """Print nothing."""
