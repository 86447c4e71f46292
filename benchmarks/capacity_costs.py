"""What spans cost on a Citus cluster: bytes, and CPU of the receiver, the coordinator and the workers.

Belongs here: measuring. Does not: what teams need (capacity).
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from unittest import mock

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks import bench_ingest, clusters, generate
from benchmarks.clusters import Nodes
from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.dimensions import NAMED_ASSETS
from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.server import distributed
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.servers import Cluster

SPANS_PER_REQUEST = 500
_STORED = 50_000
# Without headers of rows and indexes, whose size says little with few rows.
HISTORY = """
SELECT count(DISTINCT (dimension_type, dimension_key)), sum(pg_column_size(buckets) + pg_column_size(counts))
FROM duration_histograms
"""


@dataclass(frozen=True)
class Storing:
    """Bytes of a stored span with its indexes, and the CPU in us that storing it takes."""

    bytes_per_span: float
    receiver_us: float
    coordinator_us: float
    workers_us: float


@dataclass(frozen=True)
class Counting:
    """CPU in seconds that counting some days takes, and the bytes of the buckets of their history."""

    spans: int
    dimensions: int
    days: int
    coordinator_s: float
    workers_s: float
    history_bytes: float

    @property
    def bytes_per_dimension_day(self) -> float:
        """Bytes of history per dimension and day."""
        return self.history_bytes / self.dimensions / self.days


def storing(cluster: Cluster) -> Storing:
    """Measure reading, redacting and storing spans."""
    policy, nodes, rows = redact.Policy(), Nodes.of(cluster), bench_ingest.made(_STORED)
    requests = [rows[at : at + SPANS_PER_REQUEST] for at in range(0, _STORED, SPANS_PER_REQUEST)]
    with clusters.clustered(cluster) as database, closing(Database(database.target)) as db:
        # Partitions are made ahead of their day.
        spans.store(db, rows)
        with db.transaction() as cursor:
            cursor.execute("TRUNCATE workflow_trace_log")
        empty = _span_bytes(db)
        bodies = [body(sent) for sent in requests]
        reading = _cpu(lambda: [otlp.read_protobuf(sent, policy=policy) for sent in bodies])
        before = nodes.cpu()
        sending = _cpu(lambda: [spans.store(db, sent) for sent in requests])
        servers = nodes.cpu().since(before)
        stored = _span_bytes(db) - empty
    return Storing(
        bytes_per_span=stored / _STORED,
        receiver_us=(reading + sending) / _STORED * 1e6,
        coordinator_us=servers.coordinator / _STORED * 1e6,
        workers_us=servers.workers / _STORED * 1e6,
    )


def counting(cluster: Cluster, count: int, dimensions: int, days: int, *, in_memory: bool = True) -> Counting:
    """Measure counting some days; ``in_memory`` as of a small day, otherwise as of a large one."""
    nodes = Nodes.of(cluster)
    most = histograms.MOST_IN_MEMORY if in_memory else 0
    with clusters.clustered(cluster) as database, closing(Database(database.target)) as db:
        window = generate.fill(database.target, count, dimensions, days).closed
        with mock.patch.object(histograms, "MOST_IN_MEMORY", most):
            histograms.rebuild(db, window.days, NAMED_ASSETS, NAMED_ASSETS)
            # The first time also fills caches.
            before = nodes.cpu()
            histograms.rebuild(db, window.days, NAMED_ASSETS, NAMED_ASSETS)
            used = nodes.cpu().since(before)
        [(made, size)] = db.rows(HISTORY)
    return Counting(count, made, days, used.coordinator, used.workers, float(size))


def _span_bytes(db: Database) -> float:
    with db.transaction() as cursor:
        size = distributed.size_function(cursor)
        cursor.execute(f"SELECT sum({size}(relid)) FROM pg_partition_tree('workflow_trace_log') WHERE isleaf")
        [(stored,)] = cursor.fetchall()
    return float(stored)


def body(sent: list[Span]) -> bytes:
    """Return spans as an OTLP/protobuf request."""
    request = ExportTraceServiceRequest()
    into = request.resource_spans.add().scope_spans.add().spans
    for span in sent:
        start_ns = span.start_time_ms * 1_000_000
        made = into.add(
            trace_id=bytes.fromhex(span.trace_id.replace("-", "")),
            span_id=bytes.fromhex(span.span_id.replace("-", ""))[-8:],
            name=span.span_name,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + (span.duration_ms or 0) * 1_000_000,
        )
        for key, value in span.attributes.items():
            made.attributes.add(key=f"leo.{key}").value.string_value = str(value)
    return request.SerializeToString()


def _cpu(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began
