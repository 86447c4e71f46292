"""Capacity planning for teams of 10, 1,000 and 100,000 people, from the measured cost of a span.

Belongs here: the assumptions, the costs, the table. Does not: budgets (bench_*).

Prints the assumptions and a Markdown table in about a minute: ``python benchmarks/capacity.py``.
"""

import math
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks import bench_history, bench_ingest, generate
from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database

# Dimensions by number of people.
TEAMS = {10: 250, 1_000: 2_500, 100_000: 20_000}
SPANS_PER_PERSON_PER_DAY = 2_000
PEAK_FACTOR = 10
KEPT_DAYS = 90
SPANS_PER_REQUEST = 500
# Planned utilisation of a core at the peak.
BUSY = 0.5
MACHINE_CORES = 16
MACHINE_TB = 4.0
COUNTING_HOURS = 2.0

_DIMENSIONS = ", ".join(f"{number:,}" for number in TEAMS.values())
ASSUMPTIONS = f"""\
- A person and the agents that work for them produce {SPANS_PER_PERSON_PER_DAY:,} spans per day, each with about \
6 attributes.
- The busiest second has {PEAK_FACTOR} times the spans of an average second; cores are then {BUSY:.0%} busy.
- All spans arrive by OTLP/protobuf, {SPANS_PER_REQUEST} per request. A receiver uses one core; more than 10 people \
need at least two.
- Spans are kept for {KEPT_DAYS} days, history for years. The three teams have {_DIMENSIONS} dimensions.
- One machine has {MACHINE_CORES} cores and {MACHINE_TB:.0f} TB for spans, and may take {COUNTING_HOURS:.0f} hours of \
one core to count one day. If it is too small, each worker of a Citus cluster is such a machine."""


@dataclass(frozen=True)
class Costs:
    """Measured CPU and bytes, per span or per dimension and day."""

    bytes_per_span: float
    receiver_us: float
    server_us: float
    counting_s_per_million: float
    bytes_per_dimension_day: float


@dataclass(frozen=True)
class Need:
    """What a team needs."""

    people: int
    spans_per_day: int
    peak: float
    receivers: int
    server_cores: float
    disk_tb: float
    history_gb: float
    counting_hours: float
    workers: int


def need(people: int, dimensions: int, costs: Costs) -> Need:
    """Compute the need of a team; ``workers`` is 0 if one machine is enough."""
    per_day = people * SPANS_PER_PERSON_PER_DAY
    peak = per_day / 86_400 * PEAK_FACTOR
    # Redundant receivers for all but the smallest team.
    receivers = max(1 if people <= 10 else 2, math.ceil(peak * costs.receiver_us / 1e6 / BUSY))
    cores = peak * costs.server_us / 1e6 / BUSY
    disk_tb = per_day * KEPT_DAYS * costs.bytes_per_span / 1e12
    hours = per_day / 1e6 * costs.counting_s_per_million / 3600
    machines = max(disk_tb / MACHINE_TB, cores / MACHINE_CORES, hours / COUNTING_HOURS)
    history_gb = dimensions * 365 * costs.bytes_per_dimension_day / 1e9
    workers = 0 if machines <= 1 else math.ceil(machines)
    return Need(people, per_day, peak, receivers, cores, disk_tb, history_gb, hours, workers)


def rendered(needs: list[Need]) -> str:
    """Return the needs as a Markdown table."""
    heads = ("people", "spans per day", "spans/s at peak", "receivers", "server cores at peak", "spans on disk")
    lines = [
        "| " + " | ".join((*heads, "history per year", "counting one day", "database")) + " |",
        "|" + "---:|" * 8 + "---|",
    ]
    for one in needs:
        cells = (
            f"{one.people:,}",
            f"{one.spans_per_day:,}",
            f"{one.peak:,.0f}",
            f"{one.receivers}",
            f"{max(0.1, one.server_cores):.1f}",
            _size(one.disk_tb * 1e12),
            _size(one.history_gb * 1e9),
            _time(one.counting_hours * 3600),
            f"Citus with {one.workers} workers" if one.workers else "one machine",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _size(size: float) -> str:
    for unit in ("MB", "GB", "TB"):
        size /= 1e6 if unit == "MB" else 1e3
        if size < 1000 or unit == "TB":
            break
    return f"{size:.2g} {unit}" if size < 100 else f"{size:.0f} {unit}"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def measured() -> Costs:
    """Measure the costs on this machine."""
    count, many, days = 50_000, 300_000, 2
    policy = redact.Policy()
    with generate.server() as (_, target), closing(Database(target)) as db:
        rows = bench_ingest.made(count)
        spans.store(db, rows[:1])
        requests = [rows[at : at + SPANS_PER_REQUEST] for at in range(0, count, SPANS_PER_REQUEST)]
        bodies = [body(sent) for sent in requests]
        reading, _ = cpu(db, lambda: [otlp.read_protobuf(sent, policy=policy) for sent in bodies])
        sending, server = cpu(db, lambda: [spans.store(db, sent) for sent in requests])
        size = bench_ingest.bytes_of_spans(db)
    with generate.server() as (_, target), closing(Database(target)) as db:
        window = generate.fill(target, many, 100, days).closed
        _, counting = cpu(db, lambda: bench_history.count_days(db, window))
        [(history, there)] = db.rows(
            "SELECT pg_total_relation_size('duration_histograms'), (SELECT count(*) FROM duration_histograms)"
        )
    return Costs(
        bytes_per_span=size / count,
        receiver_us=(reading + sending) / count * 1e6,
        server_us=server / count * 1e6,
        counting_s_per_million=counting / many * 1e6,
        bytes_per_dimension_day=float(history) / there,
    )


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


def cpu(db: Database, call: Callable[[], object]) -> tuple[float, float]:
    """Return the CPU seconds of a call, here and in the server's process (wall time without /proc)."""
    process = db.rows("SELECT pg_backend_pid()")[0][0]
    began, ours, theirs = time.perf_counter(), time.process_time(), _cpu_of(process)
    call()
    took = time.perf_counter() - began
    return time.process_time() - ours, took if theirs is None else (_cpu_of(process) or 0) - theirs


def _cpu_of(process: int) -> float | None:
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return None
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, compute and print."""
    costs = measured()
    print(ASSUMPTIONS)
    print(
        f"- Measured here: {costs.bytes_per_span:.0f} bytes per span in table and indexes; CPU per span:"
        f" {costs.receiver_us:.0f} us in the receiver, {costs.server_us:.0f} us in the database;"
        f" {costs.counting_s_per_million:.0f} s of CPU for counting a million spans;"
        f" {costs.bytes_per_dimension_day:,.0f} bytes of history per dimension and day.\n"
    )
    print(rendered([need(people, dimensions, costs) for people, dimensions in TEAMS.items()]))


if __name__ == "__main__":
    main()
