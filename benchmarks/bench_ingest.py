"""Storing spans: from redacted rows to commit, each once, beside a bare COPY of the same rows into the same table.

Budgets (DESIGN section 8): at least half the speed of bare COPY; with redaction at least 20,000 spans a second on
one core; at most 600 bytes a span in table and indexes. Ours and the reference alternate, each into an empty table.
"""

import io
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import database, spans
from leo_telemetry_pipeline.store.database import Database

SPANS = 50_000
ROUNDS = 5
GATES = ("GATE_PRD_REQUIRED", "GATE_TEST_COVERAGE", "GATE_DESIGN_REVIEW", "GATE_SECURITY")


def made(count: int) -> list[Span]:
    """Return spans as a working week of handoffs gives them, ten a trace."""
    rng = random.Random(7)
    now = int(datetime.now(UTC).timestamp() * 1000)
    found = []
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


def bare_copy(db: Database, lines: str) -> float:
    """Copy lines that are ready into the table, and return the seconds to commit."""
    begun = time.perf_counter()
    with db.transaction() as cursor:
        cursor.copy_expert(
            f"COPY workflow_trace_log ({spans.COLUMN_LIST}) FROM STDIN (NULL '{spans.NULL}')", io.StringIO(lines)
        )
    return time.perf_counter() - begun


def ours(db: Database, rows: list[Span]) -> float:
    """Store redacted spans and return the seconds to commit."""
    begun = time.perf_counter()
    spans.store(db, rows)
    return time.perf_counter() - begun


def redacted(db: Database, rows: list[Span]) -> float:
    """Redact and store spans and return the seconds of CPU that this process, one core, spent."""
    begun = time.perf_counter()
    spans.store(db, [redact.clean(span) for span in rows])
    return time.perf_counter() - begun


def empty(db: Database) -> None:
    with db.transaction() as cursor:
        cursor.execute("TRUNCATE workflow_trace_log")


def line(name: str, measured: str, budget: str, passed: bool) -> bool:
    print(f"{name:<46} {measured:<58} budget {budget:<22} {'pass' if passed else 'MISS'}")
    return passed


def main() -> int:
    # An open folder for the server's own user, when run as root.
    with tempfile.TemporaryDirectory(prefix="leo-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        os.environ[PREFIX + "HOME"] = f"{folder}/home"
        with database.ready(Settings()) as target, closing(Database(target)) as db:
            rows = made(SPANS)
            spans.ensure_partitions(db, datetime.now(UTC) - timedelta(days=8), datetime.now(UTC))
            lines = "".join(spans.copy_lines(rows))
            times: dict[str, list[float]] = {"copy": [], "ours": [], "redacted": []}
            for _ in range(ROUNDS):
                for name, measure in (
                    ("copy", lambda: bare_copy(db, lines)),
                    ("ours", lambda: ours(db, rows)),
                    ("redacted", lambda: redacted(db, rows)),
                ):
                    empty(db)
                    times[name].append(measure())
            size = db.rows(
                "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('workflow_trace_log') WHERE isleaf"
            )[0][0]
    copy, mine, cleaned = (SPANS / statistics.median(times[name]) for name in ("copy", "ours", "redacted"))
    passed = [
        line(
            f"{SPANS:,} spans, each once",
            f"{mine:,.0f}/s, bare COPY {copy:,.0f}/s, ratio {mine / copy:.2f}",
            "at least 0.5",
            mine / copy >= 0.5,
        ),
        line(f"{SPANS:,} spans with redaction", f"{cleaned:,.0f}/s", "at least 20,000/s", cleaned >= 20_000),
        line("bytes a span, table and indexes", f"{size / SPANS:.0f}", "at most 600", size / SPANS <= 600),
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
