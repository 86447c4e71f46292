"""Spans sent at their start and again at their end, from every source and in any order: line 11.3.

Belongs here: the trial. Does not: the sources and the history (the product).

Each event goes through a random source: a file, OTLP to a receiver, the trace API's sink, the spool, or plain SQL
(INSERT at the start, UPDATE at the end, like the LEO engine). Everything is sent three times, with days counted in
between. Then rows, history, `trends`, the analysis and `why` must equal those of a database with complete rows only.
"""

import copy
import json
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import generate
from benchmarks.bench_history import count_days
from benchmarks.figures import Figure
from benchmarks.measure import HOME, environment
from leo_telemetry_pipeline.span import COLUMNS, Span
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.store import spool_drain
from leo_telemetry_pipeline.store.days import DAY, DAY_MS, Window, midnight, milliseconds
from leo_telemetry_pipeline.store.history import staleness
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.store.sink import DatabaseSink
from leo_telemetry_pipeline.store.spans import ensure_partitions

ORDERS = ("start first", "end first", "interleaved")
DAYS = 40
SLOW_DAYS = 7
TIMES = 3
SLOW = "gate:GATE_LATE_END"
_CLI = (sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli")
_ROWS = ", ".join(f"{name}::text" for name in COLUMNS)
# Queries whose results must be equal.
TABLES = {
    "rows": f"SELECT {_ROWS} FROM workflow_trace_log ORDER BY trace_id, span_id, start_time_ms",
    "history": "SELECT day, dimension_type, dimension_key, project, part, count, sum_ms, min_ms, max_ms, buckets,"
    " counts FROM duration_histograms ORDER BY 1, 2, 3, 4, 5",
    "counts": "SELECT day, span_type, project, part, spans, timed_spans, traces FROM workflow_trace_counts"
    " ORDER BY 1, 2, 3, 4",
}
# Fields that differ between runs on equal spans.
_OF_A_RUN = {"run_id", "improvement_id", "made_at", "started_at", "finished_at", "opened_at", "updated_at", "moved_at"}


def parts(full: bool) -> Sequence[str]:  # noqa: ARG001  # the interface of a trial
    """Return the orders of starts and ends."""
    return ORDERS


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:
    """Send the spans of 40 days in one order and compare with complete rows."""
    rng = random.Random(seed)
    today = midnight(datetime.now(UTC).date())
    made = spans_of(rng, today, per_day=40 if full else 10)
    with generate.server() as (home, target), generate.server() as (other_home, other), receiver(home) as url:
        sent = Sources(home, target, url, rng)
        send_all(sent, made, part, Window(today - DAYS * DAY, today))
        with closing(Database(other)) as fresh:
            ensure(fresh, today)
            DatabaseSink(fresh).store(made, {})
            bring_up_to_date(fresh, Window(today - DAYS * DAY, today))
        differing = [*compared_tables(target, other), *compared_commands(home, other_home, today)]
    yield Figure(
        "11.3",
        f"{len(made):,} spans from five sources, {part}, each sent {TIMES} times, days counted before and after",
        "one row per span, with its end; rows, history, analysis, `trends` and `why` are those of complete rows",
        "all agree" if not differing else f"differ: {', '.join(differing)}",
        not differing,
    )


@dataclass(frozen=True)
class Event:
    """One message about a span: its start or its end."""

    complete: Span
    is_end: bool

    @property
    def span(self) -> Span:
        """The span as sent in the message."""
        if self.is_end:
            return self.complete
        start = copy.copy(self.complete)
        start.end_time_ms = start.duration_ms = start.status = None
        return start


def spans_of(rng: random.Random, today: datetime, *, per_day: int) -> list[Span]:
    """Return handoffs of 40 days, each with a wait, a phase, and a gate that got five times slower a week ago."""
    made = []
    for ago in range(DAYS, 0, -1):
        for _ in range(per_day):
            start = milliseconds(today) - ago * DAY_MS + rng.randrange(DAY_MS * 9 // 10)
            slow = 5 if ago <= SLOW_DAYS else 1
            made += a_trace(rng, start, round(4_000 * slow * rng.lognormvariate(0, 0.05)))
    return made


def a_trace(rng: random.Random, start: int, gate_ms: int) -> list[Span]:
    """Return a handoff and its children; the wait in its phase takes hours, often into the next day."""
    trace, root, phase = (_id(rng, bits) for bits in (128, 64, 64))
    kinds = [
        ("handoff", "LEAD-TO-PLAN", root, None, start, gate_ms + 9_000),
        ("phase", "PLAN", phase, root, start + 1, 14_400_000 + rng.randrange(90_000)),
        ("wait", "approval", _id(rng, 64), phase, start + 7_200_000, rng.randrange(1, 7_000_000)),
        ("gate", "GATE_LATE_END", _id(rng, 64), root, start + 2, gate_ms),
    ]
    return [
        Span(
            trace_id=trace,
            span_id=span_id,
            parent_span_id=parent,
            span_type=span_type,
            span_name=name,
            start_time_ms=at,
            end_time_ms=at + lasted,
            duration_ms=lasted,
            status="OK",
            attributes={"sd_type": "feature" if start % 2 else "fix"} if span_type == "handoff" else {},
        )
        for span_type, name, span_id, parent, at, lasted in kinds
    ]


def _id(rng: random.Random, bits: int) -> str:
    digits = f"{rng.getrandbits(bits) or 1:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def send_all(sources: "Sources", made: Sequence[Span], order: str, window: Window) -> None:
    """Send starts and ends three times, counting days after each piece."""
    with closing(Database(sources.target)) as db:
        ensure(db, window.end)
        for _ in range(TIMES):
            for piece in pieces(sources.rng, made, order):
                sources.send(piece)
                bring_up_to_date(db, window)


def pieces(rng: random.Random, made: Sequence[Span], order: str) -> list[list[Event]]:
    """Return the events in an order, in pieces after which days are counted."""
    starts, ends = ([Event(span, is_end) for span in made] for is_end in (False, True))
    for events in (starts, ends):
        rng.shuffle(events)
    if order == "start first":
        return [starts, ends]
    if order == "end first":
        return [ends, starts]
    both = [*starts, *ends]
    rng.shuffle(both)
    size = len(both) // 4 + 1
    return [both[at : at + size] for at in range(0, len(both), size)]


def bring_up_to_date(db: Database, window: Window) -> None:
    """Count stale days, like an analysis."""
    staleness.mark_stale(db)
    count_days(db, window)


def ensure(db: Database, today: datetime) -> None:
    """Create the partitions of all days."""
    ensure_partitions(db, today - (DAYS + 1) * DAY, today + DAY)


class Sources:
    """The sources, one of which is drawn for each event."""

    def __init__(self, home: Path, target: Target, url: str, rng: random.Random) -> None:
        self.home, self.target, self.url, self.rng = home, target, url, rng
        self._ways: tuple[Callable[[list[Event]], object], ...] = (
            self._file,
            self._otlp,
            self._trace_api,
            self._spool,
            self._sql,
        )

    def send(self, events: Sequence[Event]) -> None:
        """Send each event by a random source, in random order, so that starts and ends use different ones."""
        by_way: dict[int, list[Event]] = {}
        for event in events:
            by_way.setdefault(self.rng.randrange(len(self._ways)), []).append(event)
        for way in self.rng.sample(sorted(by_way), len(by_way)):
            self._ways[way](by_way[way])

    def _file(self, events: list[Event]) -> None:
        path = self.home / "events.jsonl"
        rows = ({name: getattr(event.span, name) for name in COLUMNS} for event in events)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        said(self.home, "import", str(path))

    def _otlp(self, events: list[Event]) -> None:
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [otlp(event.span) for event in events]}]}]}
        asked = urllib.request.Request(
            f"{self.url}/v1/traces", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            refused = json.load(answer).get("partialSuccess")
            assert not refused, refused

    def _trace_api(self, events: list[Event]) -> None:
        with closing(Database(self.target)) as db:
            DatabaseSink(db).store([event.span for event in events], {})

    def _spool(self, events: list[Event]) -> None:
        folder = spool.folder_of(str(self.home))
        spool.Spool(folder, 1 << 30).write([event.span for event in events], {}, sync=True)
        with closing(Database(self.target)) as db:
            while spool_drain.drain(db, self.home, "TRIAL").busy:
                time.sleep(0.1)

    def _sql(self, events: list[Event]) -> None:
        with closing(Database(self.target)) as db, db.transaction() as cursor:
            for event in events:
                values = {name: getattr(event.span, name) for name in COLUMNS}
                values["attributes"] = json.dumps(event.span.attributes)
                if event.is_end:
                    cursor.execute(_UPDATE, values)
                cursor.execute(_INSERT, values)


_INSERT = (
    f"INSERT INTO workflow_trace_log ({', '.join(COLUMNS)})"
    f" VALUES ({', '.join(f'%({name})s' for name in COLUMNS)}) ON CONFLICT DO NOTHING"
)
_UPDATE = """
UPDATE workflow_trace_log SET end_time_ms = %(end_time_ms)s, duration_ms = %(duration_ms)s, status = %(status)s
WHERE trace_id = %(trace_id)s AND span_id = %(span_id)s AND start_time_ms = %(start_time_ms)s AND duration_ms IS NULL
"""


def otlp(span: Span) -> dict[str, Any]:
    """Return a span as OTLP/JSON; without an end, its end is 0."""
    attributes = {"leo.span_type": span.span_type, **{f"leo.{key}": value for key, value in span.attributes.items()}}
    found = {
        "traceId": span.trace_id.replace("-", ""),
        "spanId": span.span_id.replace("-", "")[16:],
        "name": span.span_name,
        "startTimeUnixNano": str(span.start_time_ms * 1_000_000),
        "endTimeUnixNano": str((span.end_time_ms or 0) * 1_000_000),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
        "status": {"code": 1} if span.status else {},
    }
    return found | ({"parentSpanId": span.parent_span_id.replace("-", "")[16:]} if span.parent_span_id else {})


@contextmanager
def receiver(home: Path) -> Iterator[str]:
    """Run the receiver of a home and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environ = environment(**{HOME: str(home)})
    process = subprocess.Popen([*_CLI, "serve", "--port", str(port)], env=environ, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while not _is_ready(url):
            assert time.monotonic() < until, "the receiver does not answer"
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def compared_tables(ours: Target, fresh: Target) -> list[str]:
    """Return the tables that differ."""
    with closing(Database(ours)) as one, closing(Database(fresh)) as other:
        return [name for name, sql in TABLES.items() if one.rows(sql) != other.rows(sql)]


def compared_commands(ours: Path, fresh: Path, today: datetime) -> list[str]:
    """Return the commands whose output differs or lacks the slow gate."""
    differing = []
    for command in (
        ("trends", "--json"),
        ("trends", SLOW, "--json"),
        ("analyze", "--window-end", f"{today:%Y-%m-%d}", "--json"),
        ("why", SLOW, "--json"),
    ):
        answers = [_plain(json.loads(said(home, *command))) for home in (ours, fresh)]
        if answers[0] != answers[1] or SLOW.partition(":")[2] not in json.dumps(answers[0]):
            differing.append(" ".join(command))
    return differing


def said(home: Path, *command: str) -> str:
    """Return the output of a command."""
    done = subprocess.run([*_CLI, *command], env=environment(**{HOME: str(home)}), capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def _plain(value: Any) -> Any:
    """Return a document without the fields that differ between runs."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if key not in _OF_A_RUN}
    return [_plain(one) for one in value] if isinstance(value, list) else value
