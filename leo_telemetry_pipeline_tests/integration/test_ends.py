"""Spans that are stored when they begin and again when they end: one row with its end, in any order."""

import itertools
import random
from contextlib import closing
from datetime import datetime, timedelta
from threading import Thread
from typing import Any

import psycopg2
import pytest

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import intake, open_spans, spans
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.store.spans import Stored
from leo_telemetry_pipeline_tests.builders import DAY, execute, midnight, new_id, one, span

ROW = "SELECT end_time_ms - start_time_ms, duration_ms, queue_wait_ms, status, attributes FROM workflow_trace_log"


def ids_of_one() -> dict[str, Any]:
    """Return the ids that identify a span."""
    return {"trace_id": new_id(), "span_id": new_id()}


def pair(**more: Any) -> tuple[Span, Span]:
    """Return a span as sent at its start, and as sent at its end."""
    ids = ids_of_one() | more
    start = span(duration_ms=None, status="RUNNING", attributes={"sd_type": "feature"}, queue_wait_ms=7, **ids)
    return start, span(duration_ms=5210, duration_rest_us=-210, status="OK", attributes={"gate_score": 90}, **ids)


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (0, 0, 1, 1)], ids=str)
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "batches"])
def test_a_span_sent_at_its_start_and_at_its_end_has_its_end(db: Database, order: tuple[int, ...], together: bool):
    """Lost: a user whose spans are sent when they begin never sees how long anything took."""
    made = pair()
    sent = [made[index] for index in order]
    for batch in [sent] if together else [[each] for each in sent]:
        spans.store(db, batch)
    [(lasted, duration, _, status, attributes)] = db.rows(ROW)
    assert (lasted, duration, status) == (5210, 5210, "OK")
    assert attributes.items() >= {"gate_score": 90}.items()


def test_values_of_the_start_are_kept_with_those_of_the_end(db: Database):
    """Lost: attributes that only the start had."""
    start, end = pair()
    assert spans.store(db, [start]) == Stored(1, 0)
    assert spans.store(db, [end]) == Stored(0, 0, 1)
    assert db.rows(ROW) == [(5210, 5210, 7, "OK", {"sd_type": "feature", "gate_score": 90})]
    assert db.rows("SELECT duration_rest_us FROM workflow_trace_log") == [(-210,)]


def test_a_completed_row_never_changes(db: Database):
    """Lost: a late or forged message overwrites a measurement."""
    start, end = pair()
    other = span(duration_ms=1, status="ERROR", trace_id=end.trace_id, span_id=end.span_id)
    spans.store(db, [end])
    before = db.rows("SELECT * FROM workflow_trace_log")
    for again in ([start], [other], [other, start], [end, other]):
        assert spans.store(db, again) == Stored(0, 0)
    assert db.rows("SELECT * FROM workflow_trace_log") == before


@pytest.mark.parametrize("column", ["end_time_ms", "duration_ms"])
def test_an_end_time_or_a_duration_is_an_end(db: Database, column: str):
    """Lost: spans of a source that sends only a duration, or only an end, are completed twice or never."""
    start, end = pair()
    setattr(end, column, None)
    spans.store(db, [start])
    assert spans.store(db, [end]).completed == 1
    _, again = pair(trace_id=end.trace_id, span_id=end.span_id)
    again.duration_ms = 1
    assert spans.store(db, [again]) == Stored(0, 0)


def test_a_large_batch_of_starts_and_ends_in_any_order_makes_one_row_each(db: Database):
    """Lost: a file of starts and ends is stored in part, or not at all."""
    rng, pairs = random.Random(11), [pair() for _ in range(500)]
    sent = list(itertools.chain.from_iterable(pairs)) * 2
    rng.shuffle(sent)
    stored = [spans.store(db, sent[at : at + 150]) for at in range(0, len(sent), 150)]
    assert sum(each.new for each in stored) == 500
    assert one(db, "SELECT count(*) FROM workflow_trace_log WHERE duration_ms = 5210") == 500
    assert one(db, "SELECT count(*) FROM workflow_trace_log") == 500


def test_only_the_same_start_is_completed(db: Database):
    """Lost: spans of two services with the same span id become one."""
    start, _ = pair()
    other = span(at=midnight(2) + timedelta(hours=13), trace_id=start.trace_id, span_id=start.span_id)
    spans.store(db, [start])
    assert spans.store(db, [other]) == Stored(1, 0)
    assert one(db, "SELECT count(*) FROM workflow_trace_log WHERE duration_ms IS NULL") == 1


def test_rows_in_the_default_partition_are_completed_too(db: Database):
    """Lost: spans that began long ago, or with a wrong clock, never end."""
    start, end = pair(at=midnight(3000))
    spans.store(db, [start])
    assert spans.store(db, [end]) == Stored(0, 0, 1)


@pytest.mark.transactions_at_once
def test_two_senders_of_the_same_ends_at_once_complete_each_row_once(db: Database, target: Target):
    """Lost: two receivers behind a load balancer deadlock, and one loses its batch."""
    pairs = [pair() for _ in range(300)]
    spans.store(db, [start for start, _ in pairs])
    done: list[Stored] = []

    def send(seed: int) -> None:
        own = Database(target)
        sent = [end for _, end in pairs]
        random.Random(seed).shuffle(sent)
        done.append(spans.store(own, sent))
        own.close()

    threads = [Thread(target=send, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(each.completed for each in done) == 300
    assert len(done) == 4


def test_an_impossible_end_is_quarantined_and_the_row_stays_open(db: Database):
    """Lost: one bad end keeps a whole batch out."""
    start, end = pair()
    bad = pair(trace_id=end.trace_id, span_id=end.span_id)[1]
    bad.end_time_ms = bad.start_time_ms - 1
    spans.store(db, [start])
    assert spans.store(db, [bad, span()]) == Stored(1, 1)
    assert spans.store(db, [end]) == Stored(0, 0, 1)


def test_another_span_with_the_same_key_is_counted_for_the_doctor(db: Database):
    """Lost: if a source gives two spans one id, one is silently gone."""
    first = span("gate", "A")
    ids: dict[str, Any] = {"trace_id": first.trace_id, "span_id": first.span_id}
    spans.store(db, [first, span("gate", "B", **ids)], source="otlp")
    spans.store(db, [span("tool", "A", **ids), span("gate", "A", **ids), span("gate", "C", 7, **ids)], source="otlp")
    found = [(notice.kind, notice.detail, notice.count) for notice in intake.since(db, midnight())]
    assert found == [(intake.KEY_CONFLICT, "gate", 2), (intake.KEY_CONFLICT, "tool", 1)]


def test_a_span_that_is_sent_again_unchanged_is_not_a_conflict(db: Database):
    """Lost: every retry of a client looks like lost data."""
    made = [span(), *pair()]
    for _ in range(3):
        spans.store(db, made)
    assert intake.since(db, midnight()) == []


def test_an_end_with_a_better_name_is_not_a_conflict(db: Database):
    """Lost: a server span whose name improves while it runs looks like lost data."""
    start, end = pair()
    end.span_name = "GET /users/:id"
    spans.store(db, [start])
    assert spans.store(db, [end]) == Stored(0, 0, 1)
    assert intake.since(db, midnight()) == []


def test_a_span_stored_without_an_end_is_shown_as_running(db: Database):
    """Lost: `running` hides an operation as soon as its start is stored."""
    start, end = pair(at=midnight())
    open_spans.announce(db, [start], [], host="h", pid=1)
    spans.store(db, [start])
    assert [each.span_id for each in open_spans.running(db)] == [start.span_id]
    spans.store(db, [end])
    assert open_spans.running(db) == []


def claude(at: datetime, duration_ms: int | None = 900, **more: Any) -> Span:
    attributes = {"service.name": "claude-code", "session.id": "s"} | more.pop("attributes", {})
    return span("tool", "Bash", duration_ms, at=at, attributes=attributes, **more)


@pytest.mark.parametrize("apart_ms", [-40, 0, 40, 9_000, 3_600_000, -7_200_000])
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "batches"])
def test_two_sources_of_one_span_make_one_row_with_the_first_start(db: Database, apart_ms: int, together: bool):
    """Lost: a user who has hooks and OpenTelemetry switched on sees every tool twice."""
    # Two hours before 01:00 is the day before, in another partition.
    at, ids = midnight(2) + timedelta(hours=1), ids_of_one()
    first, second = claude(at, **ids), claude(at + timedelta(milliseconds=apart_ms), 950, **ids)
    stored = [spans.store(db, batch) for batch in ([[first, second]] if together else [[first], [second]])]
    assert sum(each.new for each in stored) == 1
    assert db.rows("SELECT start_time_ms, duration_ms FROM workflow_trace_log") == [(first.start_time_ms, 900)]
    assert second.start_time_ms == first.start_time_ms + apart_ms, "the caller's span is unchanged"


def test_the_second_source_gives_its_end_to_the_start_of_the_first(db: Database):
    """Lost: the end of a prompt whose start came from a hook and whose end came from OpenTelemetry."""
    at, ids = midnight(2), ids_of_one()
    spans.store(db, [claude(at, None, **ids)])
    assert spans.store(db, [claude(at - timedelta(seconds=30), 20_000, **ids)]) == Stored(0, 0, 1)
    assert db.rows("SELECT end_time_ms - start_time_ms, duration_ms FROM workflow_trace_log") == [(20_000, 20_000)]


def test_spans_of_other_services_and_distant_days_keep_their_own_start(db: Database):
    """Lost: client and server of one request, or a session resumed after days, become one row."""
    at, ids = midnight(5), ids_of_one()
    later = at + timedelta(milliseconds=40)
    for attributes in ({}, {"service.name": "claude-code"}, {"service.name": "shop", "session.id": "s"}):
        execute(db, "TRUNCATE workflow_trace_log")
        assert spans.store(db, [span(at=at, attributes=attributes, **ids), span(at=later, **ids)]).new == 2
    assert spans.store(db, [claude(at + 3 * DAY, **ids)]).new == 1


@pytest.mark.transactions_at_once
def test_two_sources_at_once_agree_on_the_first_start(db: Database, target: Target):
    """Lost: a race between hook and receiver stores a span twice."""
    ids = [ids_of_one() for _ in range(40)]

    def send(apart_ms: int) -> None:
        own = Database(target)
        for each in ids:
            spans.store(own, [claude(midnight(2) + timedelta(milliseconds=apart_ms), **each)])
        own.close()

    spans.ensure_partitions(db, midnight(3), midnight(1))
    threads = [Thread(target=send, args=(apart,)) for apart in (0, 40, 80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert one(db, "SELECT count(*) FROM workflow_trace_log") == 40


def test_new_partitions_find_rows_without_an_end_without_reading_the_others(db: Database):
    """Lost: each analysis reads all spans to find those that ended since."""
    spans.ensure_partitions(db, midnight(2), midnight())
    indexes = "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%%(duration_ms IS NULL)%%' AND tablename LIKE %s"
    days = one(db, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'workflow_trace_log'::regclass")
    assert one(db, indexes, ("workflow_trace_log_2%",)) == days - 1 >= 3
    assert one(db, indexes, ("workflow_trace_log_default",)) == 1
    assert one(db, "SELECT count(*) FROM pg_index AS i WHERE NOT i.indisvalid") == 0


@pytest.mark.transactions_at_once
def test_spans_that_come_again_complete_lock_no_row(db: Database, target: Target):
    """Lost: of two concurrent imports of the same files, one fails with an error."""
    made = [span() for _ in range(40)]
    spans.store(db, made)
    with closing(psycopg2.connect(target.dsn)) as other, other.cursor() as cursor:
        for each in made:
            # Citus locks rows of one trace at a time.
            cursor.execute("SELECT span_id FROM workflow_trace_log WHERE trace_id = %s FOR UPDATE", (each.trace_id,))
        assert spans.store(db, made[::-1]) == Stored(0, 0)
