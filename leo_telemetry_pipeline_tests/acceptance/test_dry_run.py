"""``analyze --dry-run`` writes nothing: no row and no file, in its home or elsewhere."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import DAGSTER_DATABASE, DATABASE, Database
from leo_telemetry_pipeline.store.server.embedded import Embedded
from leo_telemetry_pipeline_tests import builders, processes
from leo_telemetry_pipeline_tests.processes import finished, until

# Write counters of each table, in our database and Dagster's.
WRITTEN = "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del, n_tup_hot_upd FROM pg_stat_user_tables ORDER BY relname"
# Writes without counters: a sequence, a table created or dropped.
CATALOG = "SELECT count(*), max(oid::bigint) FROM pg_class"


@dataclass(frozen=True)
class Analysed:
    """A home, and the state of database and disk before and after its analysis."""

    home: Path
    before: tuple[dict, dict]
    after: tuple[dict, dict]


@pytest.fixture(scope="module")
def analysed(make_home: Callable[[Path], Path], short_folder: Path) -> Iterator[Analysed]:
    """Create a home with slow gates and a finished analysis, and its database running."""
    home = make_home(short_folder / "dry")
    with database.ready(Settings({PREFIX + "HOME": str(home)})) as target, closing(Database(target)) as db:
        builders.slow(db, "GATE_A", "GATE_B", "GATE_C", "GATE_D")
        db.close()  # An idle connection reports its last writes up to ten seconds later.
        before = settled(home), files(home)
        assert processes.run(home, "analyze").code == 0
        after = settled(home), files(home)
        builders.slow(db, "GATE_NEW")
        db.close()
        yield Analysed(home, before, after)


@pytest.fixture(scope="module")
def home(analysed: Analysed) -> Path:
    """Return that home."""
    return analysed.home


def written(home: Path) -> dict[str, list[tuple]]:
    """Return all write counters of the databases."""
    found = {}
    for name in (DATABASE, DAGSTER_DATABASE):
        connection = psycopg2.connect(f"{Embedded(home).dsn} dbname={name}")
        with closing(connection), connection, connection.cursor() as cursor:
            for question in (WRITTEN, CATALOG):
                cursor.execute(question)
                found[f"{name}: {question}"] = cursor.fetchall()
    return found


def settled(home: Path) -> dict[str, list[tuple]]:
    """Return the counters once no process has more to report: each reports within a second of its end."""
    seen = [written(home)]

    def calm() -> bool:
        seen.append(written(home))
        return len(seen) > 3 and seen[-1] == seen[-2] == seen[-3]

    until(calm, "the statistics come to rest", every=1.0)
    return seen[-1]


def files(*folders: Path) -> dict[str, tuple]:
    """Return size, mode and times of everything in some folders, except the database's own data."""
    found = {}
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            if "database" not in path.relative_to(folder).parts:
                is_ = path.lstat()
                found[str(path)] = (is_.st_mode, is_.st_size, is_.st_mtime_ns, is_.st_ino)
    return found


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--window-days", "3", "--verbose")], ids=" ".join)
def test_a_dry_run_leaves_database_and_home_as_they_were(home: Path, tmp_path: Path, arguments: tuple[str, ...]):
    """Lost: a dry run opens items for the whole team, or delays the next real analysis."""
    persons = tmp_path / "person"
    persons.mkdir()
    folder = tmp_path / "work"
    folder.mkdir()
    rows, disk = settled(home), files(home, persons, folder)
    done = finished(
        processes.command("analyze", "--dry-run", *arguments),
        processes.environment(home, HOME=str(persons)),
        cwd=folder,
    )
    assert done.code == 0, done
    assert done.err == ""
    assert files(home, persons, folder) == disk
    assert settled(home) == rows
    if arguments == ("--json",):
        found = json.loads(done.out)
        assert found["run_id"] is None
        # The dry run did analyse: it finds the new gate, whose spans came after the last analysis; it has no item.
        assert {each["dimension_key"] for each in found["bottlenecks"]} >= {"GATE_A", "GATE_NEW"}
        assert {each.get("improvement_id") for each in found["bottlenecks"] if each["dimension_key"] == "GATE_NEW"} == {
            None
        }
    else:
        assert "nothing was written" in done.out


def test_a_real_run_changes_everything_that_is_compared(analysed: Analysed):
    """Lost: the test above would pass even if it compared the wrong counters and files."""
    for before, after in zip(analysed.before, analysed.after, strict=True):
        assert before != after


def test_a_dry_run_on_a_database_without_our_tables_creates_none(short_folder: Path):
    """Lost: a dry run in a new database would create our tables."""
    home = short_folder / "drynew"
    done = processes.run(home, "analyze", "--dry-run")
    processes.has_line(done, "leo-telemetry migrate")
    assert (done.code, done.out) == (3, "")
