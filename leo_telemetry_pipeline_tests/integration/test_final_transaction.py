"""The last transaction of an analysis: killed at any statement, and raced by another analysis."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest

from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import (
    analyse,
    analyse_queued,
    back_date,
    execute,
    kill,
    new_id,
    one,
    queued,
    row,
    running,
    slow,
    statuses,
)

KEYS = ("A", "B", "C", "D")

# The child concludes a run, prints each statement, and kills itself just before its n-th one. "commit" and "done" mean
# just before and just after the COMMIT that ends the run.
CHILD = """
import os, signal, sys
from contextlib import contextmanager
from datetime import datetime

from leo_telemetry_pipeline.actions import findings
from leo_telemetry_pipeline.analysis.bottlenecks import count_outcomes
from leo_telemetry_pipeline.dimension import Bottleneck
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline.store.days import Window

url, run_id, mine, end, moment, keys = sys.argv[1:7]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Cursor:
    number = 0

    def __init__(self, cursor):
        self.cursor, self.ends_run = cursor, False

    def execute(self, sql, parameters=None):
        if moment == str(Cursor.number):
            die()
        print(Cursor.number, " ".join(str(sql).split())[:60], flush=True)
        Cursor.number += 1
        self.ends_run = self.ends_run or "finish_telemetry_run" in str(sql)
        self.cursor.execute(sql, parameters)

    def __getattr__(self, name):
        return getattr(self.cursor, name)


class Mortal(Database):
    @contextmanager
    def transaction(self, **more):
        with super().transaction(**more) as real:
            cursor = Cursor(real)
            yield cursor
            if cursor.ends_run and moment == "commit":
                die()
        if cursor.ends_run and moment == "done":
            die()


bottlenecks = tuple(Bottleneck("gate", key, 500.0, 100.0, "configured", 2.0, 10, ["t"]) for key in keys.split(","))
outcomes = count_outcomes([]) | {"bottleneck": len(bottlenecks)}
at = datetime.fromisoformat(end)
findings.conclude(
    Mortal(outside(url, "dagster")),
    findings.Summary(bottlenecks, outcomes, 10, 10, "exact", {}),
    Window(at.replace(day=1, month=1), at),
    run_id=run_id, dagster_run_id=mine, errors=[],
)
"""

END = datetime(2026, 2, 9, tzinfo=UTC)


def child(database_url: str, run_id: str, mine: str, moment: str, *keys: str) -> tuple[int, list[str]]:
    """Conclude a run in its own process; return its exit status and the statements that it reached."""
    command = [sys.executable, "-c", CHILD, database_url, run_id, mine, END.isoformat(), moment, ",".join(keys)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == "", done.stderr
    return done.returncode, done.stdout.splitlines()


def claimed(db: Database, run_id: str) -> tuple[str, str]:
    mine = new_id()
    assert runs.claim(db, run_id, mine, 900)[0] == "CLAIMED"
    return run_id, mine


def open_items(db: Database) -> list[str]:
    return [
        key
        for (key,) in db.rows(
            "SELECT source_detail->>'dimension_key' FROM continuous_improvements"
            " WHERE status IN ('OPEN', 'IN_PROGRESS') ORDER BY 1"
        )
    ]


def reap_until_lost(db: Database, run_id: str) -> None:
    """Reap a run whose process is dead, once the server has noticed and released the row."""
    back_date(db, run_id, "heartbeat_at", "1 min")
    for _ in range(100):
        runs.reap(db)
        if row(db, run_id).status == "FAILED":
            return
        time.sleep(0.05)
    raise AssertionError("the killed process still holds its row")


@pytest.mark.parametrize("already_open", [False, True])
def test_sigkill_anywhere_in_the_last_transaction_leaves_all_of_it_or_nothing(
    db: Database, database_url: str, already_open: bool
):
    """Lost: there would be an item without its run, or the same item twice after the retry."""
    run_id, mine = claimed(db, queued(db))
    status, statements = child(database_url, run_id, mine, "never", *KEYS)
    assert status == 0
    assert len(statements) >= 3 + 2  # three items, the fence, and the end of the run
    assert any("continuous_improvements" in statement for statement in statements)
    assert open_items(db) == ["A", "B", "C"]

    for moment in (*map(str, range(len(statements))), "commit", "done"):
        execute(db, "TRUNCATE continuous_improvements, telemetry_analysis_runs CASCADE")
        if already_open:
            before, holder = claimed(db, queued(db))
            child(database_url, before, holder, "never", "A")
            execute(db, "UPDATE continuous_improvements SET updated_at = '2026-01-01'")
        kept = db.rows("SELECT * FROM continuous_improvements")
        run_id, mine = claimed(db, queued(db))
        assert child(database_url, run_id, mine, moment, *KEYS)[0] == -signal.SIGKILL, moment

        if moment == "done":
            assert row(db, run_id).status == "SUCCEEDED"
            assert len(open_items(db)) == 3 + already_open
        else:
            assert row(db, run_id).status == "RUNNING", moment
            assert db.rows("SELECT * FROM continuous_improvements") == kept, moment
            reap_until_lost(db, run_id)
            [retry] = runs.waiting(db)
            assert retry.retry_of == run_id
            run_id, mine = claimed(db, retry.run_id)
            assert child(database_url, run_id, mine, "never", *KEYS)[0] == 0
        assert row(db, run_id).status == "SUCCEEDED"
        expected = ["A", "B", "C", "D"] if already_open else ["A", "B", "C"]
        assert open_items(db) == expected, moment
        authors = db.rows("SELECT DISTINCT source_detail->>'run_id' FROM continuous_improvements")
        assert authors == [(run_id,)], moment


JOB = """
import sys
from leo_telemetry_pipeline_tests.builders import analyse, analysis_job
analysis_job()
print("ready", flush=True)
sys.stdin.readline()
print(analyse({"leo_telemetry/run_id": sys.argv[1]} if sys.argv[1] else {}).success)
"""


def test_two_analyses_at_once_follow_each_other_find_the_same_and_open_one_item_each(db: Database, settings, home):
    """Lost: two people, or a person and the sensor, would file the same bottlenecks twice."""
    slow(db, "A", "B")
    run_id = queued(db)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", JOB, tag], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )
        for tag in (run_id, "")
    ]  # fmt: skip
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        ends = []
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        for racer in racers:
            ends.append(racer.communicate()[0])
    finally:
        for racer in racers:
            kill(racer)
    assert ends == ["True\n", "True\n"]
    first, second = sorted(runs.latest(db, 9), key=lambda run: run.finished_at or END)
    assert [first.status, second.status] == ["SUCCEEDED", "SUCCEEDED"]
    assert first.finished_at is not None
    assert second.started_at is not None
    assert first.finished_at <= second.started_at
    assert first.output_ref is not None
    assert second.output_ref is not None

    def numbers(run: dict) -> list:
        return [
            {key: each[key] for key in each if key not in ("evidence_trace_ids", "lost_ms_a_week")}
            for each in run["bottlenecks"]
        ]

    assert numbers(first.output_ref) == numbers(second.output_ref)
    assert len(first.output_ref["bottlenecks"]) == 2
    assert (first.output_ref["items_created"], second.output_ref["items_created"]) == (2, 0)
    assert second.output_ref["items_skipped_dedupe"] == 2
    assert open_items(db) == ["A", "B"]


def test_a_run_whose_scope_is_busy_until_its_time_out_fails_as_not_launched(
    db: Database, settings, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a run that waits for another one would wait forever, and occupy a slot of Dagster."""
    monkeypatch.setenv("LEO_TELEMETRY_DEADLINE", "1s")
    holder, _ = running(db)
    waiting = queued(db)
    assert analyse({"leo_telemetry/run_id": waiting}).materialized == set()
    assert row(db, waiting).reason_code == "LAUNCH_FAILED"
    assert "another analysis" in str(row(db, waiting).error_detail)
    assert row(db, holder).status == "RUNNING"


def test_the_number_of_items_that_a_run_reports_is_the_number_that_it_created(db: Database, settings):
    """Lost: the counts that people see would not match the items that they find."""
    slow(db, *KEYS)
    for created, deduplicated, limited in ((3, 0, 1), (1, 3, 0), (0, 4, 0)):
        before = one(db, "SELECT count(*) FROM continuous_improvements")
        run = analyse_queued(db)
        assert run.output_ref is not None
        counts = [
            run.output_ref[name] for name in ("items_created", "items_skipped_dedupe", "items_skipped_rate_limit")
        ]
        assert counts == [created, deduplicated, limited]
        assert one(db, "SELECT count(*) FROM continuous_improvements") == before + created
        ids = {each["improvement_id"] for each in run.output_ref["bottlenecks"]} - {None}
        assert ids == {item for (item,) in db.rows("SELECT id::text FROM continuous_improvements")}
        json.dumps(run.output_ref, allow_nan=False)


@pytest.mark.transactions_at_once
def test_items_that_two_scopes_open_at_once_do_not_block_each_other(db: Database, target: Target, database_url: str):
    """Lost: analyses of two projects that end together would wait for each other, or one would fail."""
    begun = [
        (str(runs.begin(db, mine, 900, project=name)[1]), mine) for name, mine in (("p", new_id()), ("q", new_id()))
    ]
    with db.transaction() as cursor:
        runs.fence(cursor, *begun[0])
        with closing(Database(target)) as other, other.transaction() as second:
            second.execute("SET LOCAL lock_timeout = '500ms'")
            runs.fence(second, *begun[1])
            assert runs.finish(second, *begun[1], "SUCCEEDED", "COMPLETED")
        assert runs.finish(cursor, *begun[0], "SUCCEEDED", "COMPLETED")
    assert {status for status, _ in statuses(db)} == {"SUCCEEDED"}
