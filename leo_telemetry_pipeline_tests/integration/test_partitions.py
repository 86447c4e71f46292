"""Partitions of the span table: created only when needed, and the default partition is emptied day by day."""

import threading
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import psycopg2
import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.sources.otlp.conventions import CLAUDE_CODE_SERVICE
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import first_starts, spans
from leo_telemetry_pipeline.store.days import milliseconds
from leo_telemetry_pipeline.store.history import histograms, staleness
from leo_telemetry_pipeline.store.retention import maintenance, partitions
from leo_telemetry_pipeline.store.server.database import Database, Target, outside
from leo_telemetry_pipeline_tests.builders import DAY, execute, midnight, new_id, one, partition_of, span, spans_of
from leo_telemetry_pipeline_tests.processes import until
from leo_telemetry_pipeline_tests.servers import as_role

pytestmark = pytest.mark.without_days

OLDEST, NEWEST = 90, -3
TYPES = ["gate"]


def keeping(days: int = OLDEST, **more: str) -> Settings:
    """Return settings that keep spans for ``days`` days."""
    return Settings({PREFIX + "KEEP": f"{days}d", **{PREFIX + name: value for name, value in more.items()}})


def partition(moment: datetime) -> str:
    """Return the partition of a moment."""
    return partitions.name_of(moment.date())


def locks(cursor: psycopg2.extensions.cursor) -> set[str]:
    """Return the lock modes of this transaction on the span table."""
    cursor.execute(
        "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'workflow_trace_log'::regclass"
    )
    return {mode for (mode,) in cursor.fetchall()}


def test_a_writer_makes_the_days_of_the_range_and_no_others(db: Database) -> None:
    """Lost: one span with a broken clock creates 47,000 partitions, and every query takes minutes."""
    assert partitions.make(db, date(1970, 1, 1), date(2099, 1, 1)) == OLDEST - NEWEST + 1
    assert set(partitions.attached(db)) == {midnight(n).date() for n in range(NEWEST, OLDEST + 1)}
    assert partitions.make(db, date(1970, 1, 1), date(2099, 1, 1)) == 0


def test_a_writer_with_existing_partitions_does_not_wait(db: Database) -> None:
    """Lost: all writers' batches queue behind one another."""
    partitions.make(db, date(1970, 1, 1), date(2099, 1, 1))
    with db.transaction() as cursor:
        cursor.execute("SELECT ensure_trace_partitions('1970-01-01', '2099-01-01')")
        assert locks(cursor) == set()


def test_writers_that_need_the_same_day_at_once_all_get_it(target: Target, db: Database) -> None:
    """Lost: of several programs at midnight, all but one fail to store the day's first spans."""
    made, barrier = [], threading.Barrier(6)

    def write() -> None:
        with closing(Database(target)) as mine:
            barrier.wait()
            made.append(partitions.make(mine, midnight(5).date(), midnight().date()))

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) == len(made) == 6
    assert len(partitions.attached(db)) == 6


def test_a_writer_without_any_right_to_the_table_but_insert_makes_its_partitions(
    db: Database, database_url: str
) -> None:
    """Lost: programs that may only insert store everything in the default partition."""
    execute(db, "CREATE ROLE only_writes LOGIN PASSWORD 'pw'; GRANT INSERT ON workflow_trace_log TO only_writes")
    execute(db, "GRANT EXECUTE ON FUNCTION ensure_trace_partitions TO only_writes")
    try:
        with closing(Database(outside(as_role(database_url, "only_writes"), "dagster"))) as own:
            assert spans.ensure_partitions(own, midnight(), midnight()) == 1
    finally:
        execute(db, "DROP OWNED BY only_writes; DROP ROLE only_writes")


@pytest.mark.transactions_at_once
def test_a_span_is_stored_while_its_partition_cannot_be_made_and_moved_later(db: Database, other: Database) -> None:
    """Lost: during another program's long transaction, spans of a new day cannot be stored."""
    late = span(at=midnight(1) + timedelta(hours=3))
    with other.transaction() as cursor:
        cursor.execute("LOCK TABLE workflow_trace_log IN ROW EXCLUSIVE MODE")
        spans.store(db, [late])
    assert partition_of(db, late.span_id) == partitions.DEFAULT
    report = maintenance.maintain(db, keeping())
    assert report.moved == {str(midnight(1).date()): 1}
    assert partition_of(db, late.span_id) == partition(midnight(1))


@pytest.mark.transactions_at_once
def test_a_writer_and_a_maker_of_partitions_never_wait_for_each_other(
    db: Database, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a deadlock occasionally ends a command that stores Claude Code's spans."""
    look, makers = first_starts.kept, []

    def looked(cursor: psycopg2.extensions.cursor, batch: list[Span]) -> list[Span]:
        kept = look(cursor, batch)
        maker = threading.Thread(target=lambda: partitions.make(other, midnight(1).date(), midnight(1).date()))
        maker.start()
        makers.append(maker)
        until(lambda: waiting(cursor), "the maker of partitions waits for the writer", every=0.01)
        return kept

    monkeypatch.setattr(first_starts, "kept", looked)
    attributes = {"service.name": CLAUDE_CODE_SERVICE, "session.id": "s"}
    assert spans.insert(db, [span(at=midnight(1), attributes=attributes)]) == 1
    [maker] = makers
    maker.join()


def waiting(cursor: psycopg2.extensions.cursor) -> bool:
    """Return whether a session waits for a table lock in this database."""
    cursor.execute(
        "SELECT count(*) > 0 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
        " WHERE NOT l.granted AND l.locktype = 'relation' AND d.datname = current_database()"
    )
    return cursor.fetchone() == (True,)


def test_spans_with_any_clock_are_stored_once_and_moved_when_their_day_comes_into_the_range(db: Database) -> None:
    """Lost: spans of a wrong clock vanish, are counted twice, or prevent their day's partition forever."""
    year_old, tomorrow = midnight(365) + timedelta(hours=5), midnight(-1) + timedelta(hours=5)
    made = {
        at: span(at=at)
        for at in (year_old, tomorrow, datetime(2099, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
    }
    # Stored before any partition exists, so all of them go to the default one.
    spans.insert(db, made.values())
    stored_at = one(db, "SELECT array_agg(created_at ORDER BY span_id) FROM workflow_trace_log")
    assert maintenance.maintain(db, keeping(35)).moved == {str(tomorrow.date()): 1}
    assert partition_of(db, made[tomorrow].span_id) == partition(tomorrow)
    assert spans.store(db, list(made.values())).new == 0
    assert {partition_of(db, one.span_id) for at, one in made.items() if at != tomorrow} == {partitions.DEFAULT}

    assert maintenance.maintain(db, keeping(400)).moved == {str(year_old.date()): 1}
    assert partition_of(db, made[year_old].span_id) == partition(year_old)
    assert maintenance.maintain(db, keeping(400)).moved == {}
    assert spans.store(db, list(made.values())).new == 0
    assert one(db, "SELECT count(*) FROM workflow_trace_log") == 4
    assert one(db, "SELECT array_agg(created_at ORDER BY span_id) FROM workflow_trace_log") == stored_at


def test_a_moved_day_is_not_counted_again(db: Database) -> None:
    """Lost: every move causes a recount of the day, or its spans are counted twice."""
    day = midnight(3)
    spans.insert(db, spans_of("gate", "G", [10, 20, 30], at=day + timedelta(hours=1)))
    staleness.mark_stale(db)
    histograms.rebuild(db, [day.date()], TYPES, TYPES)
    assert maintenance.maintain(db, keeping()).moved == {str(day.date()): 3}
    staleness.mark_stale(db)
    assert staleness.stale_days(db, day.date(), (day + DAY).date(), TYPES) == []


def test_a_table_that_has_the_name_of_a_partition_is_named_and_the_other_days_are_moved(db: Database) -> None:
    """Lost: one detached partition prevents all maintenance."""
    spans.insert(db, [span(at=midnight(3)), span(at=midnight(2))])
    execute(db, f"CREATE TABLE {partition(midnight(3))} ()")
    report = maintenance.maintain(db, keeping())
    assert report.moved == {str(midnight(2).date()): 1}
    assert len(report.problems) == 1
    assert partition(midnight(3)) in report.problems[0]


def test_a_window_reads_only_the_partitions_of_its_days(db: Database) -> None:
    """Lost: every analysis reads all stored spans."""
    partitions.make(db, midnight(OLDEST).date(), midnight().date())
    [(plan,)] = db.rows(
        "EXPLAIN (FORMAT JSON) SELECT FROM workflow_trace_log WHERE start_time_ms >= %s AND start_time_ms < %s",
        (milliseconds(midnight(2)), milliseconds(midnight(1))),
    )
    assert partition(midnight(2)) in str(plan)
    assert partition(midnight(3)) not in str(plan)
    assert partitions.DEFAULT not in str(plan)


class Traffic:
    """Writers that store one span at a time, and readers that count spans which are there all along."""

    def __init__(self, target: Target, days: int) -> None:
        self.target, self.days = target, days
        self.stop = threading.Event()
        self.written: list[str] = []
        self.miscounted: list[int] = []
        self.errors: list[BaseException] = []
        self.reads = 0

    def write(self) -> None:
        """Store spans of all days one by one, as several small programs do."""
        with closing(Database(self.target)) as db:
            number = 0
            while not self.stop.is_set():
                number += 1
                made = span("gate", "WRITTEN", at=midnight(number % self.days) + timedelta(minutes=number))
                stored = spans.store(db, [made])
                assert stored == spans.Stored(1, 0)
                self.written.append(made.span_id)

    def read(self) -> None:
        """Count the initial spans repeatedly, with a newly planned query each time."""
        with closing(Database(self.target)) as db:
            while not self.stop.is_set():
                for n in range(self.days):
                    found = one(
                        db,
                        "SELECT count(*) FROM workflow_trace_log WHERE span_name = 'THERE'"
                        " AND start_time_ms >= %s AND start_time_ms < %s",
                        (milliseconds(midnight(n)), milliseconds(midnight(n - 1))),
                    )
                    self.reads += 1
                    self.miscounted += [found] if found != 2_000 else []

    def _guarded(self, work) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # shown by the test
            self.errors.append(error)

    def __enter__(self) -> "Traffic":
        works = (self.write, self.write, self.write, self.read, self.read)
        self.threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_nothing_is_lost_or_unseen_while_days_move_and_others_write_and_read(target: Target, db: Database) -> None:
    """Lost: spans that arrive while the default partition is emptied; or a count misses a whole day."""
    days = 8
    spans.insert(
        db,
        [
            each
            for n in range(days)
            for each in spans_of("gate", "THERE", [10] * 2_000, at=midnight(n), trace_id=new_id())
        ],
    )
    with Traffic(target, days) as traffic:
        report = maintenance.maintain(db, keeping())
        again = maintenance.maintain(db, keeping())
    assert traffic.errors == []
    assert report.problems == again.problems == []
    assert len(report.moved) == days
    assert traffic.reads
    assert traffic.miscounted == []
    assert set(traffic.written) == {
        span_id for (span_id,) in db.rows("SELECT span_id::text FROM workflow_trace_log WHERE span_name = 'WRITTEN'")
    }
    assert one(db, "SELECT count(*) FROM telemetry_quarantine") == 0
    assert one(db, f"SELECT count(*) FROM {partitions.DEFAULT}") == 0
