"""The exporter for the OpenTelemetry SDK: a Python program stores its spans directly, in a real PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import Status, StatusCode, Tracer

from leo_telemetry_pipeline.otel import OTelSpanExporter
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline.store.sink import DatabaseSink
from leo_telemetry_pipeline.store.spool_drain import drain
from leo_telemetry_pipeline.writer.writer import Unavailable, Writer

ROWS = "SELECT span_type, span_name, status, project, sd_id, attributes FROM workflow_trace_log ORDER BY span_name"


class Straight:
    """A writer without a queue: it stores spans at once, or raises."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def submit(self, made: list[Span], removed: dict[str, int]) -> int:
        """Store spans at once."""
        return spans.store(self._db, made, removed).quarantined

    def flush(self, timeout_s: float) -> bool:
        """Return True: nothing waits."""
        return timeout_s > 0


@pytest.fixture
def exporter(db: Database) -> OTelSpanExporter:
    return OTelSpanExporter(project="shop", writer=Straight(db))


@pytest.fixture(params=[SimpleSpanProcessor, BatchSpanProcessor])
def provider(exporter: OTelSpanExporter, request: pytest.FixtureRequest) -> Iterator[TracerProvider]:
    made = TracerProvider(resource=Resource({"service.name": "api", "host.name": "anna", "leo.sd_id": "SD-1"}))
    processor: SpanProcessor = request.param(exporter)
    made.add_span_processor(processor)
    yield made
    made.shutdown()


def work(tracer: Tracer) -> None:
    """Record a gate with a failing tool below it."""
    given = {
        "leo.span_type": "gate",
        "leo.span_name": "GATE_X",
        "leo.parts": ["a", "b"],
        "user.id": "anna",
        "prompt": "x",
    }
    with tracer.start_as_current_span("check", attributes=given):
        tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
        with tracer.start_as_current_span("execute_tool search", attributes=tool) as span:
            span.record_exception(KeyError("cart"))
            span.set_status(Status(StatusCode.ERROR, "no such cart"))


def test_spans_of_the_sdk_arrive_with_their_parents_and_meaning(db: Database, provider: TracerProvider) -> None:
    """Lost: instrumented programs would have to be instrumented again."""
    work(provider.get_tracer("t"))
    assert provider.force_flush()
    gate, tool = db.rows(ROWS)
    assert gate[:5] == ("gate", "GATE_X", None, "shop", "SD-1")
    assert gate[5] == {"service.name": "api", "parts": ["a", "b"]}
    assert tool[:5] == ("tool", "search", "ERROR", "shop", "SD-1")
    assert {"status_message": "no such cart", "error.type": "KeyError"}.items() <= tool[5].items()
    linked = (
        "SELECT count(*) FROM workflow_trace_log c JOIN workflow_trace_log p"
        " ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id"
    )
    assert db.rows(linked) == [(1,)]
    keys = {key for [key] in db.rows("SELECT key FROM telemetry_removed_keys")}
    assert keys == {
        "user.id",
        "prompt",
        "host.name",
    }


def test_an_invalid_span_is_rejected_alone(
    db: Database, exporter: OTelSpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost: the rest of its batch; or the reason why it was rejected."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for span_type in ("a+b", "gate", "c+d"):
        provider.get_tracer("t").start_span("x", attributes={"leo.span_type": span_type}).end()
    provider.shutdown()
    assert [row[0] for row in db.rows(ROWS)] == ["gate"]
    assert (exporter.rejected, len(exporter.reasons)) == (2, 1)
    [line] = [record.getMessage() for record in caplog.records if "rejected" in record.getMessage()]
    assert "dimension grammar" in line
    assert "a+b" not in line
    assert not exporter.force_flush()


def test_an_exporter_that_was_shut_down_or_cannot_write_returns_failure_and_never_raises(db: Database) -> None:
    """Lost: telemetry would break the measured program, or flood its log."""
    ended = TracerProvider().get_tracer("t").start_span("x")
    ended.end()
    assert isinstance(ended, ReadableSpan)
    nowhere = Database(outside("postgresql://nobody@127.0.0.1:1/none", "dagster"), timeout_s=1)
    assert OTelSpanExporter(writer=Straight(nowhere)).export([ended]) is SpanExportResult.FAILURE
    exporter = OTelSpanExporter(writer=Straight(db))
    assert exporter.export([ended]) is SpanExportResult.SUCCESS
    exporter.shutdown()
    assert exporter.export([ended]) is SpanExportResult.FAILURE


def test_success_is_returned_only_for_a_batch_that_was_accepted_completely(db: Database, tmp_path: Path) -> None:
    """Lost: the SDK and its user would believe that rejected or dropped spans are stored."""
    tracer = TracerProvider().get_tracer("t")
    ended = [tracer.start_span("x", attributes={"leo.span_type": kind}) for kind in ("gate", "gate", "a+b")]
    for each in ended:
        each.end()
    good, other, bad = (each for each in ended if isinstance(each, ReadableSpan))
    exporter = OTelSpanExporter(writer=Straight(db))
    assert exporter.export([good]) is SpanExportResult.SUCCESS
    assert exporter.force_flush()
    assert exporter.export([other, bad]) is SpanExportResult.FAILURE
    assert not exporter.force_flush()
    assert db.rows("SELECT count(*) FROM workflow_trace_log") == [(2,)]

    def nowhere() -> DatabaseSink:
        raise Unavailable("away")

    full = Writer(nowhere, folder=str(tmp_path / "spool"), queue_spans=1)
    full.state.parked = False  # The thread does not start, so nothing leaves the queue.
    exporter = OTelSpanExporter(writer=full)
    assert exporter.export([good]) is SpanExportResult.SUCCESS
    assert exporter.export([other]) is SpanExportResult.FAILURE
    assert not exporter.force_flush(100)
    full.close()
    assert full.counters() == {"created": 2, "stored": 0, "spooled": 1, "dropped": {"queue_full": 1}, "queued": 0}


def test_the_disabled_exporter_stores_nothing(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: LEO_TELEMETRY_ENABLED=false would not switch off everything."""
    monkeypatch.setenv(PREFIX + "ENABLED", "false")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTelSpanExporter(writer=Straight(db))))
    work(provider.get_tracer("t"))
    assert provider.force_flush()
    provider.shutdown()
    assert db.rows(ROWS) == []


PROGRAM = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from leo_telemetry_pipeline.writer.writer import Unavailable, Writer
from leo_telemetry_pipeline.otel import OTelSpanExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTelSpanExporter()))
for number in range(300):
    provider.get_tracer("t").start_span(f"work {number % 3}").end()
"""


def test_a_program_that_just_ends_leaves_all_its_spans(db: Database, settings: Settings) -> None:
    """Lost: the spans of every short script, whose last batch may come after the writer has closed."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    drain(db, settings.home, "test")
    assert db.rows("SELECT count(*) FROM workflow_trace_log") == [(300,)]


def test_without_the_sdk_one_line_names_what_to_install() -> None:
    """Lost: users get a traceback about a module that they never named."""
    code = "import sys; sys.modules['opentelemetry.sdk.trace'] = None; import leo_telemetry_pipeline.otel"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: OTelSpanExporter needs the OpenTelemetry SDK: pip install 'leo-telemetry-pipeline[otel]'"
    )
