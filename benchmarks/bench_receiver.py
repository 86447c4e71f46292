"""The receiver, from request to response, against decoding the same requests and a bare COPY of their rows.

Belongs here: the measurements. Does not: the measured code.

The reference decodes with protobuf's classes in this process, in one transaction per request, without redaction or
deduplication. Both alternate, into one table.
"""

import io
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks import otlp_clients, otlp_requests, served
from benchmarks.measure import Budget, Options, alternating, judge, run
from benchmarks.otlp_requests import JSON, PROTOBUF
from benchmarks.served import Receiver
from benchmarks.table import Measured
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database

LARGE, ATTRIBUTES = 8_192, 12
CLIENTS, SECONDS = 50, 5.0


def rows(body: bytes) -> str:
    """Return the spans of a request as lines for COPY."""
    lines = []
    for part in ExportTraceServiceRequest.FromString(body).resource_spans:
        for span in (span for scope in part.scope_spans for span in scope.spans):
            attributes = {
                pair.key: pair.value.string_value or pair.value.int_value
                for pair in (*span.attributes, *part.resource.attributes)
            }
            start, end = span.start_time_unix_nano // 10**6, span.end_time_unix_nano // 10**6
            ids = uuid.UUID(bytes=span.trace_id), uuid.UUID(bytes=bytes(8) + span.span_id)
            lines.append(
                f"{ids[0]}\t{ids[1]}\toperation\t{span.name}\t{start}\t{end}\t{end - start}\t{json.dumps(attributes)}\n"
            )
    return "".join(lines)


_COLUMNS = "trace_id, span_id, span_type, span_name, start_time_ms, end_time_ms, duration_ms, attributes"


def copy(db: Database, body: bytes) -> None:
    """Decode a request and copy its rows."""
    with db.transaction() as cursor:
        cursor.copy_expert(f"COPY workflow_trace_log ({_COLUMNS}) FROM STDIN", io.StringIO(rows(body)))


def measurements(options: Options) -> Iterator[Measured]:
    """Measure large requests, and small ones from many clients."""
    served.more_files(CLIENTS + 200)
    with served.receiver() as receiver, closing(Database(receiver.target())) as db:
        now = datetime.now(UTC)
        spans.ensure_partitions(db, now - timedelta(days=1), now)
        for form in (PROTOBUF, JSON):
            yield _large(receiver, db, form, options)
        yield _small(receiver, db, options)


def _large(receiver: Receiver, db: Database, form: str, options: Options) -> Measured:
    rounds = 2 if options.quick else 7
    seeds = iter(range(1 << 40, 1 << 41))
    sent = [otlp_requests.body(next(seeds), LARGE, ATTRIBUTES, form) for _ in range(rounds + 1)]
    reference = [otlp_requests.body(next(seeds), LARGE, ATTRIBUTES) for _ in range(rounds + 1)]
    with receiver.connected() as line:

        def post() -> None:
            assert receiver.post(line, sent.pop(), form) == (200, 0)

        took = alternating({"ours": post, "reference": lambda: copy(db, reference.pop())}, rounds)
    what = f"receiving {form.rpartition('-')[2].rpartition('/')[2]}: {LARGE:,} spans × {ATTRIBUTES} attributes"
    budget = Budget(0.3 if form == PROTOBUF else 0.2, at_least=True)
    copied = ("decode and COPY", LARGE / took["reference"])
    return judge(what, LARGE / took["ours"], "/s", budget, options, reference=copied)


def _small(receiver: Receiver, db: Database, options: Options) -> Measured:
    seconds = SECONDS / 2 if options.quick else SECONDS
    began = time.perf_counter()
    sent = otlp_clients.send(receiver.port, CLIENTS, 0.0, seconds, 1 << 20)
    ours = sent.requests / (time.perf_counter() - began)
    began, copied = time.perf_counter(), 0
    while time.perf_counter() < began + seconds:
        copy(db, otlp_requests.body((1 << 42) + copied, copied % 5 + 1, 4))
        copied += 1
    reference = ("decode and COPY, one after another", copied / (time.perf_counter() - began))
    what, budget = f"receiving small requests: {CLIENTS} clients, 1 to 5 spans each", Budget(0.5, at_least=True)
    return judge(what, ours, "/s", budget, options, reference=reference)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
