"""Writers with a database that can be made unavailable, spans for them, and where these were stored."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.store.sink import DatabaseSink, connect
from leo_telemetry_pipeline.tracing.context import uuid_text
from leo_telemetry_pipeline.tracing.tracer import Tracer
from leo_telemetry_pipeline.writer.writer import Unavailable, Writer
from leo_telemetry_pipeline_tests.draining import drain

Make = Callable[..., Writer]


class Door:
    """A connection function to the test's database that can be blocked; without settings it always is."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings
        self.shut = settings is None
        self.tried = 0

    def __call__(self) -> DatabaseSink:
        self.tried += 1
        if self.shut or self.settings is None:
            raise Unavailable("shut")
        return connect(self.settings)


def making(door: Door, folder: str) -> Iterator[Make]:
    made: list[Writer] = []

    def make(**more) -> Writer:
        made.append(Writer(door, **{"folder": folder, **more}))
        return made[-1]

    yield make
    for writer in made:
        writer.close()
        assert writer.state.trouble is None
        counters = writer.counters()
        assert counters["created"] == ended(counters) + counters["queued"]


def ended(counters: dict) -> int:
    return counters["stored"] + counters["spooled"] + sum(counters["dropped"].values())


def emit(writer: Writer, count: int, name: str = "A") -> list[str]:
    """End ``count`` gates and return their span ids."""
    tracer, ids = Tracer(writer), []
    for _ in range(count):
        with tracer.gate(name, score=1.5) as operation:
            ids.append(uuid_text(operation.span_id))
    return ids


def stored(db: Database) -> list[str]:
    return [one for (one,) in db.rows("SELECT span_id::text FROM workflow_trace_log ORDER BY start_time_ms")]


def drained(db: Database, folder: str) -> Drained:
    return drain(folder, lambda found, removed: spans.store(db, found, removed), note=lambda done: None)


def closed_after_many(writer: Writer) -> dict:
    """Close a writer with 3,000 spans in memory, and return its counters."""
    emit(writer, 3_000)
    writer.close()
    return writer.counters()


def on_disk(folder: str) -> int:
    """Return the number of spans in the segments of a spool."""
    found = 0
    for path in Path(folder).glob("*.spans"):
        # A segment is removed once its spans are stored.
        with suppress(FileNotFoundError):
            found += path.read_bytes().count(b'{"span":')
    return found
