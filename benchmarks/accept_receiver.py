"""The receiver at full size: requests of every size, the OpenTelemetry SDK, and thousands of clients.

Belongs here: lines 1 and 2 of issue 11. Does not: throughput (bench_receiver).
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks import measure, otlp_clients, otlp_requests, served
from benchmarks.figures import Figure
from benchmarks.otlp_requests import JSON, PROTOBUF
from benchmarks.served import Receiver

SPANS = (1, 512, 5_000, 8_192, 10_000)
ATTRIBUTES = (4, 12, 20, 40)
# Twice the largest body, as in the receiver's tests.
MOST_GROWTH_MB = 40
MOST_MB = 300
_CLIENTS = {True: (2_000, 5.0, 60.0, "4000"), False: (150, 1.0, 4.0, "100")}
_SDK_SPANS = 8_192

# A program that uses the SDK as documented, with all spans in one batch.
_SDK = """
import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

count, seed = int(sys.argv[2]), int(sys.argv[3])
exporter = OTLPSpanExporter(endpoint=sys.argv[1])
batches = BatchSpanProcessor(
    exporter, max_queue_size=2 * count, max_export_batch_size=count, schedule_delay_millis=600_000
)
provider = TracerProvider()
provider.add_span_processor(batches)
tracer = provider.get_tracer("accept")
for number in range(count):
    attributes = {f"leo.attribute_{key}": f"value-{number % 97}-{key}" for key in range(11)} | {"http.route": "/cart"}
    with tracer.start_as_current_span(f"GET /{number % 25}", attributes=attributes):
        pass
print(provider.force_flush(60_000))
"""


def parts(full: bool) -> list[str]:
    """Return the names of the parts; a small run uses one receiver for all but the clients."""
    if not full:
        return ["1 spans, 8192 spans, sdk", "clients"]
    return [*(f"{count} spans" for count in SPANS), "sdk", "clients"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:
    """Measure one part."""
    if part == "clients":
        yield from _clients(seed, full)
        return
    with served.receiver() as receiver:
        for load in part.split(", "):
            if load == "sdk":
                yield _sdk(receiver, seed)
            else:
                yield from _sizes(receiver, int(load.split()[0]), seed, full)


def _sizes(receiver: Receiver, spans: int, seed: int, full: bool) -> Iterator[Figure]:
    rng = random.Random(seed)
    _warm(receiver, rng)
    idle = receiver.megabytes()
    for attributes in ATTRIBUTES if full else ATTRIBUTES[1::2]:
        for form in (PROTOBUF, JSON):
            body = otlp_requests.body(rng.getrandbits(60), spans, attributes, form)
            yield _request(receiver, body, spans, form, idle, attributes)


def _request(receiver: Receiver, body: bytes, spans: int, form: str, idle: float, attributes: int) -> Figure:
    before = receiver.stored()
    receiver.forget_peak()
    began = time.monotonic()
    with receiver.connected() as line:
        status, rejected = receiver.post(line, body, form)
    took = time.monotonic() - began
    growth = receiver.megabytes("VmHWM") - idle
    new = receiver.stored() - before
    whole = (status, new, rejected) == (200, spans, 0) or (status, new) == (413, 0)
    return Figure(
        "11.1",
        f"{spans:,} spans × {attributes} attributes, {form.rpartition('/')[2]}, {len(body) / (1 << 20):.1f} MiB",
        f"all stored, or all refused with 413; under {MOST_GROWTH_MB} MiB more memory",
        f"{status}, {new:,} stored, {rejected} rejected, {growth:.0f} MiB more memory, {took:.2f} s",
        whole and growth < MOST_GROWTH_MB,
    )


def _warm(receiver: Receiver, rng: random.Random) -> None:
    # One-time allocations happen before the measurement.
    with receiver.connected() as line:
        for form in (PROTOBUF, JSON) * 3:
            receiver.post(line, otlp_requests.body(rng.getrandbits(60), 20, 12, form), form)


def _sdk(receiver: Receiver, seed: int) -> Figure:
    before = receiver.stored()
    address = f"http://127.0.0.1:{receiver.port}/v1/traces"
    command = [sys.executable, "-c", _SDK, address, str(_SDK_SPANS), str(seed)]
    done = subprocess.run(command, env=measure.environment(), capture_output=True, text=True, timeout=300)
    said = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
    stored = receiver.stored() - before
    return Figure(
        "11.1",
        f"OpenTelemetry's SDK for Python, one batch of {_SDK_SPANS:,} spans × 12 attributes",
        "all stored",
        f"{stored:,} stored, force_flush {said}",
        stored == _SDK_SPANS and said == "True" and not done.stderr.strip(),
    )


def _clients(seed: int, full: bool) -> Iterator[Figure]:
    count, every_s, seconds, most = _CLIENTS[full]
    served.more_files(count + 200)
    with served.receiver(SERVE_CLIENTS=most) as receiver:
        receiver.forget_peak()
        sent = otlp_clients.send(receiver.port, count, every_s, seconds, seed)
        peak, stored, metrics = receiver.megabytes("VmHWM"), receiver.stored(), receiver.metrics()
    what = f"{count:,} clients of at most {int(most):,}, each sending every {every_s:g} s for {seconds:g} s"
    seen = f"{stored:,} of {sent.spans:,} spans in {sent.requests:,} requests"
    again = sum(times for status, times in sent.statuses.items() if status != 200)
    closed = metrics["clients_closed_idle_total"]
    seen += f", {again} retries, {closed:.0f} idle connections closed, slowest answer {sent.slowest_s:.1f} s"
    yield Figure("11.2", what, "every span stored once", seen, stored == sent.spans and sent.lost == 0)
    yield Figure("11.2", f"memory with {count:,} clients", f"under {MOST_MB} MB", f"{peak:.0f} MB", peak < MOST_MB)
