"""The queue of analyses: what is queued, and what is fresh, stale or waiting after a failure."""

import subprocess
import sys

import psycopg2
import pytest

from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import back_date, execute, new_id, queued, row, running, statuses, succeeded

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
    outcomes: list[str] = []
    for racer in racers:
        out, err = racer.communicate()
        assert racer.returncode == 0, err[-500:]
        outcomes += out.splitlines()
    [(run_id, status)] = db.rows("SELECT run_id::text, status FROM telemetry_analysis_runs")
    assert status == "QUEUED"
    assert len(outcomes) == RACERS * CALLS
    assert outcomes.count(f"ENQUEUED {run_id}") == 1
    assert outcomes.count(f"ALREADY_QUEUED {run_id}") == RACERS * CALLS - 1


def if_stale(db: Database, by: str = "SESSION_START") -> str:
    return runs.enqueue(db, if_stale=True, triggered_by=by)[1]


def test_a_history_without_any_run_is_stale(db: Database):
    """Lost: a new installation would never analyse anything."""
    run_id, outcome, _ = runs.enqueue(db, if_stale=True, triggered_by="SESSION_START")
    assert outcome == "ENQUEUED"
    assert row(db, str(run_id)).triggered_by == "SESSION_START"


def test_an_analysis_that_is_queued_or_running_is_reported_instead_of_queued_again(db: Database):
    """Lost: every session start would add another analysis to one that is queued or running."""
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


def test_a_manual_analysis_is_queued_also_if_the_last_is_fresh(db: Database):
    """Lost: nobody could ask for an analysis now."""
    succeeded(db)
    assert if_stale(db) == "FRESH"
    assert runs.enqueue(db)[1] == "ENQUEUED"


def test_only_success_counts_as_fresh(db: Database):
    """Lost: a failed analysis would count as one that found nothing."""
    for end in ("FAILED", "CANCELLED", "TIMED_OUT"):
        run_id, _ = running(db)
        execute(
            db, "UPDATE telemetry_analysis_runs SET status = %s, finished_at = now() WHERE run_id = %s", (end, run_id)
        )
    assert if_stale(db) == "ENQUEUED"


def test_an_analysis_of_one_project_does_not_count_as_one_of_all_projects(db: Database):
    """Lost: analysing one project would stop the analyses of all others for a week."""
    succeeded(db, project="shop")
    assert if_stale(db) == "ENQUEUED"


def test_an_analysis_of_a_window_that_ends_in_the_future_does_not_count_as_fresh(db: Database):
    """Lost: one typo in a date would stop all analyses until then."""
    run_id = succeeded(db)
    execute(
        db, "UPDATE telemetry_analysis_runs SET window_end = now() + interval '300 days' WHERE run_id = %s", (run_id,)
    )
    assert if_stale(db) == "ENQUEUED"


def failed(db: Database, ago: str, by: str = "SESSION_START", end: str = "FAILED") -> str:
    """Create an automatic run that failed some time ago."""
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
    """Lost: an analysis that cannot succeed would be retried at every session start."""
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


def test_a_retry_does_not_count_as_another_failure(db: Database):
    """Lost: one lost worker and its retry would already make the next analysis wait four hours."""
    first = failed(db, "70 min")
    retry = failed(db, "65 min")
    execute(db, "UPDATE telemetry_analysis_runs SET retry_of = %s, attempt = 2 WHERE run_id = %s", (first, retry))
    assert if_stale(db) == "ENQUEUED"


def test_a_retry_that_fails_after_a_success_waits_an_hour_not_a_day(db: Database):
    """Lost: one lost worker after a manual replay would delay the next analysis by a day."""
    first = failed(db, "3 h")
    old = succeeded(db)
    for column, ago in (("window_start", "40 days"), ("window_end", "30 days"), ("finished_at", "170 min")):
        back_date(db, old, column, ago)
    retry = failed(db, "2 h")
    execute(db, "UPDATE telemetry_analysis_runs SET retry_of = %s, attempt = 2 WHERE run_id = %s", (first, retry))
    assert if_stale(db) == "ENQUEUED"


def test_a_shorter_staleness_given_by_the_caller_takes_effect(db: Database):
    """Lost: LEO_TELEMETRY_STALE_AFTER would have no effect."""
    run_id = succeeded(db)
    back_date(db, run_id, "window_end", "2 hours")
    assert runs.enqueue(db, if_stale=True, stale_after_s=3600)[1] == "ENQUEUED"


def test_an_unknown_trigger_is_refused(db: Database):
    """Lost: statistics about triggers would be worthless."""
    with pytest.raises(psycopg2.errors.CheckViolation):
        runs.enqueue(db, triggered_by="CRON")
