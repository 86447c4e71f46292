"""The writer while its database or disk is unavailable, full, slow or hanging."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from leo_telemetry_pipeline.spool import drain as drains
from leo_telemetry_pipeline.spool.spool import Spool, usage
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.sink import DatabaseSink
from leo_telemetry_pipeline.writer import worker_thread
from leo_telemetry_pipeline.writer.writer import Writer
from leo_telemetry_pipeline_tests.builders import span
from leo_telemetry_pipeline_tests.processes import until
from leo_telemetry_pipeline_tests.servers import EMBEDDED
from leo_telemetry_pipeline_tests.writers import drained, emit, on_disk, stored


@pytest.mark.parametrize("durable", [False, True])
def test_while_the_database_is_away_spans_wait_on_disk_and_arrive_later(make, db, door, folder, durable):
    """Lost: all spans of an outage."""
    door.shut = True
    writer = make(durable=durable)
    ids = emit(writer, 500)
    assert writer.flush(10)
    assert writer.counters()["spooled"] == 500
    assert stored(db) == []
    door.shut = False
    until(lambda: len(stored(db)) == 500, "the writer drains its spool")
    assert sorted(stored(db)) == sorted(ids)
    ids += emit(writer, 10)
    assert writer.flush(10)
    assert writer.counters() == {"created": 510, "stored": 10, "spooled": 500, "dropped": {}, "queued": 0}
    writer.close()
    assert usage(folder) == (0, 0)
    assert drained(db, folder).counters == [writer.counters()]
    assert len(stored(db)) == 510


def test_the_next_writer_drains_what_one_before_it_left(make, db, folder):
    """Lost: the spans of an outage, if the program that recorded them has ended meanwhile."""
    Spool(folder, 1 << 20).write([span(), span()])
    Spool(folder, 1 << 20).keep_counters({"created": 2, "spooled": 2})
    emit(make(), 1)
    until(lambda: len(stored(db)) == 3, "the spool is drained")
    assert drained(db, folder).counters == [{"created": 2, "spooled": 2}]


def test_a_database_that_hangs_is_given_up_and_gets_its_spans_later(make, db, folder, monkeypatch):
    """Lost: the memory of a program whose database waits for a lock; or the spans of the pending batch."""
    monkeypatch.setattr(worker_thread, "PATIENCE_S", 1.0)
    writer = make()
    with db.transaction() as cursor:
        cursor.execute("LOCK TABLE workflow_trace_log IN ACCESS EXCLUSIVE MODE")
        ids = emit(writer, 2_500)
        until(lambda: usage(folder)[1] > 2_500 * 200, "all of it is on disk before that", every=0.02)
        until(lambda: writer.counters()["spooled"] == 2_500, "the database is given up")
    until(lambda: len(stored(db)) == 2_500, "the spool is drained")
    assert sorted(stored(db)) == sorted(ids)
    assert writer.counters() == {"created": 2_500, "stored": 0, "spooled": 2_500, "dropped": {}, "queued": 0}


HANGS = pytest.mark.only_on(EMBEDDED, reason="a lock blocks every server in the same way")


@HANGS
@pytest.mark.parametrize(("wait", "durable"), [(Writer.flush, False), (Writer.close, False), (Writer.flush, True)])
def test_a_program_that_waits_for_a_hanging_database_does_not_keep_spans_only_in_memory(
    make, db, folder, monkeypatch, wait, durable
):
    """Lost: most spans of a program that is killed while it waits for the database."""
    monkeypatch.setattr(worker_thread, "PATIENCE_S", 600.0)
    writer = make(durable=durable)
    with db.transaction() as cursor:
        cursor.execute("LOCK TABLE workflow_trace_log IN ACCESS EXCLUSIVE MODE")
        ids = emit(writer, 3_500)
        thread = threading.Thread(target=wait, args=(writer, 60))
        thread.start()
        until(lambda: on_disk(folder) == 3_500, "all of it is on disk", seconds=50, every=0.05)
        assert thread.is_alive()
        assert writer.counters()["queued"], "the database is still waited for"
        if wait is Writer.flush:
            assert writer.flush(0.1), "all of it is on disk"
    thread.join(60)
    counters = writer.counters()
    assert (counters["stored"] + counters["spooled"], counters["dropped"], counters["queued"]) == (3_500, {}, 0)
    until(lambda: drained(db, folder) and len(stored(db)) == 3_500, "the spool is drained", seconds=10)
    assert sorted(stored(db)) == sorted(ids)
    until(lambda: on_disk(folder) == 0, "nothing is left on disk", seconds=10)


@HANGS
def test_a_flush_that_hanging_database_and_full_disk_prevent_returns_false(make, db, folder, monkeypatch):
    """Lost: the spans of a program that believes all of them are safe."""
    monkeypatch.setattr(worker_thread, "PATIENCE_S", 600.0)
    writer = make(spool_bytes=20_000)
    with db.transaction() as cursor:
        cursor.execute("LOCK TABLE workflow_trace_log IN ACCESS EXCLUSIVE MODE")
        emit(writer, 500)
        until(lambda: on_disk(folder), "the disk takes what it can", seconds=20)
        assert not writer.flush(0.5)
        assert writer.counters()["dropped"] == {}
    assert writer.flush(30), "the database has taken it after all"
    assert writer.counters()["stored"] == 500


def test_attempts_back_off_while_the_database_is_away(make_away, no_door):
    """Lost: the network is flooded by attempts of every program of a cluster."""
    writer = make_away()
    until = time.monotonic() + 3
    while time.monotonic() < until:
        emit(writer, 1)
        time.sleep(0.01)
    assert 2 <= no_door.tried <= 5


def test_spans_that_neither_database_nor_disk_takes_are_counted_by_reason(make_away, folder):
    """Lost: nobody learns that spans were lost, or why."""
    writer = make_away(spool_bytes=50_000)
    for _ in range(10):
        emit(writer, 100)
        assert writer.flush(10) is not writer.state.tally.has_losses
    counters = writer.counters()
    assert counters["spooled"] > 0
    assert counters["dropped"] == {"spool_full": 1_000 - counters["spooled"]}
    assert usage(folder)[1] <= 50_000


def test_a_program_that_ends_no_span_opens_no_connection(make_away, no_door):
    """Lost: one connection for each of many programs that only import the package."""
    writer = make_away()
    assert writer.flush(1)
    writer.close()
    assert no_door.tried == 0
    assert writer.counters()["created"] == 0


def test_a_segment_of_a_damaged_disk_does_not_stop_a_writer(make, db, folder):
    """Lost: an unreadable spool makes the database look unavailable."""
    Path(folder).mkdir(parents=True)
    Path(folder).chmod(0o777)
    writer = make()
    emit(writer, 1)
    assert writer.flush(10)
    time.sleep(0.6)
    emit(writer, 1)
    assert writer.flush(10)
    assert writer.counters()["stored"] == 2


def test_a_disk_that_suddenly_becomes_read_only_stops_nothing(make, db, folder, monkeypatch):
    """Lost: the sending thread, and with it every later span."""

    def refuse(fd: int, size: int) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    writer = make(durable=True)
    monkeypatch.setattr(os, "ftruncate", refuse)
    ids = emit(writer, 3)
    assert writer.flush(10)
    ids += emit(writer, 3)
    assert writer.flush(10)
    assert sorted(stored(db)) == sorted(ids)
    assert writer.counters() == {"created": 6, "stored": 6, "spooled": 0, "dropped": {}, "queued": 0}
    monkeypatch.undo()
    writer.close()
    assert drained(db, folder).new == 0


def test_a_large_segment_and_a_slow_database_come_to_an_end(make, db, door, folder, monkeypatch):
    """Lost: everything that waits behind a segment that takes longer to store than the database time-out."""
    monkeypatch.setattr(drains, "BATCH", 100)
    monkeypatch.setattr(worker_thread, "PATIENCE_S", 0.5)
    take = DatabaseSink.store

    def slowly(self: DatabaseSink, batch: list, removed: dict) -> spans.Stored:
        time.sleep(0.3)
        return take(self, batch, removed)

    monkeypatch.setattr(DatabaseSink, "store", slowly)
    Spool(folder, 1 << 20).write([span() for _ in range(400)])
    emit(make(), 1)
    until(lambda: len(stored(db)) == 401 and usage(folder)[1] == 0, "the spool is drained")
