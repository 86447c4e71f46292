"""Maintenance killed at any step: only archived spans are gone, and the next run finishes the work."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.sources.files import parquet
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.retention import archive, maintenance, partitions
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import execute, midnight, new_id, span
from leo_telemetry_pipeline_tests.processes import command, environment, finished

KEEP = 35
# Ages of three days: one with its own partition, one in the default partition, one that is not due.
AGES = (36, 60, 3)
KEPT_AT_FIRST = 36
EACH = 12

# Forks a process per line "<what> <step>" that it reads. The process is killed at that step, which is the next
# writing statement, commit, or call on a file.
WORKER = """
import os, signal, sys
from contextlib import closing, contextmanager
from pathlib import Path
import pandas  # pyarrow imports pandas with its first array; imported here so that the forks need not do so
import psycopg2.extensions
import pyarrow.parquet
from leo_telemetry_pipeline.sources.files import parquet
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.retention import archive, maintenance
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database, Target

left = 0

def step():
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1

def counted(function):
    def call(*arguments, **named):
        step()
        return function(*arguments, **named)
    return call

class Cursor(psycopg2.extensions.cursor):
    wrote = False

    def execute(self, sql, parameters=None):
        # Reads are not steps: a kill before a read leaves the same state as the last write.
        text = sql.decode() if isinstance(sql, bytes) else sql
        if not text.lstrip().startswith(("SELECT", "WITH")) or "ensure_trace_partitions" in text:
            self.wrote = True
            step()
        return super().execute(sql, parameters)

connect, transaction = Target.connect, Database.transaction

def connect_counted(self, **named):
    connection = connect(self, **named)
    connection.cursor_factory = Cursor
    return connection

@contextmanager
def transaction_counted(self, **named):
    with transaction(self, **named) as cursor:
        yield cursor
        if cursor.wrote:
            step()

Target.connect, Database.transaction = connect_counted, transaction_counted
for name in ("open", "fsync", "replace", "unlink", "close"):
    setattr(os, name, counted(getattr(os, name)))
archive.GROUP = archive.ROWS_AT_ONCE = parquet.ROWS_AT_ONCE = 5
settings = Settings()

def work(what):
    with closing(Database(database.outside(settings.database_url, "dagster"))) as db:
        if what == "maintain":
            report = maintenance.maintain(db, settings)
            assert not report.problems, report.problems
        else:
            for path in sorted(Path(settings.archive).glob("*.parquet")):
                archive.restore(db, path, parquet.notes(path)[parquet.ARCHIVE_ID])

for line in sys.stdin:
    what, at = line.split()
    pid = os.fork()
    if pid == 0:
        left = int(at)
        try:
            work(what)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Worker:
    """The process that forks the processes to kill."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def ends(self, what: str, at: int) -> bool:
        """Do ``what`` in a process that is killed at step ``at``; return whether it ended before that step."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {at}\n")
        self._process.stdin.flush()
        code = self._process.stdout.readline().strip()
        assert code in ("0", "-9"), code
        return code == "0"


@contextmanager
def worker(settings: Settings, folder: Path) -> Iterator[Worker]:
    """Start the process that forks the processes to kill."""
    variables = {
        PREFIX + "DATABASE_URL": settings.database_url,
        PREFIX + "KEEP": f"{KEEP}d",
        PREFIX + "ARCHIVE": str(folder),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env=environment(settings.home, **variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Worker(process)
        finally:
            process.kill()


def begin(db: Database, folder: Path) -> Counter:
    """Delete everything, store the same days again, and return what is stored."""
    for path in folder.glob("*") if folder.exists() else ():
        path.unlink()
    for table in ("workflow_trace_log", "telemetry_sealed_days", "duration_histograms", "workflow_trace_counts"):
        execute(db, f"DELETE FROM {table}")
    execute(db, "UPDATE telemetry_upkeep SET keep_days = %s", (KEPT_AT_FIRST,))
    made = [
        span("gate", f"G{n % 2}", 10 * n + age, at=midnight(age), trace_id=new_id())
        for age in AGES
        for n in range(EACH)
    ]
    spans.store(db, made)
    execute(db, "UPDATE workflow_trace_log SET created_at = to_timestamp(start_time_ms / 1000) + interval '3 hours'")
    return stored(db)


def stored(db: Database) -> Counter:
    """Return the spans of the table with their counts."""
    return Counter(span_id for (span_id,) in db.rows("SELECT span_id::text FROM workflow_trace_log"))


def archived(folder: Path) -> Counter:
    """Return the spans of all completed archive files."""
    return Counter(
        span_id for path in folder.glob("*.parquet") for span_id in pq.read_table(path)["span_id"].to_pylist()
    )


def history(db: Database) -> list[tuple]:
    """Return the sealed history."""
    return db.rows(
        "SELECT day, part, dimension_type, dimension_key, count, sum_ms, buckets, counts FROM duration_histograms"
        " WHERE count > 0 ORDER BY 1, 2, 3, 4"
    ) + db.rows(
        "SELECT day, part, span_type, spans, traces FROM workflow_trace_counts WHERE spans > 0 ORDER BY 1, 2, 3"
    )


def finish(worker: Worker, db: Database) -> None:
    """Run maintenance until nothing is left to do; a server may notice a killed client late."""
    while not worker.ends("maintain", 10_000) or db.rows(
        "SELECT FROM workflow_trace_log WHERE start_time_ms < %s", (midnight(KEEP).timestamp() * 1000,)
    ):
        pass


def test_maintenance_killed_at_any_step_loses_nothing(db: Database, settings: Settings, tmp_path: Path) -> None:
    """Lost: a day's history, or spans that a crash, a full disk or a closed laptop caught between table and file."""
    folder = tmp_path / "archive"
    with worker(settings, folder) as killed:
        everything, at, ended = begin(db, folder), 0, False
        finish(killed, db)
        expected = history(db)
        assert len(archived(folder)) == 2 * EACH
        while not ended:
            everything = begin(db, folder)
            ended = killed.ends("maintain", at)
            assert set(stored(db)) | set(archived(folder)) == set(everything), f"killed at step {at}"
            finish(killed, db)
            assert stored(db) + archived(folder) == everything, f"killed at step {at}"
            assert history(db) == expected, f"killed at step {at}"
            assert (
                db.rows("SELECT FROM telemetry_sealed_days WHERE (archived_at IS NULL) <> (dropped_at IS NULL)") == []
            )
            for path in folder.glob("*.parquet"):
                archive.restore(db, path, parquet.notes(path)[parquet.ARCHIVE_ID])
            assert stored(db) == everything, f"killed at step {at}"
            at += 1
    assert at > 30


def test_a_restore_killed_at_any_step_can_be_repeated(db: Database, settings: Settings, tmp_path: Path) -> None:
    """Lost: half of the restored spans are dropped the following night."""
    with worker(settings, tmp_path) as killed:
        everything, at = begin(db, tmp_path), 0
        finish(killed, db)
        while not killed.ends("restore", at):
            came_back = set(stored(db)) & set(archived(tmp_path))
            assert killed.ends("maintain", 10_000)
            assert set(stored(db)) >= came_back
            at += 1
    assert stored(db) == everything
    assert at > 10


def test_a_disk_that_is_full_is_reported_and_nothing_is_dropped(
    db: Database, settings: Settings, tmp_path: Path
) -> None:
    """Lost: the spans that did not fit."""
    everything = begin(db, tmp_path)
    limited = ["sh", "-c", 'ulimit -f 40; exec "$@"', "sh", *command("maintain")]
    variables = {"DATABASE_URL": settings.database_url, "KEEP": f"{KEEP}d", "ARCHIVE": str(tmp_path)}
    made = [span("gate", "G", n, at=midnight(36), attributes={"noise": new_id() + new_id()}) for n in range(500)]
    spans.store(db, made)
    execute(db, "UPDATE workflow_trace_log SET created_at = to_timestamp(start_time_ms / 1000)")
    everything = stored(db)
    done = finished(limited, environment(settings.home, **{PREFIX + name: value for name, value in variables.items()}))
    assert done.code == 1
    assert "Not done" in done.out
    assert archive.name_of(midnight(36).date(), 1) in done.out
    assert set(stored(db)) | set(archived(tmp_path)) == set(everything)
    assert len(list(tmp_path.iterdir())) == 1
    assert (
        maintenance.maintain(db, Settings({PREFIX + "KEEP": f"{KEEP}d", PREFIX + "ARCHIVE": str(tmp_path)})).problems
        == []
    )
    assert stored(db) + archived(tmp_path) == everything
    assert partitions.name_of(midnight(36).date()) not in str(partitions.attached(db))
