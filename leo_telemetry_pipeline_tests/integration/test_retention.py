"""Retention: old days are sealed and dropped, and only counted spans are dropped."""

import threading
from contextlib import closing
from pathlib import Path

import pytest

from leo_telemetry_pipeline.cli.processes.worker import run_once
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.sources.files import parquet
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.retention import archive, maintenance, partitions
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import execute, midnight, one, span, succeeded
from leo_telemetry_pipeline_tests.old_spans import (
    AGES,
    DUE,
    KEEP,
    SEALED,
    a_day,
    days_of,
    history,
    keeping,
    run,
    store_old,
    table,
)


def test_old_days_are_sealed_then_dropped_and_their_history_stays(db: Database) -> None:
    """Lost: the disk fills up, or nobody can see how long anything took last year."""
    store_old(db)
    before = table(db)
    report = maintenance.maintain(db, keeping())
    assert report.problems == []
    assert [day for day, _ in report.sealed] == days_of(SEALED)
    assert [gone.day for gone in report.dropped] == days_of(DUE)
    assert sum(gone.spans for gone in report.dropped) == 13 * len(DUE)
    assert {day.isoformat() for day in days_of(DUE)}.isdisjoint(partitions.attached(db))
    assert sum(table(db).values()) == sum(before.values()) - 13 * len(DUE)
    counted = db.rows("SELECT DISTINCT day FROM duration_histograms ORDER BY 1")
    assert [day for (day,) in counted] == days_of(SEALED)
    kept = history(db)
    again = maintenance.maintain(db, keeping())
    assert (again.sealed, again.dropped, again.problems) == ([], [], [])
    assert history(db) == kept


def test_a_year_old_import_is_kept_as_long_as_spans_of_today(db: Database) -> None:
    """Lost: imported history is dropped the night after the import."""
    store_old(db, (400, 40), stored_days_later=390)
    store_old(db, (401,), stored_days_later=401)
    report = maintenance.maintain(db, keeping())
    assert report.dropped == []
    assert maintenance.maintain(db, keeping()).dropped == []
    assert sum(table(db).values()) == 39


def test_a_dry_run_lists_what_would_be_dropped_and_writes_nothing(
    db: Database, settings: Settings, tmp_path: Path
) -> None:
    """Lost: a dry run deletes what it should only list."""
    folder = tmp_path / "archive"
    store_old(db)
    spans.insert(db, [span(at=midnight(20))])
    before = table(db)
    code, said = run("maintain", "--dry-run", ARCHIVE=folder)
    assert code == 0
    assert table(db) == before
    assert not folder.exists()
    assert db.rows("SELECT * FROM telemetry_sealed_days") == []
    with closing(Database(db.target, read_only=True)) as looking:
        foreseen = maintenance.maintain(looking, keeping(folder), dry_run=True)
    done = maintenance.maintain(db, keeping(folder))
    assert [one.file for one in foreseen.archived] == [one.file for one in done.archived]
    for name in ("partitions_made", "moved", "sealed", "archived", "dropped", "kept_from"):
        assert getattr(foreseen, name) == getattr(done, name), name
    for one_file in done.archived:
        assert one_file.file in said


def test_a_day_that_fails_is_reported_and_the_others_are_dropped(db: Database, tmp_path: Path) -> None:
    """Lost: one foreign file in the folder stops retention forever, or is overwritten."""
    store_old(db)
    [stuck, *others] = days_of(DUE)
    theirs = tmp_path / archive.name_of(stuck, 1)
    theirs.write_text("another database's")
    report = maintenance.maintain(db, keeping(tmp_path))
    assert [gone.day for gone in report.dropped] == others
    assert len(report.problems) == 1
    assert str(theirs) in report.problems[0]
    assert theirs.read_text() == "another database's"
    assert (
        one(db, "SELECT count(*) FROM workflow_trace_log WHERE start_time_ms < %s", (midnight(390).timestamp() * 1000,))
        == 13
    )
    theirs.unlink()
    assert [gone.day for gone in maintenance.maintain(db, keeping(tmp_path)).dropped] == [stuck]


def test_two_maintenances_at_once_do_the_work_once(target: Target, db: Database, tmp_path: Path) -> None:
    """Lost: spans, counts or files, when two machines run maintenance in the same minute."""
    spans.insert(db, [each for age in AGES for each in a_day(age)])
    execute(db, "UPDATE workflow_trace_log SET created_at = to_timestamp(start_time_ms / 1000)")
    before, reports = table(db), []

    def work() -> None:
        with closing(Database(target)) as mine:
            reports.extend(maintenance.maintain(mine, keeping(tmp_path)) for _ in range(2))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 4
    last = maintenance.maintain(db, keeping(tmp_path))
    assert last.problems == []
    reports.append(last)
    assert sorted(gone.day for each in reports for gone in each.dropped) == days_of(DUE)
    assert {name for (name,) in db.rows("SELECT archive FROM telemetry_sealed_days WHERE dropped_at IS NOT NULL")} == {
        str(path) for path in tmp_path.glob("*.parquet")
    }
    with closing(Database(target)) as mine:
        for path in tmp_path.glob("*.parquet"):
            archive.restore(mine, path, parquet.notes(path)[parquet.ARCHIVE_ID])
    assert table(db) == before


def test_p50s_are_deleted_after_400_days_but_never_the_last_of_a_scope(db: Database) -> None:
    """Lost: `findings` shows nothing if the last analysis was a year ago."""
    old, last, of_project, recent = succeeded(db), succeeded(db), succeeded(db, project="p"), succeeded(db)
    for run_id, age in ((old, 500), (last, 450), (of_project, 480), (recent, 399)):
        execute(
            db,
            "UPDATE telemetry_analysis_runs SET window_start = window_start - age, window_end = window_end - age,"
            " finished_at = finished_at - age, triggered_at = triggered_at - age"
            " FROM make_interval(days => %s) AS age WHERE run_id = %s::uuid",
            (age, run_id),
        )
        execute(
            db,
            "INSERT INTO dimension_p50 (run_id, dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms,"
            " p99_ms, sum_ms, method) VALUES (%s::uuid, 'gate', 'G', 1, 1, 1, 1, 1, 1, 'exact')",
            (run_id,),
        )
    assert maintenance.maintain(db, keeping()).p50_rows == 2
    assert {run_id for (run_id,) in db.rows("SELECT run_id::text FROM dimension_p50")} == {of_project, recent}


def test_quarantined_lines_and_drain_records_are_deleted_at_the_limit(db: Database) -> None:
    """Lost: the quarantine grows forever, or is deleted before anyone could look at it."""
    for age in (KEEP + 1, KEEP - 1):
        execute(
            db,
            "INSERT INTO telemetry_quarantine (source, line, reason, content, content_hash, created_at)"
            " VALUES ('f', %s, 'r', 'c', 'h', %s)",
            (age, midnight(age)),
        )
        execute(
            db,
            "INSERT INTO telemetry_drains (drained_at, drained_by, segments, spans, new_spans, quarantined, torn)"
            " VALUES (%s, 'CLI', 1, 1, 1, 0, 0)",
            (midnight(age),),
        )
    report = maintenance.maintain(db, keeping())
    assert (report.quarantined, report.drains) == (1, 1)
    assert one(db, "SELECT line FROM telemetry_quarantine") == KEEP - 1
    assert one(db, "SELECT count(*) FROM telemetry_drains") == 1


def test_maintenance_is_an_asset_of_its_own_job_and_fails_with_its_problems(
    db: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: maintenance runs with every analysis, or fails silently."""
    import dagster as dg

    from leo_telemetry_pipeline.definitions import build_definitions
    from leo_telemetry_pipeline.defs.names import ANALYSIS_JOB, MAINTENANCE_JOB

    store_old(db, (100,))
    job = build_definitions().resolve_job_def(MAINTENANCE_JOB)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    monkeypatch.setenv(PREFIX + "ARCHIVE", "not/absolute")
    with dg.DagsterInstance.ephemeral() as instance:
        failed = job.execute_in_process(instance=instance, run_config=quiet, raise_on_error=False)
        assert not failed.success
        assert len(failed.get_asset_materialization_events()) == 1
        monkeypatch.setenv(PREFIX + "ARCHIVE", str(tmp_path))
        done = job.execute_in_process(instance=instance, run_config=quiet)
    [event] = done.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["spans dropped"].value == metadata["spans archived"].value == 13
    names = {
        key.path[-1] for key in build_definitions().resolve_job_def(ANALYSIS_JOB).asset_layer.executable_asset_keys
    }
    assert "trace_maintenance" not in names
    assert "continuous_improvements" in names


def test_a_worker_that_runs_once_runs_maintenance_if_the_last_was_a_day_ago(
    target: Target, db: Database, settings: Settings
) -> None:
    """Lost: without a daemon, spans pile up forever; or every hook runs maintenance again."""
    assert maintenance.is_time(db)
    run_once(settings, target)
    assert not maintenance.is_time(db)
    made = len(partitions.attached(db))
    assert made == settings.keep + 4
    execute(db, f"DROP TABLE {partitions.name_of(midnight(10).date())}")
    run_once(settings, target)
    assert len(partitions.attached(db)) == made - 1
    execute(db, "UPDATE telemetry_upkeep SET maintained_at = maintained_at - interval '21 hours'")
    run_once(settings, target)
    assert len(partitions.attached(db)) == made
