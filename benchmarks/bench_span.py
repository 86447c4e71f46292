"""What a span costs its caller: at most 1/8 of OpenTelemetry's, and little while the database hangs (DESIGN section 8).

Belongs here: the three measurements, each with its line. Does not: anything that is measured.

Both sides give a span the same two attributes, and throw it away in the background: OpenTelemetry's SDK through its
BatchSpanProcessor with a null exporter, ours through the writer of a real program with a null sink.
"""

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from leo_telemetry_pipeline.collect.tracer import Tracer
from leo_telemetry_pipeline.collect.writer import Writer

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 60
# So few that neither side begins a batch within a round: it is the caller's side that is compared.
SPANS = 400
MOST_OF_OTEL = 1 / 8
HANDOFF_MS = 1.0
P99_US = 50.0
PACE = 2_000
PACED_S = 2
HANGS = 5
TIGHT = 20_000


class NullExporter(SpanExporter):
    """Takes OpenTelemetry's spans and does nothing with them."""

    def export(self, spans) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS


class NullSink:
    """Takes our spans and does nothing with them."""

    def store(self, spans, removed) -> SimpleNamespace:  # noqa: ARG002
        return SimpleNamespace(new=len(spans), quarantined=0)

    def announce(self, opened, ended) -> None:
        pass

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


def alternate(work: dict[str, Callable[[], None]], settle: Callable[[], object]) -> tuple[float, float]:
    """Return the medians in seconds of a call of each."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(ROUNDS + 5):
        for name, call in work.items():
            began = time.perf_counter()
            call()
            if number >= 5:
                times[name].append(time.perf_counter() - began)
            # What either does in the background must not fall into the other's round.
            settle()
    return statistics.median(times["ours"]), statistics.median(times["theirs"])


@contextlib.contextmanager
def both() -> Iterator[tuple[Tracer, object, Callable[[], object]]]:
    """Give our tracer and OpenTelemetry's, each with all that a program has behind it, and what empties both."""
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


def one_span() -> bool:
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

        mine, reference = (seconds / SPANS * 1e6 for seconds in alternate({"ours": ours, "theirs": theirs}, settle))
    ratio = mine / reference
    passed = ratio <= MOST_OF_OTEL
    print(
        f"a span with 2 attributes: {mine:.2f} us (OpenTelemetry SDK, BatchSpanProcessor, null exporter"
        f" {reference:.2f} us, ratio 1/{1 / ratio:.1f}, budget 1/8) {'PASS' if passed else 'FAIL'}"
    )
    return passed


def one_handoff() -> bool:
    """Compare the 15 spans of a handoff with as many of OpenTelemetry's."""
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

        mine, reference = (seconds * 1e3 for seconds in alternate({"ours": ours, "theirs": theirs}, settle))
    passed = mine <= HANDOFF_MS
    print(
        f"15 spans of a handoff: {mine:.3f} ms (OpenTelemetry {reference:.3f} ms, ratio 1/{reference / mine:.1f},"
        f" budget {HANDOFF_MS:.0f} ms) {'PASS' if passed else 'FAIL'}"
    )
    return passed


MEASURED = """
import sys, time
clock, pace, count = time.perf_counter_ns, float(sys.argv[2]), int(sys.argv[3])
if sys.argv[1] == "nothing":
    def one(number):
        pass
elif sys.argv[1] == "ours":
    from leo_telemetry_pipeline.trace import tracer
    def one(number):
        with tracer.gate("GATE_PRD_REQUIRED", sd_type="feature", attempt=number):
            pass
else:
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
one(0)
time.sleep(1)
times, due = [], time.perf_counter()
for number in range(count):
    began = clock()
    one(number)
    times.append(clock() - began)
    if pace:
        # Work, not sleep: what a processor needs to wake up would be measured, with and without a database.
        due += 1 / pace
        while time.perf_counter() < due:
            pass
print(sorted(times)[int(count * 0.99)])
"""


def while_it_hangs(pace: int, count: int) -> bool:
    """Measure each span of a program whose database accepts connections and never answers."""
    home = tempfile.mkdtemp(prefix="leo-bench-")
    times: dict[str, list[float]] = {"ours": [], "OpenTelemetry": [], "nothing": []}
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        port = silent.getsockname()[1]
        environ = os.environ | {
            "LEO_TELEMETRY_HOME": home,
            "LEO_TELEMETRY_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{port}/none",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        for _ in range(HANGS):
            for name, measured in times.items():
                command = [sys.executable, "-P", "-c", MEASURED, name, str(pace), str(count)]
                done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
                measured.append(int(done.stdout) / 1000)
    shutil.rmtree(home)
    mine, reference, nothing = (statistics.median(measured) for measured in times.values())
    passed = mine <= P99_US
    how = f"{pace:,} spans/s with work between them" if pace else "tight loop"
    print(
        f"p99 of a span while the database hangs, {how}: {mine:.1f} us"
        f" (median of {HANGS} runs; OpenTelemetry with a null exporter {reference:.1f} us, ratio"
        f" 1/{reference / mine:.1f}; a call that does nothing, at the same pace, {nothing:.1f} us;"
        f" budget {P99_US:.0f} us) {'PASS' if passed else 'FAIL'}"
    )
    return passed


def main() -> int:
    """Measure, print a line each, and return 1 on a miss."""
    passed = [one_span(), one_handoff(), while_it_hangs(PACE, PACE * PACED_S), while_it_hangs(0, TIGHT)]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    raise SystemExit(main())
