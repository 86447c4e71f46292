"""Cost of a span to its caller: at most 1/8 of OpenTelemetry's, and little while the database hangs.

Belongs here: the four measurements. Does not: the measured code.

Spans have the same two attributes and are discarded in the background: by OpenTelemetry's BatchSpanProcessor with a
null exporter, and by our writer with a null sink.
"""

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from types import SimpleNamespace

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.measure import HOME, Budget, Options, alternating, environment, home, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.tracing.tracer import Tracer
from leo_telemetry_pipeline.writer.worker_thread import BATCH
from leo_telemetry_pipeline.writer.writer import Writer

# Few enough that no batch starts within a round: only the caller's side is measured.
SPANS = 400
PACE = 10_000
# Long enough for one timeout of the database and a retry.
PACED = 3 * PACE
TIGHT = 20_000
ROUNDS = 5
# If at most 1 % of the spans take longer than this, their p99 is at most this.
SLOW_US = 50
OTEL = "OpenTelemetry SDK"


class NullExporter(SpanExporter):
    """Discards OpenTelemetry's spans."""

    def export(self, spans) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS


class NullSink:
    """Discards our spans."""

    def store(self, spans, removed) -> SimpleNamespace:  # noqa: ARG002
        return SimpleNamespace(new=len(spans), quarantined=0)

    def announce(self, opened, ended) -> None:
        pass

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


@contextlib.contextmanager
def both() -> Iterator[tuple[Tracer, object, Callable[[], object]]]:
    """Yield our tracer and OpenTelemetry's, each with a complete pipeline, and a function that flushes both."""
    folder = tempfile.mkdtemp(prefix="leo-bench-")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(NullExporter()))
    writer = Writer(NullSink, folder=folder)  # type: ignore[arg-type]
    try:
        yield Tracer(writer), provider.get_tracer("bench"), lambda: (writer.flush(10), provider.force_flush())
    finally:
        writer.close()
        provider.shutdown()
        shutil.rmtree(folder)


def one_span(options: Options) -> Measured:
    """Compare one span with one of OpenTelemetry's."""
    with both() as (tracer, otel, settle):

        def ours() -> None:
            for _ in range(SPANS):
                with tracer.gate("GATE_PRD_REQUIRED", sd_type="feature", attempt=1):
                    pass

        def theirs() -> None:
            for _ in range(SPANS):
                with otel.start_as_current_span(  # type: ignore[attr-defined]
                    "GATE_PRD_REQUIRED", attributes={"sd_type": "feature", "attempt": 1}
                ):
                    pass

        took = alternating({"ours": ours, OTEL: theirs}, _rounds(options), warm=5, between=settle)
    mine, reference = (seconds / SPANS * 1e6 for seconds in took.values())
    return judge("a span: 2 attributes", mine, "us", Budget(1 / 8), options, reference=(OTEL, reference))


def one_handoff(options: Options) -> Measured:
    """Compare the 15 spans of a handoff with 15 of OpenTelemetry's."""
    with both() as (tracer, otel, settle):

        def ours() -> None:
            with tracer.handoff("LEAD-TO-PLAN", sd_id="SD-1", sd_type="feature"):
                for number in range(7):
                    with tracer.phase("PLAN", number=number), tracer.gate("GATE_PRD_REQUIRED") as gate:
                        gate.set(score=87)

        def theirs() -> None:
            start = otel.start_as_current_span  # type: ignore[attr-defined]
            with start("LEAD-TO-PLAN", attributes={"sd_id": "SD-1", "sd_type": "feature"}):
                for number in range(7):
                    with start("PLAN", attributes={"number": number}), start("GATE_PRD_REQUIRED") as gate:
                        gate.set_attribute("score", 87)

        took = alternating({"ours": ours, OTEL: theirs}, _rounds(options), warm=5, between=settle)
    mine, reference = (seconds * 1e3 for seconds in took.values())
    return judge("a handoff: 15 spans", mine, "ms", Budget(1, "ms"), options, reference=(OTEL, reference))


def _rounds(options: Options) -> int:
    return 30 if options.quick else 60


MEASURED = """
import sys, time
clock, who, pace, count = time.perf_counter_ns, sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
if who == "OpenTelemetry SDK":
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    class Null(SpanExporter):
        def export(self, spans):
            return SpanExportResult.SUCCESS
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Null()))
    otel = provider.get_tracer("bench")
    def one(number):
        with otel.start_as_current_span("GATE_PRD_REQUIRED", attributes={"sd_type": "feature", "attempt": number}):
            pass
else:
    from leo_telemetry_pipeline.trace import tracer
    if who == "held in memory":
        from collections import deque
        class Held(deque):
            end = deque.append
            def begin(self, operation):
                pass
        tracer.recorder = Held(maxlen=int(sys.argv[4]))
    def one(number):
        with tracer.gate("GATE_PRD_REQUIRED", sd_type="feature", attempt=number):
            pass
one(0)
time.sleep(1)
times, due = [], time.perf_counter()
for number in range(count):
    began = clock()
    one(number)
    times.append(clock() - began)
    if pace:
        # Busy waiting: sleep would add the wake-up time of the processor.
        due += 1 / pace
        while time.perf_counter() < due:
            pass
print(sorted(times)[int(count * 0.99)], sum(time > int(sys.argv[5]) for time in times))
"""
OURS, HELD = "ours", "held in memory"


def while_it_hangs(options: Options, how: str, pace: int, count: int, held: int) -> Measured:
    """Measure each span of a program whose database accepts connections and never answers.

    Virtual machines pause any program for 100 us at times, mostly on memory not touched for a while: up to 2 % of
    spans. The control is the same spans without writer and database, with the last ``held`` kept in memory like a
    pending batch. The excess over the control counts, in the median round; on a quiet machine the control is 0.
    """
    names = (OURS, HELD) if options.quick else (OURS, HELD, OTEL)
    count_of_rounds = 1 if options.quick else ROUNDS
    rounds = []
    with home() as folder, socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        environ = environment(**{HOME: str(folder), "LEO_TELEMETRY_DATABASE_URL": url})
        for _ in range(count_of_rounds):
            measured = {}
            for name in names:
                numbers = map(str, (pace, count, held, SLOW_US * 1000))
                command = [sys.executable, "-P", "-c", MEASURED, name, *numbers]
                done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
                p99_ns, slow = map(int, done.stdout.split())
                measured[name] = (p99_ns / 1000, slow / count * 100)
            rounds.append(measured)
    median = sorted(rounds, key=lambda one: one[OURS][1] - one[HELD][1])[count_of_rounds // 2]
    p99s = ", ".join(f"{name} {p99:.0f}" for name, (p99, _) in median.items())
    what = f"spans over {SLOW_US} us while the database hangs, {how}: {count:,}; their p99 in us: {p99s}"
    control = (HELD, median[HELD][1])
    return judge(what, median[OURS][1], "%", Budget(1, "%"), options, reference=control, over=True)


def measurements(options: Options) -> Iterator[Measured]:
    """Measure the caller's side."""
    yield one_span(options)
    yield one_handoff(options)
    yield while_it_hangs(options, f"{PACE:,}/s with work between", PACE, PACED, BATCH)
    yield while_it_hangs(options, "in a tight loop", 0, TIGHT, TIGHT)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
