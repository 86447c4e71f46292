"""Archives of old spans: written before the spans are dropped, and restored unchanged."""

from collections import Counter
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.retention import archive, maintenance, partitions, rules
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import execute, midnight, one
from leo_telemetry_pipeline_tests.old_spans import (
    DUE,
    KEEP,
    a_day,
    back_date,
    days_of,
    history,
    keeping,
    run,
    store_old,
    table,
)


def test_an_archive_restores_each_span_unchanged(db: Database, settings: Settings, tmp_path: Path) -> None:
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
    assert run("import", *files)[1].count("13 were already stored") == len(files)
    assert maintenance.maintain(db, keeping(folder)).dropped == []
    assert table(db) == before
    assert history(db) == kept


def test_restored_spans_are_dropped_again_later_without_a_second_file(
    db: Database, settings: Settings, tmp_path: Path
) -> None:
    """Lost: restored spans stay forever, or their archive is overwritten."""
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
    # Sealing uses the clock, so back-date the seal.
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


@pytest.mark.parametrize(
    ("place", "reason"),
    [("a file", "cannot be used"), ("relative/path", "give an absolute path")],
)
def test_without_a_place_for_the_archive_nothing_is_dropped(
    db: Database, settings: Settings, tmp_path: Path, place: str, reason: str
) -> None:
    """Lost: all old spans, if the archive disk is not mounted."""
    (tmp_path / "a file").touch()
    store_old(db)
    before = table(db)
    where = place if "/" in place else tmp_path / place
    code, said = run("maintain", ARCHIVE=where)
    assert code == 1
    assert reason in said
    assert said.count("Not done:") == 1
    assert table(db) == before


def test_without_pyarrow_nothing_is_dropped_and_one_line_names_what_to_install(
    db: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: all old spans of a user who set the variable but did not install the extra."""
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


def test_another_database_imports_an_archive_like_any_file(db: Database, settings: Settings, tmp_path: Path) -> None:
    """Lost: an archive is useless once its database is gone."""
    store_old(db, (40,))
    rows = db.rows("SELECT (to_jsonb(s) - 'created_at')::text FROM workflow_trace_log AS s ORDER BY 1")
    maintenance.maintain(db, keeping(tmp_path))
    execute(db, "DELETE FROM telemetry_sealed_days")
    [path] = tmp_path.iterdir()
    code, said = run("import", path)
    assert (code, said.partition(";")[0]) == (0, f"{path}: 13 span(s) stored")
    assert db.rows("SELECT (to_jsonb(s) - 'created_at')::text FROM workflow_trace_log AS s ORDER BY 1") == rows
    assert one(db, "SELECT min(created_at) > now() - interval '1 hour' FROM workflow_trace_log")


def test_an_archive_file_is_not_rewritten_by_a_late_maintenance(db: Database, tmp_path: Path) -> None:
    """Lost: the complete file of a day, when a second maintenance writes it again after the spans are gone."""
    store_old(db, (40,))
    maintenance.maintain(db, keeping(tmp_path))
    [path] = tmp_path.iterdir()
    written = path.read_bytes()
    [(day, before, archive_id)] = db.rows("SELECT day, sealed_before, archive_id::text FROM telemetry_sealed_days")
    with pytest.raises(partitions.Busy):
        archive.write(db, rules.Part(day, 1, None, before, archive_id), tmp_path)
    assert path.read_bytes() == written
