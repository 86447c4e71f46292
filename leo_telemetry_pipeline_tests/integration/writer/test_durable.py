"""Durable spans: on disk before their operation ends, whatever happens to database and disk."""

import threading
import time
from pathlib import Path

import pytest

from leo_telemetry_pipeline.spool.spool import usage
from leo_telemetry_pipeline_tests.processes import until
from leo_telemetry_pipeline_tests.writers import drained, emit, stored


def test_durable_spans_are_on_disk_when_they_ended_and_gone_when_stored(make, db, door, folder):
    """Lost: spans of a killed program; or the disk fills although they are stored."""
    writer = make(durable=True)
    emit(writer, 3)
    found, size = usage(folder)
    assert (found, size > 500) == (1, True)
    assert writer.flush(10)
    assert len(stored(db)) == 3
    assert usage(folder) == (1, 0)
    writer.close()
    assert usage(folder) == (0, 0)
    assert drained(db, folder).counters == []


def test_durable_spans_for_which_memory_has_no_room_are_left_on_disk(make, db, folder):
    """Lost: spans that are safe on disk are dropped anyway."""
    writer = make(durable=True, queue_spans=10)
    writer.state.parked = False  # The thread does not start, so nothing leaves the queue.
    ids = emit(writer, 25)
    assert writer.counters() == {"created": 25, "stored": 0, "spooled": 15, "dropped": {}, "queued": 10}
    writer.close()
    assert drained(db, folder).spans == 25
    assert sorted(stored(db)) == sorted(ids)


def test_durable_spans_go_on_through_memory_when_the_disk_refuses(make, db, folder):
    """Lost: spans of a program that may not write to its home, although the database answers."""
    Path(folder).mkdir(parents=True)
    Path(folder).chmod(0o777)
    writer = make(durable=True)
    ids = emit(writer, 20)
    assert writer.flush(10)
    assert sorted(stored(db)) == sorted(ids)
    assert writer.counters()["stored"] == 20


@pytest.mark.parametrize("durable", [False, True])
def test_threads_and_a_database_that_comes_and_goes_lose_and_duplicate_nothing(make, db, door, folder, durable):
    """Lost: some of many spans, at the transition between queue and spool."""
    writer = make(durable=durable, queue_spans=100_000)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.extend(emit(writer, 3_000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        door.shut = not door.shut
        if door.shut:
            db.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
        time.sleep(0.15)
    door.shut = False
    assert writer.flush(20)
    writer.close()
    counters = writer.counters()
    assert (counters["created"], counters["dropped"], counters["queued"]) == (12_000, {}, 0)
    # The writer's own thread may still drain, and only one drain runs at a time.
    until(lambda: drained(db, folder) and usage(folder) == (0, 0), "the spool is empty")
    assert sorted(stored(db)) == sorted(ids)
