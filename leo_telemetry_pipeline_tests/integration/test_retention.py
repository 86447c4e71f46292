"""Old spans: sealed, archived, dropped, put back; and nothing goes that is not counted and archived."""

import threading
from collections import Counter
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from leo_telemetry_pipeline.cli.commands import cli
from leo_telemetry_pipeline.cli.processes.worker import run_once
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.sources.files import parquet
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.retention import archive, maintenance, partitions, rules
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import (
    execute,
    midnight,
    new_id,
    one,
    span,
    succeeded,
)

KEEP = 35
AGES = (*range(25, 50, 4), 400)
DUE = [age for age in AGES if age > KEEP]
SEALED = [age for age in AGES if age > KEEP - 7]


def keeping(folder: Path | None = None) -> Settings:
    """Return settings that keep spans for 35 days, with a folder for archives or without."""
    environment = {PREFIX + "KEEP": f"{KEEP}d"}
    return Settings(environment if folder is None else environment | {PREFIX + "ARCHIVE": str(folder)})


def a_day(age: int) -> list[Span]:
    """Make the spans of a day: a handoff with gates, one that waits, one without an end, one of awkward values."""
    at, trace_id, handoff = midnight(age) + timedelta(hours=4), new_id(), new_id()
    inside = {"at": at, "trace_id": trace_id, "parent_span_id": handoff}
    return [
        span(
            "handoff", "LEAD-TO-PLAN", 5_000, at=at, trace_id=trace_id, span_id=handoff, attributes={"sd_type": "bug"}
        ),
        *[span("gate", f"G{n % 3}", 100 * n, **inside) for n in range(9)],
        span("wait", "approval", 1_000, **inside),
        span("gate", "OPEN", None, **inside),
        span(
            "phase",
            "Ä\t\\N 'quoted'\n☃",
            0,
            project="p",
            sd_id="NULL",
            attributes={"a": [1, None, "\\"], "é": {}},
            **inside,
        ),
    ]


def store_old(db: Database, ages: tuple[int, ...] = AGES, stored_days_later: int = 1) -> None:
    """Store the spans of some days as if each had been stored soon after."""
    for age in ages:
        made = a_day(age)
        spans.store(db, made)
        back_date(db, made, midnight(age - stored_days_later))


def back_date(db: Database, made: list[Span], stored_at: datetime) -> None:
    """Make spans look as if they had been stored at a moment."""
    execute(
        db,
        "UPDATE workflow_trace_log SET created_at = %s WHERE span_id::text = ANY(%s)",
        (stored_at, [each.span_id for each in made]),
    )


def table(db: Database) -> Counter:
    """Return every row of the span table as text, with how often it is there."""
    return Counter(text for (text,) in db.rows("SELECT to_jsonb(s)::text FROM workflow_trace_log AS s"))


def history(db: Database) -> list[tuple]:
    """Return what is counted for good of all days, its parts added up."""
    return db.rows(
        "SELECT day, dimension_type, dimension_key, project, sum(count), sum(sum_ms), min(min_ms), max(max_ms)"
        " FROM duration_histograms GROUP BY 1, 2, 3, 4 HAVING sum(count) > 0 ORDER BY 1, 2, 3, 4"
    )


def days_of(ages: list[int]) -> list[date]:
    """Return days by their age, oldest first."""
    return [midnight(age).date() for age in sorted(ages, reverse=True)]


def run(*arguments: object, **variables: object) -> tuple[int, str]:
    """Run ``leo-telemetry`` in this process on the database that the environment names."""
    environment = {PREFIX + "KEEP": f"{KEEP}d"} | {PREFIX + name: str(value) for name, value in variables.items()}
    done = CliRunner().invoke(cli, [str(each) for each in arguments], env=environment, catch_exceptions=False)
    return done.exit_code, done.output


def test_old_days_are_sealed_then_dropped_and_their_history_stays(db: Database) -> None:
    """Lost: either the disk fills up, or nobody can see how long anything took last year."""
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


def test_an_archive_holds_each_span_as_it_was_and_puts_it_back_so(
    db: Database, settings: Settings, tmp_path: Path
) -> None:
    """Lost: spans, their attributes or their times, once they are in a file."""
    folder = tmp_path / "archive"
    store_old(db)
    before, kept = table(db), None
    report = maintenance.maintain(db, keeping(folder))
    assert report.problems == []
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == sorted(archive.name_of(day, 1) for day in days_of(DUE))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    kept = history(db)
    for path in files:
        code, said = run("import", path)
        assert (code, said) == (0, f"{path}: 13 span(s) restored for {KEEP} days\n")
    assert table(db) == before
    assert run("import", *files)[1].count("13 were stored already") == len(files)
    assert maintenance.maintain(db, keeping(folder)).dropped == []
    assert table(db) == before
    assert history(db) == kept


def test_restored_spans_go_again_later_without_a_second_file(db: Database, settings: Settings, tmp_path: Path) -> None:
    """Lost: what was put back stays for ever, or its archive is written over."""
    store_old(db, (40,))
    maintenance.maintain(db, keeping(tmp_path))
    [path] = tmp_path.iterdir()
    written = path.read_bytes()
    run("import", path)
    assert one(db, "SELECT dropped_at IS NULL AND restored_at IS NOT NULL FROM telemetry_sealed_days")
    execute(db, "UPDATE telemetry_sealed_days SET restored_at = restored_at - interval '40 days'")
    report = maintenance.maintain(db, keeping(tmp_path))
    assert [gone.spans for gone in report.dropped] == [13]
    assert report.archived == []
    assert path.read_bytes() == written
    assert one(db, "SELECT dropped_at IS NOT NULL FROM telemetry_sealed_days")
    assert table(db) == Counter()


def test_spans_that_come_after_a_day_was_sealed_get_a_part_and_a_file_of_their_own(
    db: Database, settings: Settings, tmp_path: Path
) -> None:
    """Lost: late spans are dropped uncounted, or the earlier ones are counted twice."""
    store_old(db, (40,), stored_days_later=2)
    first = table(db)
    execute(db, "UPDATE telemetry_upkeep SET keep_days = 45")
    late = Settings({PREFIX + "KEEP": "45d"})
    assert len(maintenance.maintain(db, late).sealed) == 1
    # Sealing looks at the clock; what is sealed here has to have been so for a while.
    execute(db, "UPDATE telemetry_sealed_days SET sealed_before = %s", (midnight(37),))
    more = a_day(40)
    spans.store(db, more)
    back_date(db, more, midnight(36))
    everything = table(db)
    report = maintenance.maintain(db, keeping(tmp_path))
    assert report.problems == []
    assert [(one.part, one.spans) for one in report.archived] == [(1, 13), (2, 13)]
    assert [gone.spans for gone in report.dropped if gone.spans] == [26]
    run("import", tmp_path / archive.name_of(midnight(40).date(), 1))
    assert table(db) == first
    run("import", tmp_path / archive.name_of(midnight(40).date(), 2))
    assert table(db) == everything
    assert one(db, "SELECT sum(spans) FROM workflow_trace_counts WHERE span_type = ''") == 26


def test_a_year_old_import_is_kept_as_long_as_spans_of_today(db: Database) -> None:
    """Lost: somebody's history, the night after it was imported."""
    store_old(db, (400, 40), stored_days_later=390)
    store_old(db, (401,), stored_days_later=401)
    report = maintenance.maintain(db, keeping())
    assert report.dropped == []
    assert maintenance.maintain(db, keeping()).dropped == []
    assert sum(table(db).values()) == 39


def test_a_dry_run_says_what_would_go_and_writes_nothing(db: Database, settings: Settings, tmp_path: Path) -> None:
    """Lost: whoever asks first loses what they asked about."""
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


@pytest.mark.parametrize(
    ("place", "reason"),
    [("a file", "cannot be used"), ("relative/path", "give an absolute path")],
)
def test_without_a_place_for_the_archive_nothing_is_dropped(
    db: Database, settings: Settings, tmp_path: Path, place: str, reason: str
) -> None:
    """Lost: all old spans, because a disk was not mounted."""
    (tmp_path / "a file").touch()
    store_old(db)
    before = table(db)
    where = place if "/" in place else tmp_path / place
    code, said = run("maintain", ARCHIVE=where)
    assert code == 1
    assert reason in said
    assert said.count("Not done:") == 1
    assert table(db) == before


def test_without_pyarrow_nothing_is_dropped_and_one_line_says_what_to_install(
    db: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: all old spans of whoever set the variable and not the extra."""
    import sys

    store_old(db)
    before = table(db)
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    code, said = run("maintain", ARCHIVE=tmp_path)
    assert code == 1
    assert said.count("Not done:") == 1
    assert "leo-telemetry-pipeline[parquet]" in said
    assert table(db) == before
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(Exception, match="parquet"):
        run("import", tmp_path / "x.parquet")


def test_a_day_that_fails_is_reported_and_the_others_go(db: Database, tmp_path: Path) -> None:
    """Lost: one foreign file in the folder ends retention for good, or is written over."""
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
    """Lost: spans, counts or files, when two machines do the upkeep at the same minute."""
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


def test_another_database_imports_an_archive_as_any_file(db: Database, settings: Settings, tmp_path: Path) -> None:
    """Lost: an archive is worth nothing once its database is gone."""
    store_old(db, (40,))
    rows = db.rows("SELECT (to_jsonb(s) - 'created_at')::text FROM workflow_trace_log AS s ORDER BY 1")
    maintenance.maintain(db, keeping(tmp_path))
    execute(db, "DELETE FROM telemetry_sealed_days")
    [path] = tmp_path.iterdir()
    code, said = run("import", path)
    assert (code, said.partition(";")[0]) == (0, f"{path}: 13 span(s) stored")
    assert db.rows("SELECT (to_jsonb(s) - 'created_at')::text FROM workflow_trace_log AS s ORDER BY 1") == rows
    assert one(db, "SELECT min(created_at) > now() - interval '1 hour' FROM workflow_trace_log")


def test_p50s_go_after_400_days_but_never_the_last_of_a_scope(db: Database) -> None:
    """Lost: `findings` shows nothing to whoever has not analysed for a year."""
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


def test_lines_put_aside_and_notes_of_drains_go_with_the_limit(db: Database) -> None:
    """Lost: what was put aside grows for ever, or goes before anyone could look at it."""
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
    """Lost: upkeep runs with every analysis, or fails in silence."""
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


def test_a_worker_that_runs_once_does_the_upkeep_when_it_was_not_done_for_a_day(
    target: Target, db: Database, settings: Settings
) -> None:
    """Lost: where no daemon lives, spans pile up for ever; or every hook does the upkeep again."""
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


def test_a_file_is_not_written_again_by_whoever_comes_late(db: Database, tmp_path: Path) -> None:
    """Lost: the good file of a day, once its spans are gone and a second maintenance still means to write it."""
    store_old(db, (40,))
    maintenance.maintain(db, keeping(tmp_path))
    [path] = tmp_path.iterdir()
    written = path.read_bytes()
    [(day, before, archive_id)] = db.rows("SELECT day, sealed_before, archive_id::text FROM telemetry_sealed_days")
    with pytest.raises(partitions.Busy):
        archive.write(db, rules.Part(day, 1, None, before, archive_id), tmp_path)
    assert path.read_bytes() == written
