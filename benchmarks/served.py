"""A running receiver, with access to its process, memory, metrics and stored spans.

Belongs here: starting, querying and ending it. Does not: requests (otlp_requests), measurements.
"""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database, Target

_STARTS_S = 120


@dataclass
class Receiver:
    """A receiver on a local port, with its own home."""

    home: Path
    port: int
    process: subprocess.Popen

    @contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        """Open a connection until the block ends."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)) as line:
            yield line

    def post(self, line: http.client.HTTPConnection, body: bytes, form: str) -> tuple[int, int]:
        """Send spans and return the status and the number of rejected spans."""
        line.request("POST", "/v1/traces", body, {"content-type": form})
        answer = line.getresponse()
        content = answer.read()
        if answer.status != 200 or not content:
            return answer.status, 0
        if form.endswith("json"):
            return 200, int(json.loads(content).get("partialSuccess", {}).get("rejectedSpans", 0))
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        return 200, ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans

    def metrics(self) -> dict[str, float]:
        """Return its metrics by name, without the common prefix."""
        with self.connected() as line:
            line.request("GET", "/metrics")
            text = line.getresponse().read().decode()
        rows = [entry.split() for entry in text.splitlines() if not entry.startswith("#")]
        return {name.removeprefix(f"{PREFIX.lower()}receiver_"): float(value) for name, value in rows}

    def target(self) -> Target:
        """Return its database."""
        return database.running(Settings({f"{PREFIX}HOME": str(self.home)}))

    def stored(self) -> int:
        """Return the number of stored spans."""
        with closing(Database(self.target())) as db:
            return db.rows("SELECT count(*) FROM workflow_trace_log")[0][0]

    def megabytes(self, name: str = "VmRSS") -> float:
        """Return its memory: VmRSS, or VmHWM, the peak since ``forget_peak``."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{name}:")[1].split()[0]) / 1024

    def forget_peak(self) -> None:
        """Reset VmHWM."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@contextmanager
def receiver(**variables: str) -> Iterator[Receiver]:
    """Run a receiver until the block ends; ``variables``: settings without prefix. Raises RuntimeError."""
    with measure.home() as home:
        named = {PREFIX + name: value for name, value in variables.items()}
        environ = measure.environment(**{f"{PREFIX}HOME": str(home)}, **named)
        port = _free_port()
        command = [sys.executable, "-m", "leo_telemetry_pipeline.cli", "serve", "--quiet", "--port", str(port)]
        with subprocess.Popen(command, env=environ, cwd="/", stdin=subprocess.DEVNULL) as process:
            try:
                _wait(process, port)
                yield Receiver(home, port, process)
            finally:
                process.terminate()


def _wait(process: subprocess.Popen, port: int) -> None:
    give_up = time.monotonic() + _STARTS_S
    while process.poll() is None and time.monotonic() < give_up:
        with suppress(OSError, http.client.HTTPException):
            asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            with closing(asked):
                asked.request("GET", "/healthz")
                if asked.getresponse().status == 200:
                    return
        time.sleep(0.1)
    raise RuntimeError("the receiver did not start")


def _free_port() -> int:
    with closing(socket.socket()) as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def more_files(count: int) -> None:
    """Raise the limit of open files of this process to ``count`` if allowed."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
