"""The writer with a real database: every span has one end, and the counters say which."""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.spool import drain as drains
from leo_telemetry_pipeline.spool import leftover_counters
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.spool.spool import Spool, folder_of, usage
from leo_telemetry_pipeline.store import open_spans, spans
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.store.sink import DatabaseSink, connect
from leo_telemetry_pipeline.tracing.context import uuid_text
from leo_telemetry_pipeline.tracing.tracer import Tracer
from leo_telemetry_pipeline.writer import process_hooks, worker_thread
from leo_telemetry_pipeline.writer import writer as writers
from leo_telemetry_pipeline.writer.writer import Unavailable, Writer
from leo_telemetry_pipeline_tests.builders import span
from leo_telemetry_pipeline_tests.draining import drain
from leo_telemetry_pipeline_tests.processes import until
from leo_telemetry_pipeline_tests.servers import EMBEDDED

Make = Callable[..., Writer]


class Door:
    """A way to the test's database that can be shut; without settings it stays so."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings
        self.shut = settings is None
        self.tried = 0

    def __call__(self) -> DatabaseSink:
        self.tried += 1
        if self.shut or self.settings is None:
            raise Unavailable("shut")
        return connect(self.settings)


@pytest.fixture
def door(settings: Settings) -> Door:
    return Door(settings)


@pytest.fixture
def folder(home: Path) -> str:
    return folder_of(str(home))


@pytest.fixture
def make(door: Door, folder: str) -> Iterator[Make]:
    yield from making(door, folder)


@pytest.fixture
def no_door() -> Door:
    return Door()


@pytest.fixture
def make_away(no_door: Door, folder: str) -> Iterator[Make]:
    """Make writers without a database, for what needs none on any of the servers."""
    yield from making(no_door, folder)


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
    """End so many gates and return their span ids."""
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
    """Close a writer that has 3,000 spans in memory, and return its counters."""
    emit(writer, 3_000)
    writer.close()
    return writer.counters()


def test_spans_arrive_and_are_counted_as_stored(make, db):
    """Lost: everything."""
    writer = make(project="shop")
    ids = emit(writer, 1_500)
    assert writer.flush(10)
    assert writer.counters() == {"created": 1_500, "stored": 1_500, "spooled": 0, "dropped": {}, "queued": 0}
    assert sorted(stored(db)) == sorted(ids)
    assert db.rows("SELECT DISTINCT project, span_type, span_name, status FROM workflow_trace_log") == [
        ("shop", "gate", "A", "OK")
    ]


def test_a_few_spans_arrive_without_being_asked_for(make, db):
    """Lost: the last spans of a long-lived program, which stay in memory until there are many."""
    ids = emit(make(), 3)
    until(lambda: sorted(stored(db)) == sorted(ids), "three spans are stored")


def test_spans_that_keep_coming_wake_no_thread_and_the_first_after_a_rest_does(make, db, monkeypatch):
    """Lost: up to 100 us of a span in each tenth of a second, for waking a thread that only just went to rest."""
    woken: list[Writer] = []
    wake = Writer._wake
    monkeypatch.setattr(Writer, "_wake", lambda writer: (woken.append(writer), wake(writer)))
    monkeypatch.setattr(worker_thread, "PARK_AFTER_S", 60.0)
    writer = make()
    ids = []
    for _ in range(5):
        ids += emit(writer, 1)
        # The pace of the program: between two spans the thread has nothing to do, and would have gone to rest.
        time.sleep(3 * worker_thread.TICK_S)
    assert woken == [writer]
    monkeypatch.setattr(worker_thread, "PARK_AFTER_S", 0.1)
    until(lambda: writer.state.parked, "the thread rests")
    ids += emit(writer, 1)
    assert len(woken) == 2
    until(lambda: sorted(stored(db)) == sorted(ids), "the last one is stored")


def test_a_span_that_cannot_be_is_counted_and_keeps_no_other_out(make, db):
    """Lost: a whole batch to one odd span."""
    writer = make()
    odd, refused = span(), span()
    odd.attributes = None  # type: ignore[assignment]
    refused.end_time_ms = refused.start_time_ms - 1
    good = span()
    assert writer.submit([odd, refused, good], {"gen_ai.prompt": 2}) == 0
    assert not writer.flush(10)
    lost = {"invalid": 1, "refused": 1}
    assert writer.counters() == {"created": 3, "stored": 1, "spooled": 0, "dropped": lost, "queued": 0}
    emit(writer, 1)
    assert not writer.flush(10), "what is lost stays lost"
    assert good.span_id in stored(db)
    assert db.rows("SELECT count(*) FROM telemetry_quarantine") == [(1,)]
    assert db.rows("SELECT key, count FROM telemetry_removed_keys") == [("gen_ai.prompt", 2)]


def test_a_full_queue_drops_and_counts(make_away):
    """Lost: the memory of a program that ends spans faster than any database takes them; or the number of the lost."""
    writer = make_away(queue_spans=10)
    writer.state.parked = False  # the thread does not start, so that nothing leaves the queue
    emit(writer, 25)
    assert writer.submit([span()]) == 1
    assert writer.counters() == {
        "created": 26,
        "stored": 0,
        "spooled": 0,
        "dropped": {"queue_full": 16},
        "queued": 10,
    }
    writer._wake()
    assert not writer.flush(10), "what had no room is lost, whatever becomes of the rest"
    assert writer.counters()["spooled"] == 10


def test_counters_add_up_at_any_moment(make):
    """Lost: trust in the counters, which are read while spans are on their way."""
    writer = make(queue_spans=2_000)
    threads = [threading.Thread(target=emit, args=(writer, 4_000)) for _ in range(3)]
    for thread in threads:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in threads):
        counters = writer.counters()
        assert counters["created"] == ended(counters) + counters["queued"]
        assert counters["created"] >= seen
        seen = counters["created"]
    for thread in threads:
        thread.join()
    assert writer.flush(20) is not writer.state.tally.has_losses
    counters = writer.counters()
    assert (counters["created"], counters["queued"]) == (12_000, 0)


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
    """Lost: the spans of an outage, when the program that made them has ended meanwhile."""
    Spool(folder, 1 << 20).write([span(), span()])
    Spool(folder, 1 << 20).keep_counters({"created": 2, "spooled": 2})
    emit(make(), 1)
    until(lambda: len(stored(db)) == 3, "the spool is drained")
    assert drained(db, folder).counters == [{"created": 2, "spooled": 2}]


def test_a_database_that_hangs_is_given_up_and_gets_its_spans_later(make, db, folder, monkeypatch):
    """Lost: the memory of a program whose database waits for a lock; or the spans that it had in hand."""
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


def on_disk(folder: str) -> int:
    """Return how many spans the segments of a spool hold."""
    found = 0
    for path in Path(folder).glob("*.spans"):
        # A segment goes once the database has its spans.
        with suppress(FileNotFoundError):
            found += path.read_bytes().count(b'{"span":')
    return found


HANGS = pytest.mark.only_on(EMBEDDED, reason="a lock makes each of them hang alike")


@HANGS
@pytest.mark.parametrize(("wait", "durable"), [(Writer.flush, False), (Writer.close, False), (Writer.flush, True)])
def test_who_waits_for_a_database_that_hangs_does_not_keep_spans_in_memory_alone(
    make, db, folder, monkeypatch, wait, durable
):
    """Lost: 13,000 of 15,000 spans of a program that is killed while it waits for its spans to be stored."""
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
def test_a_flush_that_a_hanging_database_and_a_full_disk_leave_without_an_end_says_so(make, db, folder, monkeypatch):
    """Lost: the spans of a program that goes on, or ends, since it was told that all of them are safe."""
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


def test_operations_that_never_end_are_not_kept_for_ever(make, monkeypatch):
    """Lost: the memory of a server with a generator that nobody finishes."""
    monkeypatch.setattr(worker_thread, "MOST_OPEN", 10)
    writer = make()
    tracer = Tracer(writer)
    begun = [copy_context().run(tracer.gate("A").__enter__) for _ in range(30)]
    until(lambda: len(writer.state.open) == 10, "the oldest are let go")
    for operation in begun:
        operation.end()
    assert writer.flush(10)
    assert writer.counters()["stored"] == 30


def test_a_database_that_is_away_is_asked_ever_more_rarely(make_away, no_door):
    """Lost: a network full of attempts, from every program of a cluster at once."""
    writer = make_away()
    until = time.monotonic() + 3
    while time.monotonic() < until:
        emit(writer, 1)
        time.sleep(0.01)
    assert 2 <= no_door.tried <= 5


def test_durable_spans_are_on_disk_when_they_ended_and_gone_when_stored(make, db, door, folder):
    """Lost: spans of a program that is killed; or the disk of one that is not."""
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
    """Lost: spans that are safe on disk, and dropped all the same."""
    writer = make(durable=True, queue_spans=10)
    writer.state.parked = False  # the thread does not start, so that nothing leaves the queue
    ids = emit(writer, 25)
    assert writer.counters() == {"created": 25, "stored": 0, "spooled": 15, "dropped": {}, "queued": 10}
    writer.close()
    assert drained(db, folder).spans == 25
    assert sorted(stored(db)) == sorted(ids)


def test_durable_spans_go_on_through_memory_when_the_disk_refuses(make, db, folder):
    """Lost: spans of a program that may not write to its home, though the database answers."""
    Path(folder).mkdir(parents=True)
    Path(folder).chmod(0o777)
    writer = make(durable=True)
    ids = emit(writer, 20)
    assert writer.flush(10)
    assert sorted(stored(db)) == sorted(ids)
    assert writer.counters()["stored"] == 20


@pytest.mark.parametrize("durable", [False, True])
def test_threads_and_a_database_that_comes_and_goes_lose_and_double_nothing(make, db, door, folder, durable):
    """Lost: some of many spans, at the seam between two ways that each work alone."""
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
    # The writer's own thread may still be at it, and only one empties a spool at a time.
    until(lambda: drained(db, folder) and usage(folder) == (0, 0), "the spool is empty")
    assert sorted(stored(db)) == sorted(ids)


def test_what_neither_database_nor_disk_takes_is_counted_by_reason(make_away, folder):
    """Lost: the knowledge that spans are lost, and why."""
    writer = make_away(spool_bytes=50_000)
    for _ in range(10):
        emit(writer, 100)
        assert writer.flush(10) is not writer.state.tally.has_losses
    counters = writer.counters()
    assert counters["spooled"] > 0
    assert counters["dropped"] == {"spool_full": 1_000 - counters["spooled"]}
    assert usage(folder)[1] <= 50_000


def test_what_ends_after_the_writer_is_on_disk(make, db, folder):
    """Lost: the span around the whole program, when something else closed the writer first."""
    writer = make()
    tracer = Tracer(writer)
    with tracer.handoff("whole") as operation:
        emit(writer, 2)
        writer.close()
    assert writer.counters() == {"created": 3, "stored": 2, "spooled": 1, "dropped": {}, "queued": 0}
    done = drained(db, folder)
    assert uuid_text(operation.span_id) in stored(db)
    assert [(one["created"], one["spooled"]) for one in done.counters] == [(1, 1)]


def test_what_runs_for_long_is_shown_until_it_ends(make, db):
    """Lost: the sight of what hangs right now."""
    writer = make(open_after_s=0.3)
    tracer = Tracer(writer)
    with tracer.handoff("short"):
        pass
    with tracer.handoff("LEAD-TO-PLAN", sd_id="SD-1") as operation:
        shown = until(lambda: open_spans.running(db), "the handoff is announced")
        assert [(one.span_name, one.sd_id, one.pid) for one in shown] == [("LEAD-TO-PLAN", "SD-1", os.getpid())]
    until(lambda: db.rows("SELECT count(*) FROM workflow_open_spans") == [(0,)], "it is withdrawn")
    assert uuid_text(operation.span_id) in stored(db)


def test_what_is_open_when_its_program_ends_is_not_shown_any_more(make, db):
    """Lost: trust in what is said to run."""
    writer = make(open_after_s=0.3)
    with Tracer(writer).handoff("A"):
        until(lambda: open_spans.running(db), "the handoff is announced")
        writer.close()
        assert open_spans.running(db) == []


def test_a_program_that_ends_no_span_asks_no_database(make_away, no_door):
    """Lost: a connection for each of many programs that only import the package."""
    writer = make_away()
    assert writer.flush(1)
    writer.close()
    assert no_door.tried == 0
    assert writer.counters()["created"] == 0


def test_a_segment_of_a_damaged_disk_does_not_stop_a_writer(make, db, folder):
    """Lost: the database, taken for away because of a spool that cannot be read."""
    Path(folder).mkdir(parents=True)
    Path(folder).chmod(0o777)
    writer = make()
    emit(writer, 1)
    assert writer.flush(10)
    time.sleep(0.6)
    emit(writer, 1)
    assert writer.flush(10)
    assert writer.counters()["stored"] == 2


def test_spans_made_elsewhere_take_the_same_way(make, db):
    """Lost: spans of programs that use the OpenTelemetry SDK; or a secret, since those are redacted too."""
    made = span(attributes={"password": "hunter2"})
    writer = make()
    writer.submit([made])
    assert writer.flush(10)
    assert "hunter2" not in str(db.rows("SELECT attributes FROM workflow_trace_log"))


def test_a_disk_that_hangs_holds_no_exit_and_what_it_has_is_counted_as_lost(make_away, folder, monkeypatch):
    """Lost: the end of every program, to a network's disk; or the knowledge that its last spans are gone."""
    goes_on, write = threading.Event(), os.write

    def hang(fd: int, content: bytes) -> int:
        goes_on.wait(20)
        return write(fd, content)

    writer = make_away()
    monkeypatch.setattr(os, "write", hang)
    lost = {"created": 3_000, "stored": 0, "spooled": 0, "dropped": {"out_of_time": 3_000}, "queued": 0}
    assert closed_after_many(writer) == lost
    goes_on.set()
    # Once said, it stays.
    assert writer._thread is not None
    writer._thread.join(10)
    assert writer.counters() == lost
    assert drain(folder, lambda found, removed: spans.Stored(0, 0), note=lambda done: None).counters == [lost]


def test_a_slow_disk_holds_no_exit_and_what_it_does_not_take_is_counted_as_lost(make_away, folder, monkeypatch):
    """Lost: the knowledge of how many of the last spans are gone."""
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


def test_counters_that_somebody_holds_hold_no_exit(make_away, folder):
    """Lost: seconds at the end of each of many programs that end at once."""
    Spool(folder, 1 << 20).keep_counters({"created": 1})
    with (Path(folder) / leftover_counters.NAME).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        counters = closed_after_many(make_away())
    assert counters["spooled"] == 3_000


def test_a_flush_is_not_done_for_spans_that_came_later(make_away):
    """Lost: the spans before a flush that said they are safe, while later ones were dropped."""
    writer = make_away(queue_spans=5)
    writer.state.parked = False  # the thread does not start, so that nothing leaves the queue
    emit(writer, 5)
    said: list[bool] = []
    thread = threading.Thread(target=lambda: said.append(writer.flush(0.5)))
    thread.start()
    until(lambda: writer.state.hurry_to, "the flush waits")
    emit(writer, 20)
    thread.join()
    assert said == [False]
    assert writer.counters()["dropped"] == {"queue_full": 20}


def test_a_thread_that_cannot_be_started_is_tried_again(make, db, monkeypatch):
    """Lost: all spans of a program that had too many threads at its first one."""

    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    writer = make()
    with monkeypatch.context() as few:
        few.setattr(writers, "Thread", Refused)
        ids = emit(writer, 2)
    ids += emit(writer, 1)
    until(lambda: sorted(stored(db)) == sorted(ids), "three spans are stored")


def test_a_disk_that_is_suddenly_for_reading_only_stops_nothing(make, db, folder, monkeypatch):
    """Lost: every later span, with the thread that stores them."""

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
    """Lost: everything that waits, behind one segment that takes longer to store than a database may hang."""
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


def test_forks_in_two_threads_let_everyone_import_again(monkeypatch):
    """Lost: a server whose threads start programs, to a lock that is never given back."""
    monkeypatch.setattr(process_hooks, "_LONGEST_IMPORT_S", 0.05)

    def fork() -> None:
        process_hooks._before_fork()
        process_hooks._after_fork_in_parent()

    process_hooks._before_fork()
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    process_hooks._after_fork_in_parent()
    free: list[bool] = []

    def ask() -> None:
        free.append(process_hooks.importing.acquire(timeout=1))
        process_hooks.given_back(process_hooks.importing)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert free == [True]
