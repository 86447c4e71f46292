"""Alerts of analyses: written with the items, or not at all; delivered outside of the analysis."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leo_telemetry_pipeline.actions import findings
from leo_telemetry_pipeline.actions.routine_alerts import write
from leo_telemetry_pipeline.analysis.bottlenecks import count_outcomes
from leo_telemetry_pipeline.dimension import Bottleneck
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import items, outbox, runs
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.items import Occurrence
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import analyse_queued, execute, new_id, one, queued, slow


def kinds(db: Database) -> list[str]:
    return [kind for (kind,) in db.rows("SELECT kind FROM alert_outbox ORDER BY number")]


def test_an_analysis_writes_one_alert_per_new_item_and_repeats_none(db: Database, settings: Settings):
    """Lost: nobody is told, or everybody is told again by each analysis."""
    slow(db, "A", "B")
    assert analyse_queued(db).status == "SUCCEEDED"
    assert kinds(db) == ["new", "new"]
    assert analyse_queued(db).status == "SUCCEEDED"
    assert kinds(db) == ["new", "new"]
    [alert] = [row for row in outbox.newest(db, 9) if "gate:B" in row.title]
    assert alert.title == "Slow: gate:B is 11x its baseline"
    assert alert.severity == "critical"


def test_an_analysis_that_lost_its_row_writes_no_alert(db: Database, settings: Settings):
    """Lost: people look for an item that was rolled back."""
    mine, run_id = new_id(), queued(db)
    assert runs.claim(db, run_id, mine, 900)[0] == "CLAIMED"
    end = datetime(2026, 2, 9, tzinfo=UTC)
    summary = findings.Summary(
        (Bottleneck("gate", "A", 500.0, 100.0, "configured", 2.0, 10, ["t"]),),
        count_outcomes([]) | {"bottleneck": 1}, 10, 10, "exact", {},
    )  # fmt: skip
    with suppress(runs.LostRun):
        findings.conclude(
            db, summary, Window(end.replace(day=2), end), run_id=run_id, dagster_run_id=new_id(), errors=[]
        )
    assert kinds(db) == []


def test_analyses_that_fail_are_told_once(db: Database, settings: Settings):
    """Lost: a pipeline that has failed for weeks."""
    run_id = queued(db)
    runs.fail_unlaunched(db, run_id, "no room")
    execute(db, "UPDATE telemetry_analysis_runs SET status = 'CANCELLED' WHERE status = 'QUEUED'")
    now = datetime.now(UTC)
    write(db, settings, now)
    write(db, settings, now)
    assert [row.title for row in outbox.newest(db, 9)] == ["Analyses fail"]


def test_a_failing_channel_does_not_touch_the_analysis(
    db: Database, settings: Settings, home: Path, monkeypatch: pytest.MonkeyPatch
):
    """Lost: an analysis fails because a chat is down."""
    monkeypatch.setenv(PREFIX + "ALERT_URLS", "webhook+https://169.254.169.254/x")
    slow(db, "A")
    run = analyse_queued(db)
    assert (run.status, kinds(db)) == ("SUCCEEDED", ["new"])
    assert one(db, "SELECT count(*) FROM continuous_improvements") == 1


def test_the_digest_says_how_slow_an_item_is_now(db: Database, settings: Settings):
    """Lost: the digest shows the ratio of the day on which an item opened, however much better it is today."""
    slow(db, "A", "B")
    assert analyse_queued(db).status == "SUCCEEDED"
    [a] = [item for item in items.all_items(db) if item.dimension == ("gate", "A")]
    end = one(db, "SELECT window_end FROM telemetry_analysis_runs")
    later = Occurrence(a.id, new_id(), 1, end + timedelta(hours=1), 2.5, 250.0, 100.0, 10, "slow")
    earlier = Occurrence(a.id, new_id(), 1, end - timedelta(days=1), 7.0, 700.0, 100.0, 10, "slow")
    with db.transaction() as cursor:
        items.put_occurrences(cursor, [later, earlier])
    write(db, settings, datetime.now(UTC).replace(hour=23, minute=59))
    [(body,)] = db.rows("SELECT body FROM alert_outbox WHERE kind = 'digest'")
    assert [(one["name"], one["ratio"]) for one in body["items"]] == [("gate:B", 11.0), ("gate:A", 2.5)]


def test_the_digest_leaves_out_what_is_fast_already(db: Database, settings: Settings):
    """Lost: the digest of what is still slow lists a step at its normal time."""
    slow(db, "A", "B")
    assert analyse_queued(db).status == "SUCCEEDED"
    [a] = [item for item in items.all_items(db) if item.dimension == ("gate", "A")]
    end = one(db, "SELECT window_end FROM telemetry_analysis_runs")
    with db.transaction() as cursor:
        items.put_occurrences(
            cursor, [Occurrence(a.id, new_id(), 1, end + timedelta(hours=1), 1.0, 100.0, 100.0, 10, "fast")]
        )
    write(db, settings, datetime.now(UTC).replace(hour=23, minute=59))
    [(title, body)] = db.rows("SELECT title, body FROM alert_outbox WHERE kind = 'digest'")
    assert (title, [one["name"] for one in body["items"]]) == ("1 item is still slow", ["gate:B"])


def test_a_digest_belongs_to_the_day_of_its_own_zone(db: Database, settings: Settings):
    """Lost: the digest of a morning in Tokyo, since in UTC it is the day of the one before."""
    slow(db, "A")
    assert analyse_queued(db).status == "SUCCEEDED"
    tokyo = Settings({PREFIX + "ALERT_DIGEST": "08:00 Asia/Tokyo"})
    late = datetime.now(UTC).replace(hour=0, minute=30) + timedelta(days=1)
    for moment in (late, late.replace(hour=23, minute=1)):
        write(db, tokyo, moment)
        # The digest, and the analysis after it, are as old as the moment says.
        execute(db, "UPDATE alert_outbox SET created_at = %s WHERE key LIKE 'digest:%%'", (late,))
        execute(db, "UPDATE telemetry_analysis_runs SET finished_at = %s", (late + timedelta(hours=1),))
    assert kinds(db).count("digest") == 2


def test_an_item_that_a_person_reopened_is_slow_since_then(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a reminder on the first day, of an item that is "still slow for 90 days"."""
    monkeypatch.setenv(PREFIX + "ALERT_REMIND_AFTER", "7d")
    slow(db, "A")
    assert analyse_queued(db).status == "SUCCEEDED"
    # As if it had been opened long ago.
    opened = (datetime.now(UTC) - timedelta(days=90)).isoformat()
    execute(
        db,
        "UPDATE continuous_improvements"
        " SET source_detail = source_detail || jsonb_build_object('opened_window_end', %s)",
        (opened,),
    )
    for status in ("DISMISSED", "OPEN"):
        execute(db, "UPDATE continuous_improvements SET status = %s", (status,))
    assert analyse_queued(db).status == "SUCCEEDED"
    assert kinds(db) == ["new"]
