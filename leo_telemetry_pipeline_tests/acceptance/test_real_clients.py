"""OpenTelemetry's exporters for Python and JavaScript send to the receiver: every span arrives with its parent.

Node and npm come with the development tools (pyright's); the JavaScript packages come from npm, checked by hash.
"""

import json
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline_tests import npm, processes
from leo_telemetry_pipeline_tests.processes import ROOT, finished, free_port, sees_processes, until

pytestmark = sees_processes

TOKEN = "only for friends"
NODE_CLIENT = Path(__file__).with_name("node_client")
# A program that uses OpenTelemetry's SDK as documented, and prints its spans.
PYTHON_CLIENT = """
import json
import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

compression = Compression.Gzip if sys.argv[1] == "gzip" else Compression.NoCompression
provider = TracerProvider(resource=Resource.create({"service.name": "python client"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(compression=compression), max_export_batch_size=16))
tracer = provider.get_tracer("client")
made = []


def nested(depth, attributes):
    with tracer.start_as_current_span(f"level {depth}", attributes=attributes) as span:
        context, parent = span.get_span_context(), span.parent
        made.append({
            "traceId": f"{context.trace_id:032x}",
            "spanId": f"{context.span_id:016x}",
            "parentSpanId": f"{parent.span_id:016x}" if parent else None,
            "name": f"level {depth}",
        })
        if depth < 4:
            nested(depth + 1, {"leo.span_type": "gate", "leo.gate_score": depth})
            nested(depth + 1, {})


nested(1, {"leo.span_type": "handoff", "leo.span_name": "LEAD-TO-PLAN", "leo.sd_type": "feature"})
nested(2, {"big": 2**53 + 2, "ratio": 0.25, "flag": True, "list": ["a", "b"]})
provider.shutdown()
print(json.dumps({"made": made}))
"""


@pytest.fixture(scope="module")
def receiver(short_folder: Path) -> Iterator[tuple[Path, int]]:
    """Run a receiver that requires a token; yield its home and port."""
    home, port = short_folder / "clients", free_port()
    variables = {PREFIX + "SERVE_TOKEN": TOKEN}
    with processes.started(home, "serve", "--port", str(port), variables=variables) as running:
        until(lambda: "/v1/traces" in running.said(), "the receiver is up", by=running)
        yield home, port


@pytest.fixture(scope="module")
def node_client() -> Iterator[Path]:
    """Install exactly the JavaScript packages of the lock file into their own folder."""
    folder = Path(tempfile.mkdtemp(prefix="leo-node-"))
    try:
        shutil.copytree(NODE_CLIENT, folder, dirs_exist_ok=True)
        with npm.or_skip():
            npm.install(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def are_in_the_table(home: Path, made: list[dict]) -> None:
    """Assert that spans are stored, each under its parent, roots without one."""

    def canonical(span_id: str | None) -> str | None:
        return span_id and str(uuid.UUID(int=int(span_id, 16)))

    assert len(made) == 22
    wanted = {
        (str(uuid.UUID(span["traceId"])), canonical(span["spanId"]), canonical(span["parentSpanId"])) for span in made
    }
    with closing(processes.inside(home)) as db:
        rows = db.rows(
            "SELECT trace_id::text, span_id::text, parent_span_id::text, span_type, span_name, attributes"
            " FROM workflow_trace_log WHERE trace_id = ANY(%s::uuid[])",
            (sorted({trace_id for trace_id, _, _ in wanted}),),
        )
    assert {row[:3] for row in rows} == wanted
    assert len(rows) == len(made)
    assert sorted(row[3] for row in rows).count("gate") == 7 + 3
    assert [row[4] for row in rows if row[3] == "handoff"] == ["LEAD-TO-PLAN"]
    assert {row[5]["gate_score"] for row in rows if row[3] == "gate"} == {1, 2, 3}


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_opentelemetry_for_python(compression: str, receiver: tuple[Path, int]):
    """Lost: every instrumented Python program."""
    home, port = receiver
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{TOKEN.replace(' ', '%20')}",
    }
    done = finished(
        [sys.executable, "-c", PYTHON_CLIENT, compression], processes.environment(home, **variables), cwd=ROOT
    )
    assert done.code == 0, done.err
    assert "Failed" not in done.err
    are_in_the_table(home, json.loads(done.out)["made"])


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("form", ["json", "proto"])
def test_opentelemetry_for_javascript(form: str, compression: str, receiver: tuple[Path, int], node_client: Path):
    """Lost: spans of every instrumented Node program, because its request bodies are chunked."""
    home, port = receiver
    command = [str(npm.NODE), "export.mjs", f"http://127.0.0.1:{port}", form, compression, TOKEN]
    done = finished(command, processes.environment(home), cwd=node_client)
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["results"] == [{"code": 0, "error": None}] * 2
    are_in_the_table(home, said["made"])


def test_opentelemetry_reports_a_wrong_token(receiver: tuple[Path, int], node_client: Path):
    """Lost: spans vanish without a message in the program that sent them."""
    home, port = receiver
    question = "SELECT count(*) FROM workflow_trace_log"
    with closing(processes.inside(home)) as db:
        before = db.rows(question)
        command = [str(npm.NODE), "export.mjs", f"http://127.0.0.1:{port}", "proto", "none", "wrong"]
        done = finished(command, processes.environment(home), cwd=node_client)
        assert done.code == 1
        assert "401" in done.err
        assert "missing or wrong" in done.err
        assert db.rows(question) == before
