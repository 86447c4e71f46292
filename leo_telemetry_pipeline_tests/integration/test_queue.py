"""The queue and the life of a run: every rule of it, for racing, dying and late callers."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import psycopg2
import pytest

from leo_telemetry_pipeline.actions import findings
from leo_telemetry_pipeline.dimension import Baseline, Bottleneck, DimensionResult, Judgement
from leo_telemetry_pipeline.store import baselines, dimension_results, runs
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import (
    back_date,
    execute,
    midnight,
    new_id,
    one,
    queued,
    row,
    running,
    statuses,
    succeeded,
    week,
)

RACERS, CALLS = 40, 50

RACER = """
import sys, psycopg2
url, calls = sys.argv[1], int(sys.argv[2])
connection = psycopg2.connect(url)
connection.autocommit = True
print("ready", flush=True)
sys.stdin.readline()
outcomes = []
with connection.cursor() as cursor:
    for number in range(calls):
        cursor.execute(
            "SELECT outcome, run_id::text FROM enqueue_telemetry_analysis(if_stale => %s)", (number % 2 == 0,))
        outcomes.append(cursor.fetchone())
for outcome in outcomes:
    print(*outcome)
"""


def test_two_thousand_enqueues_from_forty_processes_leave_one_queued_row(db: Database, database_url: str):
    """Lost: sessions that start together would each start an analysis."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, database_url, str(CALLS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(RACERS)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told: list[str] = []
    for racer in racers:
        out, err = racer.communicate()
        assert racer.returncode == 0, err[-500:]
        told += out.splitlines()
    [(run_id, status)] = db.rows("SELECT run_id::text, status FROM telemetry_analysis_runs")
    assert status == "QUEUED"
    assert len(told) == RACERS * CALLS
    assert told.count(f"ENQUEUED {run_id}") == 1
    assert told.count(f"ALREADY_QUEUED {run_id}") == RACERS * CALLS - 1


# Stale or not


def if_stale(db: Database, by: str = "SESSION_START") -> str:
    return runs.enqueue(db, if_stale=True, triggered_by=by)[1]


def test_a_history_without_any_run_is_stale(db: Database):
    """Lost: a new installation would never analyse anything."""
    run_id, outcome, _ = runs.enqueue(db, if_stale=True, triggered_by="SESSION_START")
    assert outcome == "ENQUEUED"
    assert row(db, str(run_id)).triggered_by == "SESSION_START"


def test_what_is_queued_or_running_is_told_instead_of_queued_again(db: Database):
    """Lost: every session start would add an analysis while one waits or works."""
    run_id = queued(db)
    assert runs.enqueue(db, if_stale=True)[:2] == (run_id, "ALREADY_QUEUED")
    assert runs.enqueue(db)[:2] == (run_id, "ALREADY_QUEUED")
    assert runs.claim(db, run_id, new_id(), 900)[0] == "CLAIMED"
    assert runs.enqueue(db, if_stale=True)[:2] == (run_id, "ALREADY_RUNNING")
    other, outcome, _ = runs.enqueue(db)
    assert outcome == "ENQUEUED"
    assert runs.enqueue(db, if_stale=True)[1] in ("ALREADY_RUNNING", "ALREADY_QUEUED")
    assert sorted(statuses(db)) == [("QUEUED", None), ("RUNNING", None)]
    assert other != run_id


@pytest.mark.parametrize(
    ("age", "outcome"),
    [("0 s", "FRESH"), ("6 days 23 h 59 min", "FRESH"), ("7 days 1 s", "ENQUEUED"), ("30 days", "ENQUEUED")],
)
def test_an_analysis_is_stale_when_its_window_ended_over_seven_days_ago(db: Database, age: str, outcome: str):
    """Lost: analyses would come too often, or not at all."""
    back_date(db, succeeded(db), "window_end = now(), window_start", "40 days")
    execute(db, "UPDATE telemetry_analysis_runs SET window_end = now() - %s::interval", (age,))
    assert if_stale(db) == outcome


def test_by_hand_an_analysis_is_queued_also_when_the_last_is_fresh(db: Database):
    """Lost: nobody could ask for an analysis now."""
    succeeded(db)
    assert if_stale(db) == "FRESH"
    assert runs.enqueue(db)[1] == "ENQUEUED"


def test_only_success_counts_as_fresh(db: Database):
    """Lost: an analysis that broke would be taken for one that found nothing."""
    for end in ("FAILED", "CANCELLED", "TIMED_OUT"):
        run_id, _ = running(db)
        execute(
            db, "UPDATE telemetry_analysis_runs SET status = %s, finished_at = now() WHERE run_id = %s", (end, run_id)
        )
    assert if_stale(db) == "ENQUEUED"


def test_an_analysis_of_one_project_does_not_make_the_whole_fresh(db: Database):
    """Lost: looking at one project would stop the analyses of all others for a week."""
    succeeded(db, project="shop")
    assert if_stale(db) == "ENQUEUED"


def test_an_analysis_of_a_window_that_ends_in_the_future_does_not_make_fresh(db: Database):
    """Lost: one typing error in a date would stop all analyses until then."""
    run_id = succeeded(db)
    execute(
        db, "UPDATE telemetry_analysis_runs SET window_end = now() + interval '300 days' WHERE run_id = %s", (run_id,)
    )
    assert if_stale(db) == "ENQUEUED"


def failed(db: Database, ago: str, by: str = "SESSION_START", end: str = "FAILED") -> str:
    """Make an automatic run that failed some time ago."""
    run_id, _ = running(db, triggered_by=by)
    execute(db, "UPDATE telemetry_analysis_runs SET status = %s WHERE run_id = %s", (end, run_id))
    back_date(db, run_id, "triggered_at", ago)
    back_date(db, run_id, "finished_at", ago)
    return run_id


@pytest.mark.parametrize(
    ("failures", "outcome"),
    [
        (["59 min"], "BACKING_OFF"),
        (["61 min"], "ENQUEUED"),
        (["10 h", "3 h 59 min"], "BACKING_OFF"),
        (["10 h", "4 h 1 min"], "ENQUEUED"),
        (["3 d", "2 d", "23 h 59 min"], "BACKING_OFF"),
        (["3 d", "2 d", "24 h 1 min"], "ENQUEUED"),
        (["9 d", "8 d", "3 d", "2 d", "23 h"], "BACKING_OFF"),
    ],
)
def test_after_automatic_failures_the_next_automatic_run_waits_1_then_4_then_24_hours(
    db: Database, failures: list[str], outcome: str
):
    """Lost: an analysis that cannot work would be tried at every session start."""
    for ago in failures:
        failed(db, ago, by="SCHEDULED" if ago.endswith("d") else "SESSION_START")
    assert if_stale(db) == outcome
    execute(db, "DELETE FROM telemetry_analysis_runs WHERE status = 'QUEUED'")
    assert runs.enqueue(db)[1] == "ENQUEUED"


def test_failures_by_hand_and_failures_before_a_success_delay_nothing(db: Database):
    """Lost: a person trying things out would stop the automatic analyses."""
    failed(db, "5 min", by="MANUAL")
    failed(db, "5 min", by="CLI")
    assert if_stale(db) == "ENQUEUED"
    execute(db, "DELETE FROM telemetry_analysis_runs")
    failed(db, "10 min")
    old = succeeded(db)
    back_date(db, old, "window_start", "40 days")
    back_date(db, old, "window_end", "30 days")
    assert if_stale(db) == "ENQUEUED"


def test_a_retry_is_no_failure_of_its_own(db: Database):
    """Lost: one lost worker and its retry would already make the next analysis wait four hours."""
    first = failed(db, "70 min")
    retry = failed(db, "65 min")
    execute(db, "UPDATE telemetry_analysis_runs SET retry_of = %s, attempt = 2 WHERE run_id = %s", (first, retry))
    assert if_stale(db) == "ENQUEUED"


def test_a_retry_that_fails_after_a_success_waits_an_hour_and_no_day(db: Database):
    """Lost: one lost worker beside a replay by hand would keep the next analysis away for a day."""
    first = failed(db, "3 h")
    old = succeeded(db)
    for column, ago in (("window_start", "40 days"), ("window_end", "30 days"), ("finished_at", "170 min")):
        back_date(db, old, column, ago)
    retry = failed(db, "2 h")
    execute(db, "UPDATE telemetry_analysis_runs SET retry_of = %s, attempt = 2 WHERE run_id = %s", (first, retry))
    assert if_stale(db) == "ENQUEUED"


def test_a_shorter_staleness_of_the_caller_counts(db: Database):
    """Lost: LEO_TELEMETRY_STALE_AFTER would change nothing."""
    run_id = succeeded(db)
    back_date(db, run_id, "window_end", "2 hours")
    assert runs.enqueue(db, if_stale=True, stale_after_s=3600)[1] == "ENQUEUED"


def test_a_trigger_that_nobody_knows_is_refused(db: Database):
    """Lost: statistics about who asks would be worth nothing."""
    with pytest.raises(psycopg2.errors.CheckViolation):
        runs.enqueue(db, triggered_by="CRON")


# Reaping


def test_a_run_without_a_beat_for_half_a_minute_is_lost_and_tried_once_more(db: Database):
    """Lost: after a crash the queue would stand still for ever."""
    run_id, _ = running(db, triggered_by="SCHEDULED")
    assert runs.reap(db) == 0
    back_date(db, run_id, "heartbeat_at", "29 s")
    assert runs.reap(db) == 0
    back_date(db, run_id, "heartbeat_at", "31 s")
    assert runs.reap(db) == 1
    lost = row(db, run_id)
    assert (lost.status, lost.reason_code) == ("FAILED", "WORKER_LOST")
    assert lost.finished_at is not None
    assert "no heartbeat since" in str(lost.error_detail)
    [retry] = runs.waiting(db)
    assert (retry.status, retry.attempt, retry.retry_of) == ("QUEUED", 2, run_id)
    assert retry.triggered_by == "SCHEDULED"
    assert retry.window_end is None


def test_a_run_past_its_deadline_has_timed_out_though_it_beats(db: Database):
    """Lost: an analysis that hangs would hold its place for ever."""
    run_id, _ = running(db)
    back_date(db, run_id, "deadline_at", "1 s")
    assert runs.reap(db) == 1
    over = row(db, run_id)
    assert (over.status, over.reason_code) == ("TIMED_OUT", "DEADLINE")
    assert over.duration_ms is not None
    assert [(each.attempt, each.retry_of) for each in runs.waiting(db)] == [(2, run_id)]


def test_a_run_that_was_lost_before_its_deadline_is_called_lost_also_when_found_after_it(db: Database):
    """Lost: people would raise the deadline for a machine that crashes."""
    run_id, _ = running(db)
    back_date(db, run_id, "heartbeat_at", "30 min")
    back_date(db, run_id, "deadline_at", "20 min")
    runs.reap(db)
    assert row(db, run_id).reason_code == "WORKER_LOST"


def test_at_most_two_retries_are_made_in_a_day(db: Database):
    """Lost: an analysis that kills its machine would be started again and again."""
    running(db)
    for _ in range(5):
        execute(
            db, "UPDATE telemetry_analysis_runs SET heartbeat_at = now() - interval '1 min' WHERE status = 'RUNNING'"
        )
        runs.reap(db)
        for run in runs.waiting(db):
            runs.claim(db, run.run_id, new_id(), 900)
    assert db.rows("SELECT status, attempt FROM telemetry_analysis_runs ORDER BY attempt") == [
        ("FAILED", 1), ("FAILED", 2), ("FAILED", 3)
    ]  # fmt: skip
    chain = db.rows("SELECT retry_of::text, run_id::text FROM telemetry_analysis_runs ORDER BY attempt")
    assert [chain[1][0], chain[2][0]] == [chain[0][1], chain[1][1]]


def test_retries_of_days_before_do_not_count(db: Database):
    """Lost: after two crashes in a life no analysis would ever be tried again."""
    first, _ = running(db)
    execute(
        db,
        "INSERT INTO telemetry_analysis_runs (status, retry_of, attempt, triggered_at)"
        " SELECT 'FAILED', %s, 2, now() - interval '25 hours' FROM generate_series(1, 5)",
        (first,),
    )
    back_date(db, first, "heartbeat_at", "1 min")
    runs.reap(db)
    assert [run.retry_of for run in runs.waiting(db)] == [first]


def test_what_waits_already_is_the_retry(db: Database):
    """Lost: two analyses would run one after the other for nothing, or reaping would break."""
    run_id, _ = running(db)
    waiting = queued(db)
    back_date(db, run_id, "heartbeat_at", "1 min")
    assert runs.reap(db) == 1
    assert [run.run_id for run in runs.waiting(db)] == [waiting]


def test_a_retry_looks_at_the_window_that_was_asked_for(db: Database):
    """Lost: `analyze --window-end` would end as an analysis of today after a crash."""
    end = week().end
    run_id, _ = running(db, window_end=end, window_days=3)
    back_date(db, run_id, "heartbeat_at", "1 min")
    runs.reap(db)
    [retry] = runs.waiting(db)
    assert runs.claim(db, retry.run_id, new_id(), 900)[0] == "CLAIMED"
    assert row(db, retry.run_id).window == row(db, run_id).window
    assert row(db, retry.run_id).window.end == end


def test_lost_runs_are_reaped_before_every_enqueue_claim_and_beginning(db: Database):
    """Lost: where no daemon lives nobody would clear up, and the hook would see a run for ever."""

    def lost() -> str:
        execute(db, "DELETE FROM telemetry_analysis_runs")
        run_id, _ = running(db)
        back_date(db, run_id, "heartbeat_at", "1 min")
        return run_id

    for call in (
        lambda: runs.enqueue(db),
        lambda: runs.enqueue(db, if_stale=True),
        lambda: runs.claim(db, queued(db), new_id(), 900),
        lambda: runs.begin(db, new_id(), 900),
    ):
        run_id = lost()
        call()
        assert row(db, run_id).reason_code == "WORKER_LOST"


def test_a_lost_run_of_another_project_is_reaped_also_by_a_claim_that_must_wait(db: Database):
    """Lost: what a claim cleared up would be undone because the claim itself has to wait."""
    lost, _ = running(db, project="shop")
    running(db)
    back_date(db, lost, "heartbeat_at", "1 min")
    assert runs.claim(db, queued(db), new_id(), 900)[0] == "WAIT"
    assert row(db, lost).status == "FAILED"


@pytest.fixture
def other(target: Target) -> Iterator[Database]:
    """Open a second connection to the same database."""
    with closing(Database(target)) as second:
        yield second


@pytest.mark.transactions_at_once
def test_a_row_that_is_just_being_committed_is_passed_by(db: Database, other: Database):
    """Lost: an analysis that ends in its last second would be called lost, or the sensor would hang on it."""
    run_id, mine = running(db)
    back_date(db, run_id, "heartbeat_at", "1 min")
    with db.transaction() as cursor:
        runs.fence(cursor, run_id, mine)
        with other.transaction() as impatient:
            impatient.execute("SET LOCAL lock_timeout = '200ms'")
            impatient.execute("SELECT count(*) FROM reap_telemetry_runs()")
            assert impatient.fetchone() == (0,)
        assert runs.finish(cursor, run_id, mine, "SUCCEEDED", "COMPLETED", output_ref={"bottlenecks": []})
    assert runs.reap(other) == 0
    assert statuses(db) == [("SUCCEEDED", "COMPLETED")]


# Claiming


def test_a_claim_freezes_the_window_and_starts_the_clock(db: Database):
    """Lost: an analysis would look at a time that moves, or never run out of time."""
    run_id = queued(db)
    mine = new_id()
    assert runs.claim(db, run_id, mine, 60) == ("CLAIMED", None)
    run = row(db, run_id)
    assert (run.status, run.dagster_run_id) == ("RUNNING", mine)
    assert run.started_at is not None
    assert run.deadline_at is not None
    assert run.heartbeat_at is not None
    assert 59 < (run.deadline_at - run.started_at).total_seconds() < 61
    assert abs((run.window.end - run.started_at).total_seconds()) < 5
    assert run.window.start == week(run.window.end).start.replace(hour=0, minute=0, second=0, microsecond=0)
    assert runs.claim(db, run_id, mine, 60) == ("CLAIMED", None)


def at_once(target: Target, *calls: Callable[[Database], tuple]) -> list[tuple]:
    """Make calls at the same moment, each from a thread and connection of its own."""
    barrier, answers = threading.Barrier(len(calls)), [()] * len(calls)

    def run(index: int) -> None:
        with closing(Database(target)) as own:
            own.rows("SELECT 1")
            barrier.wait()
            answers[index] = calls[index](own)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def claim(own: Database, run_id: str, mine: str) -> tuple:
    return runs.claim(own, run_id, mine, 900)


def test_of_claims_of_one_row_at_once_one_gets_it(db: Database, target: Target):
    """Lost: two daemons would analyse the same row and both write."""
    for _ in range(5):
        run_id = queued(db)
        got = at_once(target, *[partial(claim, run_id=run_id, mine=new_id()) for _ in range(4)])
        assert sorted(outcome for outcome, _ in got) == ["CLAIMED", "GONE", "GONE", "GONE"]
        assert all(detail for outcome, detail in got if outcome == "GONE")
        runs.cancel(db, run_id)


def test_a_claim_waits_while_another_analysis_of_the_scope_runs_and_then_gets_it(db: Database):
    """Lost: two analyses of the same spans would open items at the same time."""
    first, second = new_id(), new_id()
    run_id = queued(db)
    runs.claim(db, run_id, first, 900)
    waiting = queued(db)
    assert runs.claim(db, waiting, second, 900)[0] == "WAIT"
    assert runs.begin(db, new_id(), 900)[0] == "WAIT"
    assert row(db, waiting).status == "QUEUED"
    runs.fail(db, run_id, first, "ERROR", "x")
    assert runs.claim(db, waiting, second, 900)[0] == "CLAIMED"


def test_of_beginnings_at_once_one_gets_it(db: Database, target: Target):
    """Lost: two people who click at the same time would make two analyses."""
    got = at_once(target, *[lambda own: runs.begin(own, new_id(), 900) for _ in range(4)])
    assert sorted(outcome for outcome, _ in got) == ["CLAIMED", "WAIT", "WAIT", "WAIT"]
    assert statuses(db) == [("RUNNING", None)]


def test_projects_do_not_wait_for_each_other(db: Database):
    """Lost: an analysis of one project would hold up all others."""
    for project in (None, "shop", "till"):
        assert runs.begin(db, new_id(), 900, project=project)[0] == "CLAIMED"


def test_a_claim_of_what_ended_or_never_was_is_gone_and_says_why(db: Database):
    """Lost: a cancelled analysis would run all the same."""
    run_id = queued(db)
    assert runs.cancel(db, run_id) == "QUEUED"
    outcome, detail = runs.claim(db, run_id, new_id(), 900)
    assert outcome == "GONE"
    assert "CANCELLED" in str(detail)
    assert runs.claim(db, new_id(), new_id(), 900)[0] == "GONE"


def test_a_dagster_run_that_held_a_row_gets_no_second_one(db: Database):
    """Lost: one execution would stand in two rows, or wait a quarter of an hour for itself."""
    run_id, mine = running(db)
    runs.fail(db, run_id, mine, "ERROR", "x")
    assert runs.claim(db, queued(db), mine, 900)[0] == "GONE"
    execute(db, "DELETE FROM telemetry_analysis_runs WHERE status = 'QUEUED'")
    assert runs.begin(db, mine, 900)[0] != "WAIT"


# The fence


def tables(db: Database) -> dict[str, list[tuple]]:
    """Return everything an analysis may write."""
    names = ("telemetry_analysis_runs", "dimension_p50", "telemetry_baselines", "continuous_improvements")
    return {name: db.rows(f"SELECT * FROM {name} AS t ORDER BY t::text") for name in names}


P50_ROW = ("gate", "A", 10, 5.0, 5.0, 5.0, 5.0, 50.0, None, "exact")
SUMMARY = findings.Summary(
    bottlenecks=(Bottleneck("gate", "A", 5.0, 1.0, "configured", 2.0, 10),),
    outcomes={"ok": 0, "bottleneck": 1, "too_few": 0, "no_baseline": 0, "switched_off": 0, "pooled": 0},
    largest_sample=10, needed_sample=10, p50_method="exact", pooled={},
)  # fmt: skip

LEARNED = Baseline("gate", "A", 5.0, 1.2, None, 14, {"moved": "learned"})
JUDGED = DimensionResult(*P50_ROW, 5.0, 1.0, "configured", 2.0, 10, "bottleneck", None, None, [])

WRITES = {
    "annotations": lambda db, run_id, mine: runs.annotate(db, run_id, mine, {"a": 1}),
    "P50s": lambda db, run_id, mine: dimension_results.replace_p50(db, run_id, mine, ["gate"], [P50_ROW]),
    "judgements": lambda db, run_id, mine: dimension_results.put_judged(db, run_id, mine, [JUDGED]),
    "what days say": lambda db, run_id, mine: dimension_results.put_learned(
        db, run_id, mine, [Judgement("gate", "A", (), True)]
    ),
    "baselines": lambda db, run_id, mine: baselines.put(
        db, None, midnight(), [LEARNED], partial(runs.fence, run_id=run_id, dagster_run_id=mine)
    ),
    "items": lambda db, run_id, mine: findings.conclude(
        db, SUMMARY, week(), run_id=run_id, dagster_run_id=mine, errors=[]
    ),
}


def reaped(db: Database, run_id: str) -> None:
    back_date(db, run_id, "heartbeat_at", "1 min")
    runs.reap(db)


def stolen(db: Database, run_id: str) -> None:
    execute(db, "UPDATE telemetry_analysis_runs SET dagster_run_id = 'another' WHERE run_id = %s", (run_id,))


LOSSES = {
    "reaped": reaped,
    "cancelled": runs.cancel,
    "held by another": stolen,
    "deleted": lambda db, run_id: execute(db, "DELETE FROM telemetry_analysis_runs"),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_run_that_lost_its_row_writes_nothing(db: Database, what: str):
    """Lost: a worker that slept past its time would wake and write over the findings of its successor."""
    for name, lose in LOSSES.items():
        run_id, mine = running(db)
        dimension_results.replace_p50(db, run_id, mine, ["gate"], [P50_ROW])
        lose(db, run_id)
        before = tables(db)
        with pytest.raises(runs.LostRun):
            WRITES[what](db, run_id, mine)
        assert tables(db) == before, name
        execute(db, "DELETE FROM telemetry_analysis_runs")


def test_a_run_that_holds_its_row_writes_all_of_it(db: Database):
    """Lost: the tests above would hold because nothing can ever be written."""
    run_id, mine = running(db)
    for what in ("annotations", "P50s", "judgements", "what days say", "baselines", "items"):
        before = tables(db)
        WRITES[what](db, run_id, mine)
        assert tables(db) != before, what
    assert statuses(db) == [("SUCCEEDED", "COMPLETED")]
    assert one(db, "SELECT outcome FROM dimension_p50") == "bottleneck"
    assert one(db, "SELECT source_detail->>'run_id' FROM continuous_improvements") == run_id


def test_a_beat_that_had_to_wait_does_not_end_its_own_run(db: Database):
    """Lost: behind a pooler with few connections every long statement would end its analysis as lost."""
    run_id, mine = running(db)
    back_date(db, run_id, "heartbeat_at", "31 s")
    assert runs.beat(db, run_id, mine) == "RUNNING"
    assert runs.reap(db) == 0


def test_a_lost_run_neither_beats_nor_ends_its_row(db: Database):
    """Lost: the end of a run would be written over by a worker that did not notice it."""
    run_id, mine = running(db)
    reaped(db, run_id)
    before = row(db, run_id)
    assert runs.beat(db, run_id, mine) == "FAILED"
    assert runs.fail(db, run_id, mine, "ERROR", "late") is False
    with db.transaction() as cursor:
        assert runs.finish(cursor, run_id, mine, "SUCCEEDED", "COMPLETED") is False
    assert row(db, run_id) == before


def test_a_beat_of_somebody_else_keeps_nothing_alive(db: Database):
    """Lost: a second worker would keep the row of a dead one."""
    run_id, mine = running(db)
    back_date(db, run_id, "heartbeat_at", "20 s")
    before = row(db, run_id).heartbeat_at
    runs.beat(db, run_id, new_id())
    assert row(db, run_id).heartbeat_at == before
    assert runs.beat(db, run_id, mine) == "RUNNING"
    assert row(db, run_id).heartbeat_at != before


def test_cancelling_ends_what_waits_or_runs_and_leaves_what_ended(db: Database):
    """Lost: people could not stop an analysis, or would rewrite one that ended."""
    run_id, _ = running(db)
    assert runs.cancel(db, run_id) == "RUNNING"
    assert statuses(db) == [("CANCELLED", "CANCELLED_BY_USER")]
    done = succeeded(db)
    assert runs.cancel(db, done) == "SUCCEEDED"
    assert row(db, done).status == "SUCCEEDED"
    assert runs.cancel(db, new_id()) is None


def test_a_run_that_could_not_be_launched_fails_and_is_tried_once_more(db: Database):
    """Lost: a broken code location would leave rows queued for ever."""
    run_id = queued(db)
    assert runs.fail_unlaunched(db, run_id, "no code") is True
    assert (row(db, run_id).reason_code, row(db, run_id).error_detail) == ("LAUNCH_FAILED", "no code")
    [retry] = runs.waiting(db)
    assert (retry.retry_of, retry.attempt) == (run_id, 2)
    assert runs.fail_unlaunched(db, run_id, "again") is False
    taken, _ = running(db)
    assert runs.fail_unlaunched(db, taken, "late") is False
    assert row(db, taken).status == "RUNNING"


# Rights


@pytest.fixture
def as_client(db: Database, target: Target) -> Iterator[Callable[..., list[tuple]]]:
    """Run a statement as a role that has nothing but what the test grants it."""
    role = f"client_{new_id()[:8]}"
    execute(db, f"CREATE ROLE {role}")

    def run(sql: str, *, granted: str = "") -> list[tuple]:
        if granted:
            execute(db, granted.format(role=role))
        with db.transaction() as cursor:
            cursor.execute(f"SET LOCAL ROLE {role}")
            cursor.execute(sql)
            return cursor.fetchall()

    yield run
    execute(db, f"DROP OWNED BY {role}")
    execute(db, f"DROP ROLE {role}")


ENQUEUE = "enqueue_telemetry_analysis(boolean, text, text, text, interval)"


def test_a_client_needs_nothing_but_execute_to_ask_for_an_analysis(db: Database, as_client):
    """Lost: every client would need write access to our tables."""
    run_id, _ = running(db)
    back_date(db, run_id, "heartbeat_at", "1 min")
    got = as_client(
        "SELECT outcome FROM enqueue_telemetry_analysis(if_stale => true, triggered_by => 'SESSION_START')",
        granted=f"GRANT EXECUTE ON FUNCTION {ENQUEUE} TO {{role}}",
    )
    assert got == [("ALREADY_QUEUED",)]
    assert row(db, run_id).reason_code == "WORKER_LOST"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_client("SELECT * FROM telemetry_analysis_runs")


FUNCTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc AS p
WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE')
"""


def test_nobody_may_use_the_queue_without_being_granted_it(db: Database, as_client):
    """Lost: anybody who can connect could start, cancel and end analyses."""
    assert db.rows(FUNCTIONS) == []
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_client("SELECT * FROM enqueue_telemetry_analysis()")
    for name in ("reap_telemetry_runs()", f"cancel_telemetry_run('{new_id()}')"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            as_client(f"SELECT * FROM {name}")


def test_the_functions_cannot_be_turned_against_us_by_a_table_of_the_same_name(db: Database, as_client):
    """Lost: a client could make our functions write to tables of its own, with our rights."""
    got = as_client(
        "CREATE TEMPORARY TABLE telemetry_analysis_runs (LIKE public.telemetry_analysis_runs);"
        " SELECT outcome FROM public.enqueue_telemetry_analysis()",
        granted=f"GRANT EXECUTE ON FUNCTION {ENQUEUE} TO {{role}};"
        " GRANT SELECT ON public.telemetry_analysis_runs TO {role}",
    )
    assert got == [("ENQUEUED",)]
    assert one(db, "SELECT count(*) FROM public.telemetry_analysis_runs") == 1
