"""A running ``leo-telemetry dev``, with access to its ports and both databases.

Belongs here: starting, querying and ending it. Does not: a receiver alone (served), browsers (browser).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks import measure
from leo_telemetry_pipeline.settings import PREFIX, Settings, bundled
from leo_telemetry_pipeline.store.server import dagster_home, database
from leo_telemetry_pipeline.store.server.database import DAGSTER_DATABASE, DATABASE
from leo_telemetry_pipeline.store.server.embedded import Embedded

_STARTS_S = 300
_ENDS_S = 60
_LISTENS = "0A"


@dataclass(frozen=True)
class Deployed:
    """UI and receiver on local ports, with their own home."""

    home: Path
    ui_port: int
    otlp_port: int
    process: subprocess.Popen

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command on the same home."""
        return measure.environment(**{f"{PREFIX}HOME": str(self.home)})

    def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """Run a GraphQL query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        address = f"http://127.0.0.1:{self.ui_port}/graphql"
        asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=120) as answer:
            return json.load(answer)["data"]

    def rows(self, sql: str, *parameters: Any, of_dagster: bool = False) -> list[tuple]:
        """Run a statement in our database or Dagster's and return its rows, if any."""
        name = DAGSTER_DATABASE if of_dagster else DATABASE
        connection = psycopg2.connect(f"{Embedded(self.home).dsn} dbname={name}")
        with closing(connection), connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def ports(self) -> set[tuple[str, int]]:
        """Return the TCP addresses and ports on which its processes listen. Linux only."""
        inodes = {inode for process in self._processes() for inode in _sockets(process)}
        return {place for place, inode in _listening() if inode in inodes}

    def _processes(self) -> Iterator[Path]:
        named = os.fsencode(self.home)
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                # PostgreSQL overwrites its environment, but runs in its data folder.
                with suppress(OSError):
                    if named in (process / "environ").read_bytes() or named in os.fsencode(
                        (process / "cwd").readlink()
                    ):
                        yield process


def _sockets(process: Path) -> Iterator[str]:
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                yield str(descriptor.readlink())


def _listening() -> Iterator[tuple[tuple[str, int], str]]:
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS:
                address, _, port = fields[1].partition(":")
                words = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
                yield (socket.inet_ntop(family, words), int(port, 16)), f"socket:[{fields[9]}]"


@contextmanager
def dev(existing: Path | None = None) -> Iterator[Deployed]:
    """Run ``leo-telemetry dev`` in a new or existing home until the block ends. Raises RuntimeError."""
    with nullcontext(existing) if existing else measure.home() as home:
        with closing(socket.socket()) as one, closing(socket.socket()) as other:
            ports = [_bound(one), _bound(other)]
        command = [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", "dev"]
        command += ["--port", str(ports[0]), "--otlp-port", str(ports[1])]
        environ = measure.environment(**{f"{PREFIX}HOME": str(home)})
        with home.with_name("dev.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environ, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            deployed = Deployed(home, ports[0], ports[1], process)
            _wait(deployed)
            yield deployed
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_ENDS_S)


@contextmanager
def unguarded(deployed: Deployed) -> Iterator[int]:
    """Run Dagster's own webserver on the same instance until the block ends; yield its port."""
    settings = Settings({f"{PREFIX}HOME": str(deployed.home)})
    environ = deployed.environment | dagster_home.environment(database.running(settings), settings)
    with closing(socket.socket()) as probe:
        port = _bound(probe)
    command = [sys.executable, "-P", "-W", "ignore", "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port)]
    command += ["-w", str(bundled("workspace.yaml"))]
    with subprocess.Popen(command, env=environ, cwd="/", stdin=subprocess.DEVNULL) as process:
        try:
            _until(process, lambda: _answers(port, "/server_info"))
            yield port
        finally:
            process.send_signal(signal.SIGINT)


def _bound(probe: socket.socket) -> int:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]


def _wait(deployed: Deployed) -> None:
    def is_up() -> bool:
        return _answers(deployed.ui_port, "/server_info") and _answers(deployed.otlp_port, "/healthz")

    try:
        _until(deployed.process, is_up)
    except RuntimeError:
        log = deployed.home.with_name("dev.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"dev did not start: {log}") from None


def _until(process: subprocess.Popen, is_up: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _STARTS_S
    while process.poll() is None and time.monotonic() < give_up:
        with suppress(OSError):
            if is_up():
                return
        time.sleep(0.2)
    raise RuntimeError(f"{process.args} did not start")


def _answers(port: int, path: str) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.status == 200
