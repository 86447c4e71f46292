"""On a Citus cluster, commands print what they print on one server, and nothing is lost while a worker is away."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from leo_telemetry_pipeline.errors import NO_DATABASE
from leo_telemetry_pipeline.sample import generated
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store import runs, spans
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline_tests.builders import execute, midnight, row
from leo_telemetry_pipeline_tests.processes import ROOT, Done, has_line, need, run, until
from leo_telemetry_pipeline_tests.receiver_process import as_json, serving
from leo_telemetry_pipeline_tests.servers import CITUS, EMBEDDED, Cluster, Servers, run_alone

URL = PREFIX + "DATABASE_URL"
NEZHA = ROOT / "examples" / "data" / "nezha-2022-08-23" / "13_28.csv.gz"
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Ids, durations of runs, moments, names of files and sizes of partitions.
_OWN = re.compile(rf"{_UUID}|\d+ms\)|[\d.]+ [kM]B|\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.+:\d]*|/\S+/")
SHOWN = (
    ("findings", "--verbose"),
    ("trends",),
    ("trends", "gate:GATE_PRD_REQUIRED"),
    ("analyze", "--dry-run", "--verbose", "--window-end", "2022-08-24", "--project", "nezha"),
    ("why", "subagent:DESIGN"),
    ("why", "--json", "handoff:PLAN-TO-EXEC"),
    ("compare", "gate:GATE_PRD_REQUIRED", "gate:GATE_CODE_REVIEW"),
    ("compare", "subagent:DESIGN", "--at", f"{midnight(7):%Y-%m-%d}"),
    ("running",),
    ("maintain", "--recount"),
    ("analyze", "--dry-run", "--window-end", f"{midnight():%Y-%m-%d}"),
    ("maintain", "--dry-run"),
    ("maintain",),
    ("purge", "--project", "nezha", "--yes"),
    ("purge", "--before", f"{midnight(30):%Y-%m-%d}", "--yes"),
    ("trends",),
)


@pytest.fixture
def cluster(servers: Servers) -> Cluster:
    """Return the named cluster; without one, skip the test."""
    found = servers.get(CITUS)
    assert isinstance(found, Cluster)
    return found


@pytest.fixture
def cluster_url(cluster: Cluster) -> Iterator[str]:
    """Return the address of a database on the cluster, without tables."""
    name = f"{cluster.prefix}accepted"
    cluster.administer(f"CREATE DATABASE {name} TEMPLATE {cluster.empty()}")
    try:
        yield cluster.url(name)
    finally:
        cluster.administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def server_url(servers: Servers) -> Iterator[str]:
    """Return the address of a database on one server, without tables."""
    server = servers.get(EMBEDDED)
    server.administer("CREATE DATABASE beside_a_cluster")
    try:
        yield server.url("beside_a_cluster")
    finally:
        server.administer("DROP DATABASE beside_a_cluster WITH (FORCE)")


def ok(home: Path, *words: str, **variables: str) -> Done:
    """Run a command, which must succeed."""
    done = run(home, *words, **variables)
    assert done.code == 0, done.out + done.err
    return done


def printed(home: Path, url: str, *migrate: str) -> dict[tuple[str, ...], str]:
    """Return what commands print about the demo's history and a sample of Nezha, without ids and moments."""
    variables = {URL: url, PREFIX + "ARCHIVE": str(home / "archive"), PREFIX + "KEEP": "40d"}
    home.mkdir(mode=0o700)
    ok(home, "migrate", *migrate, **variables)
    with closing(Database(outside(url, "dagster"))) as db:
        spans.ensure_partitions(db, midnight(generated.DAYS), midnight())
        spans.insert(db, generated.generate(midnight()))
    ok(home, "import", "--preset", "nezha", "--project", "nezha", str(NEZHA), **variables)
    with closing(Database(outside(url, "dagster"))) as db:
        # As if they had come at the time: spans that came lately are not dropped.
        execute(db, "UPDATE workflow_trace_log SET created_at = to_timestamp(start_time_ms / 1000.0)")
    ok(home, "analyze", "--window-end", "2022-08-24", "--project", "nezha", **variables)
    ok(home, "analyze", "--window-end", f"{midnight():%Y-%m-%d}", **variables)
    found = {words: run(home, *words, **variables) for words in SHOWN}
    for words, done in found.items():
        assert done.code == 0, (words, done.out + done.err)
    archived = sorted((home / "archive").glob("*.parquet"))
    assert archived
    restored = ok(home, "import", *map(str, archived), **variables)
    return {
        **{words: _OWN.sub("#", done.out + done.err) for words, done in found.items()},
        ("import",): _OWN.sub("#", restored.out),
        ("again",): _OWN.sub("#", ok(home, "import", *map(str, archived), **variables).out),
    }


def test_commands_print_on_a_cluster_what_they_print_on_one_server(home: Path, cluster_url: str, server_url: str):
    """Lost: after a move to a cluster, numbers change, or commands fail, and nobody can tell why."""
    home.mkdir(mode=0o711)
    expected = printed(home / "one", server_url)
    found = printed(home / "cluster", cluster_url, "--distributed")
    for words, shown in expected.items():
        assert found[words] == shown, words


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


def test_while_a_worker_node_is_away_no_acknowledged_span_is_lost(home: Path, cluster: Cluster, cluster_url: str):
    """Lost: spans, each time that a node of the cluster restarts."""
    database = urlsplit(cluster_url).path.strip("/")
    worker = node(cluster.nodes[1])
    variables = {URL: cluster_url, PREFIX + "SENSOR_INTERVAL": "5"}
    ok(home, "migrate", "--distributed", **variables)
    posted: list[str] = []
    ended = threading.Event()
    with serving(home, **variables) as receiver, closing(Database(outside(cluster_url, "dagster"))) as db:

        def post() -> None:
            while not ended.is_set():
                name = f"work {len(posted)}"
                if receiver.post(as_json(name)) == 200:
                    posted.append(name)

        def enough(more: int) -> None:
            upto = len(posted) + more
            until(lambda: len(posted) > upto, "spans are acknowledged", by=receiver.running)

        client = threading.Thread(target=post)
        client.start()
        try:
            enough(50)
            with worker.away():
                enough(50)
                failed = run(home, "analyze", **variables)
                assert failed.code == NO_DATABASE, failed.out + failed.err
                has_line(failed, f":{worker.port}")
                [(run_id,)] = db.rows("SELECT run_id::text FROM telemetry_analysis_runs")
                lost = until(lambda: reaped(db, run_id), "the run is lost")
                assert lost.reason_code == "WORKER_LOST"
                assert f":{worker.port}" in (lost.error_detail or "")
            until(lambda: answers(cluster.nodes[1], database), "the node is back")
            enough(50)
        finally:
            ended.set()
            client.join()
        stored = "SELECT count(*), count(DISTINCT span_name) FROM workflow_trace_log"
        until(lambda: db.rows(stored) == [(len(posted),) * 2], f"{len(posted)} spans are stored", by=receiver.running)
        ok(home, "worker", "--once", **variables)
        [(retry, scanned)] = db.rows(
            "SELECT status, (metadata->>'traces_scanned')::integer FROM telemetry_analysis_runs"
            " WHERE retry_of = %s::uuid",
            (run_id,),
        )
        assert (retry, scanned) == ("SUCCEEDED", len(posted))


def reaped(db: Database, run_id: str) -> Run | None:
    """End lost runs, as each program does that looks for work, and return the run if it is one of them."""
    runs.reap(db)
    found = row(db, run_id)
    return found if found.status in runs.FINAL else None


def answers(url: str, database: str) -> bool:
    """Return whether a node accepts connections to a database."""
    try:
        psycopg2.connect(urlsplit(url)._replace(path=f"/{database}").geturl()).close()
    except psycopg2.OperationalError:
        return False
    return True
