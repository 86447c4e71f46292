"""Trial of a Citus cluster that loses a worker node for a while, under a receiver and a daemon.

Belongs here: the trial, for any length of the outage. Does not: expectations (test_cluster, accept_cluster).
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline_tests.processes import Running, need, run, started, until
from leo_telemetry_pipeline_tests.receiver_process import Served, as_json, serving
from leo_telemetry_pipeline_tests.servers import Cluster, run_alone

_ATTEMPTS = """
WITH RECURSIVE attempts AS (
    SELECT r.* FROM telemetry_analysis_runs AS r WHERE r.run_id = %s::uuid
    UNION ALL SELECT r.* FROM telemetry_analysis_runs AS r JOIN attempts AS a ON a.run_id = r.retry_of)
SELECT status, coalesce(reason_code, ''), coalesce(error_detail, '') FROM attempts ORDER BY attempt
"""
_ENDS = "UPDATE telemetry_analysis_runs SET window_end = %s WHERE run_id = %s::uuid"
_SCANNED = "SELECT (metadata->>'traces_scanned')::integer FROM telemetry_analysis_runs WHERE run_id = %s::uuid"


@dataclass(frozen=True)
class Outcome:
    """Numbers of spans; the attempts of the analysis asked for meanwhile, as (status, reason, detail); a later one."""

    port: int
    away_s: float
    acknowledged: int
    acknowledged_meanwhile: int
    stored: int
    different: int
    attempts: Sequence[tuple[str, str, str]]
    scanned: int

    @property
    def problems(self) -> list[str]:
        """Return what is not as required."""
        found = []
        if self.different != self.acknowledged:
            found.append(f"{self.acknowledged - self.different} acknowledged spans are not stored")
        if self.stored != self.different:
            found.append(f"{self.stored - self.different} spans are stored again")
        *failed, last = self.attempts
        if not failed or last[0] != "SUCCEEDED":
            found.append(f"attempts: {self.attempts}")
        for _, reason, detail in failed:
            if reason != "WORKER_LOST" or f":{self.port}" not in detail:
                found.append(f"unclear reason: {reason}, {detail}")
        if self.scanned != self.acknowledged:
            found.append(f"an analysis saw {self.scanned} of {self.acknowledged} spans")
        return found


@dataclass(frozen=True)
class Node:
    """A worker node on this machine: the id, arguments, environment and user of its server."""

    process: int
    arguments: list[bytes]
    environment: dict[bytes, bytes]
    user: int
    group: int
    port: int

    @contextmanager
    def away(self) -> Iterator[None]:
        """Kill the server, and start it again when the block ends."""
        os.kill(self.process, signal.SIGQUIT)
        until(lambda: not Path(f"/proc/{self.process}").exists(), "the node is gone")
        try:
            yield
        finally:
            subprocess.run(
                ["setsid", "--fork", *self.arguments],
                env=self.environment,
                user=self.user,
                group=self.group,
                extra_groups=[],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )


def node(url: str) -> Node:
    """Return a worker node; skip the test if it is not on this machine."""
    [(folder, port)] = run_alone(url, "SELECT current_setting('data_directory'), current_setting('port')::integer")
    file = Path(folder) / "postmaster.pid"
    need(file.exists() and os.geteuid() == 0, "the nodes of the cluster are not on this machine, or we are not root")
    process = int(file.read_text().split()[0])
    entry = Path(f"/proc/{process}")
    variables = dict(part.split(b"=", 1) for part in (entry / "environ").read_bytes().split(b"\0") if b"=" in part)
    arguments = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
    return Node(process, arguments, variables, file.stat().st_uid, file.stat().st_gid, port)


@contextmanager
def database_on(cluster: Cluster) -> Iterator[str]:
    """Create a database without tables on a cluster, and yield its address."""
    name = f"{cluster.prefix}accepted"
    cluster.administer(f"CREATE DATABASE {name} TEMPLATE {cluster.empty()}")
    try:
        yield cluster.url(name)
    finally:
        cluster.administer(f"DROP DATABASE {name} WITH (FORCE)")


class Client:
    """A client that posts spans, each until it is acknowledged, while the block runs."""

    def __init__(self, receiver: Served) -> None:
        self.acknowledged = 0
        self._receiver = receiver
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._post)

    def __enter__(self) -> "Client":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until more spans are acknowledged."""
        upto = self.acknowledged + more
        until(lambda: self.acknowledged >= upto, "spans are acknowledged", by=self._receiver.running)

    def _post(self) -> None:
        while not self._ended.is_set():
            body = as_json(f"work {self.acknowledged}")
            while self._receiver.post(body) != 200:
                time.sleep(0.1)
            self.acknowledged += 1


def lose_a_node(home: Path, cluster: Cluster, url: str, seconds: float) -> Outcome:
    """Take a worker node away for ``seconds``, or longer if an analysis needs that to fail; return what happened."""
    worker = node(cluster.nodes[1])
    variables = {PREFIX + "DATABASE_URL": url, PREFIX + "SENSOR_INTERVAL": "5"}
    home.mkdir(mode=0o711)
    migrated = run(home / "daemon", "migrate", "--distributed", **variables)
    assert migrated.code == 0, migrated.err
    with (
        serving(home / "receiver", **variables) as receiver,
        started(home / "daemon", "worker", variables=variables) as daemon,
        closing(Database(outside(url, "dagster"))) as db,
    ):
        analysed(db, daemon)
        with Client(receiver) as client:
            client.wait_for(50)
            with worker.away():
                began, before = time.monotonic(), client.acknowledged
                run_id = asked_for(db)
                until(lambda: attempts(db, run_id)[0][0] == "FAILED", "the analysis fails", by=daemon)
                client.wait_for(50)
                until(lambda: time.monotonic() - began >= seconds, "the outage is long enough")
                away_s, meanwhile = time.monotonic() - began, client.acknowledged - before
            until(lambda: answers(cluster.nodes[1], urlsplit(url).path.strip("/")), "the node is back")
            client.wait_for(50)
        stored = "SELECT count(*), count(DISTINCT span_name) FROM workflow_trace_log"
        until(lambda: db.rows(stored)[0][1] >= client.acknowledged, "all spans are stored", by=receiver.running)
        until(lambda: attempts(db, run_id)[-1][0] not in ("QUEUED", "RUNNING"), "the last attempt ends", by=daemon)
        scanned = db.rows(_SCANNED, (analysed(db, daemon),))[0][0]
        [(rows, different)] = db.rows(stored)
        tried = attempts(db, run_id)
        return Outcome(worker.port, away_s, client.acknowledged, meanwhile, rows, different, tried, scanned)


def asked_for(db: Database, end: datetime | None = None) -> str:
    """Queue an analysis whose window ends then, by default when it starts, and return its id."""
    with db.transaction() as cursor:
        cursor.execute("SELECT run_id::text FROM enqueue_telemetry_analysis()")
        [(run_id,)] = cursor.fetchall()
        cursor.execute(_ENDS, (end, run_id))
    return run_id


def analysed(db: Database, daemon: Running, end: datetime | None = None) -> str:
    """Queue an analysis, wait until the daemon has finished it, and return its id."""
    run_id = asked_for(db, end)
    until(lambda: attempts(db, run_id)[-1][0] not in ("QUEUED", "RUNNING"), "an analysis ends", by=daemon)
    assert attempts(db, run_id)[-1][0] == "SUCCEEDED", attempts(db, run_id)
    return run_id


def attempts(db: Database, run_id: str) -> list[tuple[str, str, str]]:
    """Return the attempts of an analysis, first to last."""
    return [(status, reason, detail) for status, reason, detail in db.rows(_ATTEMPTS, (run_id,))]


def answers(url: str, database: str) -> bool:
    """Return whether a node accepts connections to a database."""
    try:
        psycopg2.connect(urlsplit(url)._replace(path=f"/{database}").geturl()).close()
    except psycopg2.OperationalError:
        return False
    return True
