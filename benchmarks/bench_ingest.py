"""Storing spans, without duplicates, against a bare COPY of the same rows into the same table.

Belongs here: the measurements. Does not: the measured code.

Budgets: at least half the speed of bare COPY; with redaction at least 20,000 spans per second on one core; at most 600
bytes per span in table and indexes. Both alternate, each into an empty table.
"""

import io
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks import generate
from benchmarks.measure import Budget, Options, alternating, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database

GATES = ("GATE_PRD_REQUIRED", "GATE_TEST_COVERAGE", "GATE_DESIGN_REVIEW", "GATE_SECURITY")


def made(count: int) -> list[Span]:
    """Return the spans of a working week of handoffs, ten per trace."""
    rng = random.Random(7)
    now = int(datetime.now(UTC).timestamp() * 1000)
    found, trace, root, start = [], "", "", now
    for index in range(count):
        if index % 10 == 0:
            trace, root, start = _id(rng, 128), _id(rng, 64), now - rng.randrange(6 * 86_400_000)
        duration = rng.randrange(200_000)
        found.append(
            Span(
                trace_id=trace,
                span_id=root if index % 10 == 0 else _id(rng, 64),
                parent_span_id=None if index % 10 == 0 else root,
                span_type="handoff" if index % 10 == 0 else "gate",
                span_name="LEAD-TO-PLAN" if index % 10 == 0 else GATES[index % 4],
                start_time_ms=start,
                end_time_ms=start + duration,
                duration_ms=duration,
                duration_rest_us=rng.randrange(500),
                sd_id="SD-LEO-ENH-001",
                status="OK",
                attributes={
                    "sd_type": "feature",
                    "gate_score": rng.randrange(100),
                    "retry_attempt": 0,
                    "model": "opus",
                    "host": "worker-1",
                    "passed": True,
                },
            )
        )
    return found


def _id(rng: random.Random, bits: int) -> str:
    digits = f"{rng.getrandbits(bits) or 1:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def bare_copy(db: Database, lines: str) -> None:
    """Copy prepared lines into the table."""
    with db.transaction() as cursor:
        cursor.copy_expert(
            f"COPY workflow_trace_log ({spans.COLUMN_LIST}) FROM STDIN (NULL '{spans.NULL}')", io.StringIO(lines)
        )


def empty(db: Database) -> None:
    with db.transaction() as cursor:
        cursor.execute("TRUNCATE workflow_trace_log")


def bytes_of_spans(db: Database) -> float:
    """Return the size of the span table with its indexes."""
    sql = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('workflow_trace_log') WHERE isleaf"
    return float(db.rows(sql)[0][0])


@dataclass(frozen=True)
class Speeds:
    """Spans per second, and bytes per span."""

    copy: float
    ours: float
    redacted: float
    size: float


def measured(count: int, rounds: int) -> Speeds:
    """Store spans alternately in three ways, each into an empty table."""
    with generate.server() as (_, target), closing(Database(target)) as db:
        rows = made(count)
        spans.ensure_partitions(db, datetime.now(UTC) - timedelta(days=8), datetime.now(UTC))
        lines = "".join(spans.copy_lines(rows))
        calls = {
            "copy": lambda: bare_copy(db, lines),
            "ours": lambda: spans.store(db, rows),
            "redacted": lambda: spans.store(db, [redact.clean(span) for span in rows]),
        }
        took = alternating(calls, rounds, warm=0, between=lambda: empty(db))
        spans.store(db, rows)
        size = bytes_of_spans(db)
    return Speeds(*(count / took[name] for name in calls), size=size / count)


def measurements(options: Options) -> Iterator[Measured]:
    """Judge speeds and size."""
    count = 20_000 if options.quick else 50_000
    speeds = measured(count, 3 if options.quick else 5)
    bare = ("bare COPY", speeds.copy)
    what, half = f"{count:,} spans", Budget(0.5, at_least=True)
    yield judge(f"storing redacted spans, each once: {what}", speeds.ours, "/s", half, options, reference=bare)
    what, least = f"redacting and storing: {what}, one core", Budget(20_000, "/s", at_least=True)
    yield judge(what, speeds.redacted, "/s", least, options, reference=bare)
    most = Budget(600, "bytes", timed=False)
    yield judge(f"a span in table and indexes: {count:,} spans", speeds.size, "bytes", most, options)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
