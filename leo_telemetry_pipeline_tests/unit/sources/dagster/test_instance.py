"""Runs of a real Dagster instance become spans, and the instance is only read."""

import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leo_telemetry_pipeline.redact import Policy
from leo_telemetry_pipeline.sources.dagster.instance import DagsterInstances
from leo_telemetry_pipeline.sources.past import Cursor, Entry, LeftOut, Past, Unread
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests import dagster_history

SOURCE = DagsterInstances({})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Run each job once; return the instance's home and the run ids by job."""
    home = tmp_path_factory.mktemp("dagster") / "home"
    return home, dagster_history.run_all(home)


def read(home: Path, cursor: Cursor | None = None) -> list[Entry]:
    """Read all runs of an instance since a cursor."""
    return [
        entry
        for past in SOURCE.discover([home])
        if isinstance(past, Past)
        for entry in SOURCE.read(past, cursor, Policy())
    ]


def of_run(entries: list[Entry], run_id: str, span_type: str = "dagster_step") -> list[Span]:
    """Return the spans of one run and type, in order."""
    found = [one for one in entries if isinstance(one, Span) and (one.trace_id, one.span_type) == (run_id, span_type)]
    return sorted(found, key=lambda span: span.start_time_ms)


def files(home: Path) -> dict[Path, str]:
    """Return all files of an instance with the hashes of their contents."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(home.rglob("*")) if path.is_file()}


def test_a_run_is_a_tree_of_its_steps(runs: tuple[Path, dict[str, str]]) -> None:
    home, ids = runs
    entries = read(home)
    [root] = of_run(entries, ids["etl"], "dagster_run")
    steps = of_run(entries, ids["etl"])
    assert [step.span_name for step in steps] == ["etl / extract", "etl / transform", "etl / load"]
    assert {step.parent_span_id for step in steps} == {root.span_id}
    assert (root.span_name, root.status, root.parent_span_id) == ("etl", "OK", None)
    assert root.queue_wait_ms is not None
    assert root.duration_ms is not None
    assert sum(step.duration_ms or 0 for step in steps) < root.duration_ms
    assert all((step.duration_ms or 0) >= least for step, least in zip(steps, (50, 80, 30), strict=True))
    assert root.duration_rest_us is not None


def test_each_attempt_of_a_step_is_a_span(runs: tuple[Path, dict[str, str]]) -> None:
    """Lost: a step that is repeated seems slow, whatever each attempt takes."""
    home, ids = runs
    attempts = [step for step in of_run(read(home), ids["flaky"]) if step.span_name == "flaky / fetch"]
    assert [(step.attributes["attempt"], step.status) for step in attempts] == [(1, "ERROR"), (2, "OK")]
    assert all(40 <= (step.duration_ms or 0) < 10_000 for step in attempts)


def test_an_asset_has_one_name_in_all_jobs_with_its_key_and_partition(runs: tuple[Path, dict[str, str]]) -> None:
    """Lost: an asset that moves to another job starts again without a baseline."""
    home, ids = runs
    entries = read(home)
    orders, report = of_run(entries, ids["assets"])
    assert (orders.span_name, report.span_name) == ("orders", "marts__report")
    assert report.attributes["asset_key"] == "marts/report"
    assert report.attributes["partition"] == "2026-10-05"
    [root] = of_run(entries, ids["assets"], "dagster_run")
    assert root.span_name == "marts__report, orders"


def test_the_start_of_a_steps_process_is_a_wait_below_it(runs: tuple[Path, dict[str, str]]) -> None:
    """Lost: a busy machine on which processes start slowly looks like slow work."""
    home, ids = runs
    entries = read(home)
    steps = of_run(entries, ids["in_processes"])
    waits = of_run(entries, ids["in_processes"], "wait")
    assert [wait.parent_span_id for wait in waits] == [step.span_id for step in steps]
    for step, wait, least in zip(steps, waits, (50, 30), strict=True):
        assert wait.start_time_ms == step.start_time_ms
        assert least <= (step.duration_ms or 0) - (wait.duration_ms or 0)


def test_failed_dynamic_and_skipped_steps_and_our_own_runs_are_told_apart(runs: tuple[Path, dict[str, str]]) -> None:
    home, ids = runs
    entries = read(home)
    assert [(step.span_name, step.status) for step in of_run(entries, ids["failing"])] == [
        ("failing / extract", "OK"),
        ("failing / fail", "ERROR"),
    ]
    mapped = {step.attributes.get("mapping_key"): step.span_name for step in of_run(entries, ids["shards"])}
    assert mapped["north"] == mapped["south"] == "shards / transform"
    left_out = Counter({entry.what: entry.count for entry in entries if isinstance(entry, LeftOut)})
    assert left_out == {"step(s) skipped": 1, "run(s) of this program": 1}
    assert "disk is full" not in repr([entry.attributes for entry in entries if isinstance(entry, Span)])


def test_an_instance_is_not_written_to(runs: tuple[Path, dict[str, str]]) -> None:
    """Lost: reading a production instance changes it."""
    home, _ = runs
    before = files(home)
    read(home)
    assert files(home) == before


def test_only_runs_that_were_updated_since_are_read_again(runs: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """Lost: each look reads years of runs, or misses those that ended since."""
    home, ids = tmp_path / "home", runs[1]
    home.mkdir()
    (home / "history").symlink_to(runs[0] / "history")
    cursor = read(home)[-1]
    assert isinstance(cursor, Cursor)
    later = Cursor({"updated": str(datetime.fromisoformat(cursor.position["updated"]) + timedelta(minutes=6))})
    assert read(home, later) == []
    assert of_run(read(home, cursor), ids["in_processes"])


def test_a_run_in_progress_waits_for_its_end(runs: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """Lost: a run that was read while it ran keeps the wrong end forever."""
    home = copied(runs[0], tmp_path)
    with closing(sqlite3.connect(home / "history" / "runs.db")) as changed:
        changed.execute("UPDATE runs SET status = 'STARTED', end_time = NULL WHERE pipeline_name = 'etl'")
        changed.execute("UPDATE runs SET status = 'CANCELED' WHERE pipeline_name = 'flaky'")
        changed.commit()
    entries = read(home)
    assert not of_run(entries, runs[1]["etl"])
    assert of_run(entries, runs[1]["flaky"])
    assert not of_run(entries, runs[1]["flaky"], "dagster_run")
    assert {"run(s) still in progress", "run(s) canceled: their times say when someone lost patience"} <= {
        entry.what for entry in entries if isinstance(entry, LeftOut)
    }


def test_a_damaged_log_costs_its_own_run_only(runs: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """Lost: one broken file hides all other runs, or nobody hears of it."""
    home = copied(runs[0], tmp_path)
    (home / "history" / "runs" / f"{runs[1]['etl']}.db").write_bytes(b"not a database" * 300)
    (home / "history" / "runs" / f"{runs[1]['flaky']}.db").unlink()
    entries = read(home)
    reasons = [entry.reason for entry in entries if isinstance(entry, Unread)]
    assert len(reasons) == 2
    assert "cannot be read (file is not a database)" in reasons[0]
    assert "missing" in reasons[1]
    assert of_run(entries, runs[1]["etl"], "dagster_run")
    assert of_run(entries, runs[1]["in_processes"])


def copied(home: Path, folder: Path) -> Path:
    """Copy the files of an instance."""
    for path in home.rglob("*.db"):
        copy = folder / path.relative_to(home)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return folder


def test_the_usual_places_are_dagsters_home_and_the_working_folder(
    runs: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(DagsterInstances({}).discover([])) == []
    [past] = DagsterInstances({"DAGSTER_HOME": str(runs[0])}).discover([])
    assert isinstance(past, Past)
    assert past.contents == f"{len(runs[1])} runs"
    assert past.first_ms is not None
    assert datetime.fromtimestamp(past.first_ms / 1000, UTC).date() == datetime.now(UTC).date()
    monkeypatch.chdir(runs[0])
    assert len(list(DagsterInstances({"DAGSTER_HOME": str(runs[0])}).discover([]))) == 1


def test_an_instance_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Lost: a person thinks that there was nothing to find."""
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "runs.db").write_bytes(b"not a database" * 300)
    [unread] = SOURCE.discover([tmp_path])
    assert isinstance(unread, Unread)
    assert unread.reason == "it cannot be read (file is not a database)"
