"""The writer with a real database: every span has one end, and the counters say which."""

import os
import threading
import time
from contextvars import copy_context

from leo_telemetry_pipeline.store import open_spans
from leo_telemetry_pipeline.tracing.context import uuid_text
from leo_telemetry_pipeline.tracing.tracer import Tracer
from leo_telemetry_pipeline.writer import process_hooks, worker_thread
from leo_telemetry_pipeline.writer import writer as writers
from leo_telemetry_pipeline.writer.writer import Writer
from leo_telemetry_pipeline_tests.builders import span
from leo_telemetry_pipeline_tests.processes import until
from leo_telemetry_pipeline_tests.writers import emit, ended, stored


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


def test_a_few_spans_arrive_without_a_flush(make, db):
    """Lost: the last spans of a long-lived program stay in memory until there are many."""
    ids = emit(make(), 3)
    until(lambda: sorted(stored(db)) == sorted(ids), "three spans are stored")


def test_steady_spans_wake_no_thread_and_the_first_after_a_pause_does(make, db, monkeypatch):
    """Lost: up to 100 us for one span per tenth of a second, to wake a thread that has just gone to sleep."""
    woken: list[Writer] = []
    wake = Writer._wake
    monkeypatch.setattr(Writer, "_wake", lambda writer: (woken.append(writer), wake(writer)))
    monkeypatch.setattr(worker_thread, "PARK_AFTER_S", 60.0)
    writer = make()
    ids = []
    for _ in range(5):
        ids += emit(writer, 1)
        # At this pace the thread is idle between two spans, and would have gone to sleep.
        time.sleep(3 * worker_thread.TICK_S)
    assert woken == [writer]
    monkeypatch.setattr(worker_thread, "PARK_AFTER_S", 0.1)
    until(lambda: writer.state.parked, "the thread rests")
    ids += emit(writer, 1)
    assert len(woken) == 2
    until(lambda: sorted(stored(db)) == sorted(ids), "the last one is stored")


def test_an_invalid_span_is_counted_and_does_not_stop_the_others(make, db):
    """Lost: a whole batch, because of one invalid span."""
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
    """Lost: the memory of a program that ends spans faster than the database stores them; or the number of drops."""
    writer = make_away(queue_spans=10)
    writer.state.parked = False  # The thread does not start, so nothing leaves the queue.
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
    """Lost: correct counters while spans are on their way."""
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


def test_operations_that_never_end_are_not_kept_forever(make, monkeypatch):
    """Lost: the memory of a server with generators that are never finished."""
    monkeypatch.setattr(worker_thread, "MOST_OPEN", 10)
    writer = make()
    tracer = Tracer(writer)
    begun = [copy_context().run(tracer.gate("A").__enter__) for _ in range(30)]
    until(lambda: len(writer.state.open) == 10, "the oldest are let go")
    for operation in begun:
        operation.end()
    assert writer.flush(10)
    assert writer.counters()["stored"] == 30


def test_long_operations_are_shown_until_they_end(make, db):
    """Lost: nobody sees which operation hangs right now."""
    writer = make(open_after_s=0.3)
    tracer = Tracer(writer)
    with tracer.handoff("short"):
        pass
    with tracer.handoff("LEAD-TO-PLAN", sd_id="SD-1") as operation:
        shown = until(lambda: open_spans.running(db), "the handoff is announced")
        assert [(one.span_name, one.sd_id, one.pid) for one in shown] == [("LEAD-TO-PLAN", "SD-1", os.getpid())]
    until(lambda: db.rows("SELECT count(*) FROM workflow_open_spans") == [(0,)], "it is withdrawn")
    assert uuid_text(operation.span_id) in stored(db)


def test_spans_made_elsewhere_take_the_same_path(make, db):
    """Lost: spans of programs that use the OpenTelemetry SDK; or their redaction."""
    made = span(attributes={"password": "hunter2"})
    writer = make()
    writer.submit([made])
    assert writer.flush(10)
    assert "hunter2" not in str(db.rows("SELECT attributes FROM workflow_trace_log"))


def test_a_flush_does_not_count_spans_that_came_later(make_away):
    """Lost: a flush reports success although spans before it are not stored."""
    writer = make_away(queue_spans=5)
    writer.state.parked = False  # The thread does not start, so nothing leaves the queue.
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
    """Lost: all spans of a program that had too many threads at its first span."""

    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    writer = make()
    with monkeypatch.context() as few:
        few.setattr(writers, "Thread", Refused)
        ids = emit(writer, 2)
    ids += emit(writer, 1)
    until(lambda: sorted(stored(db)) == sorted(ids), "three spans are stored")


def test_forks_in_two_threads_let_everyone_import_again(monkeypatch):
    """Lost: a server whose threads start programs hangs on a lock that is never released."""
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
        process_hooks.release_if_held(process_hooks.importing)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert free == [True]
