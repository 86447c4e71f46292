"""On a Citus cluster, commands print what they print on one server, and nothing is lost while a worker is away."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leo_telemetry_pipeline.sample import generated
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store import open_spans, spans
from leo_telemetry_pipeline.store.days import milliseconds
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline_tests.builders import execute, midnight, span
from leo_telemetry_pipeline_tests.cluster_trials import analysed, database_on, lose_a_node
from leo_telemetry_pipeline_tests.processes import ROOT, Done, run, started, until
from leo_telemetry_pipeline_tests.receiver_process import as_json, serving
from leo_telemetry_pipeline_tests.servers import CITUS, EMBEDDED, Cluster, Servers

URL = PREFIX + "DATABASE_URL"
NEZHA = ROOT / "examples" / "data" / "nezha-2022-08-23" / "13_28.csv.gz"
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Ids, durations of runs, moments, names of files, and sizes of partitions.
_OWN = re.compile(rf"{_UUID}|\d+ms\)|[\d.]+ [kM]B|\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.+:\d]*|/\S+/")
# The daemon's analyses end at the same moment in both databases: the time lost per week depends on it.
_END = datetime.now(UTC).replace(second=0, microsecond=0)
ANALYZED = (
    ("analyze", "--window-end", "2022-08-24", "--project", "nezha"),
    ("analyze", "--window-end", f"{midnight():%Y-%m-%d}"),
)
_FOLLOWED = """
SELECT r.status FROM dagster.runs AS r JOIN dagster.run_tags AS t USING (run_id)
WHERE r.pipeline_name = 'leo_telemetry_insights_job' AND t.key = 'leo_telemetry/follows' AND t.value = %s
"""
SHOWN = (
    ("findings", "--verbose"),
    ("trends",),
    ("trends", "gate:GATE_PRD_REQUIRED"),
    ("analyze", "--dry-run", "--verbose", "--window-end", "2022-08-24", "--project", "nezha"),
    ("why", "subagent:DESIGN"),
    ("why", "--json", "handoff:PLAN-TO-EXEC"),
    ("compare", "gate:GATE_PRD_REQUIRED", "gate:GATE_CODE_REVIEW"),
    ("compare", "subagent:DESIGN", "--at", f"{midnight(7):%Y-%m-%d}"),
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
    with database_on(cluster) as url:
        yield url


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
        # As if they had come at the time: spans that came lately are not dropped.
        execute(db, "UPDATE workflow_trace_log SET created_at = to_timestamp(start_time_ms / 1000.0)")
        found: dict[tuple[str, ...], str] = {("serve",): received(home, db, variables)}
        for words in ANALYZED:
            found[words] = ok(home, *words, **variables).out
        found["worker",] = worked(home, db, variables)
        found["running", "--json"] = operations(home, db, variables)
    for words in SHOWN:
        found[words] = (done := ok(home, *words, **variables)).out + done.err
    archived = sorted((home / "archive").glob("*.parquet"))
    assert archived
    for words in (("import",), ("import", "again")):
        found[words] = ok(home, "import", *map(str, archived), **variables).out
    return {words: _OWN.sub("#", text) for words, text in found.items()}


def received(home: Path, db: Database, variables: Mapping[str, str]) -> str:
    """Send spans of yesterday to `serve`, each once without its end and twice with it; return what is stored."""
    first = milliseconds(midnight(1) + timedelta(hours=9)) * 1_000_000
    with serving(home, **variables) as receiver:
        for number in range(60):
            ids = {"traceId": f"{number + 1:032x}", "spanId": f"{number + 1:016x}"}
            start = first + number * 60 * 10**9
            for end in (None, start + (number + 1) * 10**6, start + (number + 1) * 10**6):
                times = {"startTimeUnixNano": str(start), "endTimeUnixNano": str(end or 0)}
                assert receiver.post(as_json("received", **ids, **times)) == 200
        stored = "SELECT count(*), sum(duration_ms) FROM workflow_trace_log WHERE span_name = 'received'"
        until(lambda: db.rows(stored) == [(60, 1830)], "all spans have their end", by=receiver.running)
        return str(db.rows(stored))


def worked(home: Path, db: Database, variables: Mapping[str, str]) -> str:
    """Let a daemon execute an analysis and what follows it, interrupt it, and return how the analysis ended."""
    with started(home, "worker", variables={**variables, PREFIX + "SENSOR_INTERVAL": "5"}) as daemon:
        run_id = analysed(db, daemon, _END)
        until(lambda: db.rows(_FOLLOWED, (run_id,)) == [("SUCCESS",)], "insights are made", by=daemon)
        daemon.interrupt()
        assert daemon.ended() == 0, daemon.tail()
    ended = (
        "SELECT status, reason_code, metadata->>'traces_scanned' FROM telemetry_analysis_runs WHERE run_id = %s::uuid"
    )
    return str(db.rows(ended, (run_id,)))


def operations(home: Path, db: Database, variables: Mapping[str, str]) -> str:
    """Announce operations in progress, and return which `running` shows, with their time-outs."""
    opened = [span("gate", name, None) for name in ("GATE_PRD_REQUIRED", "GATE_CODE_REVIEW")]
    open_spans.announce(db, opened, [], host="here", pid=1)
    shown = json.loads(ok(home, "running", "--json", **variables).out)
    return str(sorted((each["span_name"], each["time_out_s"]) for each in shown))


def test_commands_print_on_a_cluster_what_they_print_on_one_server(home: Path, cluster_url: str, server_url: str):
    """Lost: after a move to a cluster, numbers change, or commands fail, and nobody can tell why."""
    home.mkdir(mode=0o711)
    expected = printed(home / "one", server_url)
    found = printed(home / "cluster", cluster_url, "--distributed")
    for words, shown in expected.items():
        assert found[words] == shown, words


def test_while_a_worker_node_is_away_no_acknowledged_span_is_lost(home: Path, cluster: Cluster, cluster_url: str):
    """Lost: spans, each time that a node of the cluster restarts; and every analysis meanwhile."""
    outcome = lose_a_node(home, cluster, cluster_url, 0)
    assert not outcome.problems, outcome
