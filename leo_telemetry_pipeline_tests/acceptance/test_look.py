"""`leo-telemetry look` names what got slower in a past that already exists, and nothing else.

Each past has five weeks, made anew up to yesterday; homes are copies of an empty one, with no service running.
"""

import gzip
import json
import os
import pty
import re
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
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
class Fixture:
    """Past of a repository: its seed, how it is written, and the step that is slower in its last days."""

    seed: int
    write: Callable[[github.Made, Path], None]
    step: str
    factor: float
    names: frozenset[str]


FIXTURES = [
    Fixture(11, github.write_as_gh, "Build image", 1.8, frozenset({"shop / Release / build / Build image"})),
    Fixture(12, github.write_as_rest, "Run ruff check", 2.5, frozenset({"shop / CI / lint / Run ruff check"})),
    Fixture(13, as_one_file, "Push image", 3.0, frozenset({"shop / Release / build / Push image"})),
    Fixture(14, as_pages_of_all_jobs, "Build wheel", 2.0, frozenset({"shop / Release / build / Build wheel"})),
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


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.step)
def test_the_planted_step_is_named_and_no_other_item_is_opened(
    made_home: Path, tmp_path: Path, fixture: Fixture
) -> None:
    """Lost: the first answer that a new user gets is wrong, or one of many."""
    made = github.past(fixture.seed, datetime.now(UTC), slow=(fixture.step, fixture.factor))
    fixture.write(made, tmp_path / "github")
    done = looked(made_home, tmp_path / "github", "--yes")
    found = items(made_home)
    assert {(one["dimension_type"], one["dimension_key"]) for one in found} == {
        ("github_step", name) for name in fixture.names
    }
    assert "Where the added time goes" in done.out
    assert f"{len(made.runs)} runs in" in done.out


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.write.__name__)
def test_a_past_in_which_nothing_got_slower_is_answered_with_silence(
    made_home: Path, tmp_path: Path, fixture: Fixture
) -> None:
    """Lost: nobody looks twice at a tool whose first answer was a false alarm."""
    fixture.write(github.past(fixture.seed + 100, datetime.now(UTC)), tmp_path / "github")
    done = looked(made_home, tmp_path / "github", "--yes")
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
    assert done.out == ""
    assert f"Found no past at {tmp_path}" in done.err
    assert "gh run list" in done.err
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
