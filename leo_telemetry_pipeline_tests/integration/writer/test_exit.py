"""Program exit: nothing delays it, and spans that could not be stored are counted."""

import fcntl
import os
import threading
import time
from pathlib import Path

from leo_telemetry_pipeline.spool import leftover_counters
from leo_telemetry_pipeline.spool.spool import Spool
from leo_telemetry_pipeline.store import open_spans, spans
from leo_telemetry_pipeline.tracing.context import uuid_text
from leo_telemetry_pipeline.tracing.tracer import Tracer
from leo_telemetry_pipeline_tests.draining import drain
from leo_telemetry_pipeline_tests.processes import until
from leo_telemetry_pipeline_tests.writers import closed_after_many, drained, emit, stored


def test_spans_that_end_after_the_writer_closed_are_on_disk(make, db, folder):
    """Lost: the span around the whole program, if something else closed the writer first."""
    writer = make()
    tracer = Tracer(writer)
    with tracer.handoff("whole") as operation:
        emit(writer, 2)
        writer.close()
    assert writer.counters() == {"created": 3, "stored": 2, "spooled": 1, "dropped": {}, "queued": 0}
    done = drained(db, folder)
    assert uuid_text(operation.span_id) in stored(db)
    assert [(one["created"], one["spooled"]) for one in done.counters] == [(1, 1)]


def test_open_operations_disappear_when_their_program_ends(make, db):
    """Lost: ended operations are shown as running."""
    writer = make(open_after_s=0.3)
    with Tracer(writer).handoff("A"):
        until(lambda: open_spans.running(db), "the handoff is announced")
        writer.close()
        assert open_spans.running(db) == []


def test_a_hanging_disk_does_not_delay_the_exit_and_its_spans_are_counted_as_lost(make_away, folder, monkeypatch):
    """Lost: programs cannot exit while a network disk hangs; or the loss of their last spans is not counted."""
    goes_on, write = threading.Event(), os.write

    def hang(fd: int, content: bytes) -> int:
        goes_on.wait(20)
        return write(fd, content)

    writer = make_away()
    monkeypatch.setattr(os, "write", hang)
    lost = {"created": 3_000, "stored": 0, "spooled": 0, "dropped": {"out_of_time": 3_000}, "queued": 0}
    assert closed_after_many(writer) == lost
    goes_on.set()
    # The counters do not change afterwards.
    assert writer._thread is not None
    writer._thread.join(10)
    assert writer.counters() == lost
    assert drain(folder, lambda found, removed: spans.Stored(0, 0), note=lambda done: None).counters == [lost]


def test_a_slow_disk_does_not_delay_the_exit_and_unwritten_spans_are_counted_as_lost(make_away, folder, monkeypatch):
    """Lost: nobody learns how many of the last spans were lost."""
    write = os.write

    def crawl(fd: int, content: bytes) -> int:
        time.sleep(0.02)
        return write(fd, content)

    writer = make_away()
    monkeypatch.setattr(os, "write", crawl)
    counters = closed_after_many(writer)
    assert counters["spooled"] > 0
    assert counters["dropped"] == {"out_of_time": 3_000 - counters["spooled"]}
    assert counters["queued"] == 0
    assert writer._thread is not None
    writer._thread.join(10)
    done = drain(folder, lambda found, removed: spans.Stored(len(found), 0), note=lambda done: None)
    assert done.spans >= counters["spooled"]
    assert done.counters == [counters]


def test_a_held_counter_lock_does_not_delay_the_exit(make_away, folder):
    """Lost: seconds at the exit of each of many programs that end at once."""
    Spool(folder, 1 << 20).keep_counters({"created": 1})
    with (Path(folder) / leftover_counters.NAME).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        counters = closed_after_many(make_away())
    assert counters["spooled"] == 3_000
