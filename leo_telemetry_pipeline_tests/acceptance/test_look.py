"""`leo-telemetry look` names what got slower in a past that already exists, and nothing else.

Each past has five weeks, made anew up to yesterday; homes are copies of an empty one, with no service running.
"""

import gzip
import json
import os
import pty
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import dagster_history
from leo_telemetry_pipeline_tests import github_history as github
from leo_telemetry_pipeline_tests.processes import Done, command, environment, run


def as_one_file(made: github.Made, folder: Path) -> None:
    """Write what ``gh run view --json jobs,...`` writes for each run, compressed."""
    folder.mkdir()
    views = [
        json.dumps(github.as_gh_run(each) | {"jobs": [github.as_gh_job(job) for job in made.jobs[each["id"]]]})
        for each in made.runs
    ]
    (folder / "views.jsonl.gz").write_bytes(gzip.compress("\n".join(views).encode()))


def as_pages_of_all_jobs(made: github.Made, folder: Path) -> None:
    """Write what ``gh api --paginate --slurp`` writes: arrays of pages."""
    folder.mkdir()
    runs = [
        {"total_count": len(made.runs), "workflow_runs": made.runs[at : at + 30]} for at in range(0, len(made.runs), 30)
    ]
    (folder / "runs.json").write_text(json.dumps(runs))
    (folder / "jobs.json").write_text(json.dumps([{"total_count": len(of), "jobs": of} for of in made.jobs.values()]))


@dataclass(frozen=True)
class Originals:
    """Real runs of Dagster, to be cloned: the home of their instance, and their ids by job."""

    home: Path
    ids: dict[str, str]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Originals:
    home = tmp_path_factory.mktemp("dagster") / "home"
    return Originals(home, dagster_history.run_all(home))


@dataclass(frozen=True)
class Repository:
    """Past of a repository on GitHub, and how it is written."""

    write: Callable[[github.Made, Path], None]

    def make(self, folder: Path, seed: int, slow: tuple[str, float] | None, originals: Originals) -> int:
        made = github.past(seed, datetime.now(UTC), slow=slow)
        self.write(made, folder)
        return len(made.runs)


@dataclass(frozen=True)
class Instance:
    """Past of a Dagster instance with clones of one run of each of these jobs."""

    jobs: tuple[str, ...]

    def make(self, folder: Path, seed: int, slow: tuple[str, float] | None, originals: Originals) -> int:
        shutil.copytree(originals.home, folder)
        clones = dagster_history.Clones(seed, slow=dict([slow] if slow else []))
        return dagster_history.clone(folder, [originals.ids[job] for job in self.jobs], clones, datetime.now(UTC))


@dataclass(frozen=True)
class Fixture:
    """Five weeks of past, and the step that takes ``factor`` times as long in the last six days."""

    past: Repository | Instance
    seed: int
    step: str
    factor: float
    dimension: tuple[str, str]


FIXTURES = [
    Fixture(
        Repository(github.write_as_gh), 11, "Build image", 1.8, ("github_step", "shop / Release / build / Build image")
    ),
    Fixture(
        Repository(github.write_as_rest),
        12,
        "Run ruff check",
        2.5,
        ("github_step", "shop / CI / lint / Run ruff check"),
    ),
    Fixture(Repository(as_one_file), 13, "Run pytest", 1.6, ("github_step", "shop / CI / test / Run pytest")),
    Fixture(
        Repository(as_pages_of_all_jobs),
        14,
        "Build wheel",
        2.0,
        ("github_step", "shop / Release / build / Build wheel"),
    ),
    Fixture(Instance(("etl", "assets")), 15, "transform", 2.0, ("dagster_step", "etl / transform")),
    Fixture(Instance(("assets",)), 16, "marts__report", 1.8, ("dagster_step", "marts__report")),
    Fixture(Instance(("in_processes",)), 17, "load", 2.5, ("dagster_step", "in_processes / load")),
    Fixture(Instance(("flaky", "etl")), 18, "extract", 2.0, ("dagster_step", "etl / extract")),
]


def looked(home: Path, folder: Path, *more: str) -> Done:
    """Run the command, which must succeed."""
    done = run(home, "look", str(folder), *more)
    assert done.code == 0, done.err
    return done


def items(home: Path) -> list[dict]:
    """Return the details of all items."""
    done = run(home, "items", "--json")
    assert done.code == 0, done.err
    return [item["source_detail"] for item in json.loads(done.out)]


def rows(home: Path) -> list[tuple]:
    """Return all spans in a home's database, without what depends on when they were stored."""
    ours = (
        "trace_id, span_id, parent_span_id, span_type, span_name, start_time_ms, duration_ms, project, attributes::text"
    )
    with database.opened(Settings({PREFIX + "HOME": str(home)})) as target, closing(Database(target)) as connection:
        return connection.rows(f"SELECT {ours} FROM workflow_trace_log ORDER BY span_id")


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.dimension[1])
def test_the_planted_step_is_named_and_no_other_item_is_opened(
    made_home: Path, tmp_path: Path, originals: Originals, fixture: Fixture
) -> None:
    """Lost: the first answer that a new user gets is wrong, or one of many."""
    runs = fixture.past.make(tmp_path / "past", fixture.seed, (fixture.step, fixture.factor), originals)
    done = looked(made_home, tmp_path / "past", "--yes")
    assert [(one["dimension_type"], one["dimension_key"]) for one in items(made_home)] == [fixture.dimension]
    assert "Where the added time goes" in done.out
    assert f"{runs} runs" in done.out


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: str(fixture.seed + 100))
def test_a_past_in_which_nothing_got_slower_is_answered_with_silence(
    made_home: Path, tmp_path: Path, originals: Originals, fixture: Fixture
) -> None:
    """Lost: nobody looks twice at a tool whose first answer was a false alarm."""
    fixture.past.make(tmp_path / "past", fixture.seed + 100, None, originals)
    done = looked(made_home, tmp_path / "past", "--yes")
    assert "No bottlenecks detected" in done.out
    assert items(made_home) == []


def test_a_second_look_reads_only_what_is_new_and_asks_no_more(made_home: Path, tmp_path: Path) -> None:
    """Lost: each look reads months again, or a cron job waits for an answer."""
    made = github.past(21, datetime.now(UTC), days=3)
    earlier = github.Made(made.runs[:-5], {each["id"]: made.jobs[each["id"]] for each in made.runs[:-5]})
    github.write_as_gh(earlier, tmp_path / "github")
    looked(made_home, tmp_path / "github", "--yes")
    again = looked(made_home, tmp_path / "github")
    assert "read before" in again.out
    assert "GitHub Actions: nothing new" in again.out
    github.write_as_gh(made, tmp_path / "github")
    grown = looked(made_home, tmp_path / "github")
    assert re.search(r"GitHub Actions: \d\d span\(s\) stored, [\d,]+ were already stored", grown.out)
    whole = rows(made_home)
    assert "0 span(s) stored" in looked(made_home, tmp_path / "github", "--again").out
    assert rows(made_home) == whole
    skipped = sum(
        step["conclusion"] == "skipped" for of_run in made.jobs.values() for job in of_run for step in job["steps"]
    )
    steps = sum(len(job["steps"]) for of_run in made.jobs.values() for job in of_run)
    assert len(whole) == len(made.runs) + sum(map(len, made.jobs.values())) + steps - skipped


def test_looks_that_are_killed_repeated_and_parallel_end_like_one_clean_read(
    make_home: Callable[[Path], Path], short_folder: Path, tmp_path: Path
) -> None:
    """Lost: after Ctrl-C, or beside a cron job, spans are stored twice or not at all."""
    homes = [make_home(short_folder / name) for name in ("disturbed", "clean")]
    made = github.past(24, datetime.now(UTC), days=12)
    half = [each["id"] for each in made.runs[: len(made.runs) // 2]]
    github.write_as_gh(github.Made(made.runs, {each: made.jobs[each] for each in half}), tmp_path / "github")
    arguments = command("look", str(tmp_path / "github"), "--yes")
    for delay_s in (0.6, 0.9, 1.2):
        with subprocess.Popen(arguments, env=environment(homes[0]), stdout=subprocess.DEVNULL) as killed:
            time.sleep(delay_s)
            killed.kill()
    github.write_as_gh(made, tmp_path / "github")
    both = [subprocess.Popen(arguments, env=environment(homes[0]), stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    looked(homes[1], tmp_path / "github", "--yes")
    assert rows(homes[0]) == rows(homes[1])


def test_without_a_terminal_nothing_is_read_and_the_command_is_said(made_home: Path, tmp_path: Path) -> None:
    """Lost: a script imports what nobody agreed to, or hangs at a question."""
    github.write_as_gh(github.past(22, datetime.now(UTC), days=1), tmp_path / "github")
    done = run(made_home, "look", str(tmp_path / "github"))
    assert done.code == 2
    assert f"run `leo-telemetry look {tmp_path}/github --yes`" in done.err
    assert "GitHub Actions in" in done.out
    assert "Traceback" not in done.err


def test_nothing_found_says_where_it_looked_and_what_to_do(made_home: Path, tmp_path: Path) -> None:
    """Lost: a new user's first command ends in silence."""
    done = run(made_home, "look", str(tmp_path))
    assert done.code == 1
    assert "gh run list" in done.out
    assert "DAGSTER_HOME" in done.out
    assert f"Found no past at {tmp_path}" in done.err
    assert "leo-telemetry demo" in done.err


def test_a_person_who_says_no_has_read_nothing(made_home: Path, tmp_path: Path) -> None:
    """Lost: asking is a formality."""
    github.write_as_gh(github.past(23, datetime.now(UTC), days=1), tmp_path / "github")
    assert "Nothing was read" in on_a_terminal(made_home, "n\n", "look", str(tmp_path / "github"))
    assert "Analyzing" in on_a_terminal(made_home, "y\n", "look", str(tmp_path / "github"))


def on_a_terminal(home: Path, answer: str, *arguments: str) -> str:
    """Run a command on a terminal of its own, on which a person answers its question; return what the person sees."""
    child, terminal = pty.fork()
    if not child:
        os.execve(command()[0], command(*arguments), environment(home))
    os.write(terminal, answer.encode())
    shown = b""
    with suppress(OSError):  # the terminal of a process that has ended
        while block := os.read(terminal, 65_536):
            shown += block
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, shown
    return shown.decode()
