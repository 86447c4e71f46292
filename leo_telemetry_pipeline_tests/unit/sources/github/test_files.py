"""Files with JSON of GitHub Actions become spans, whichever program wrote them, and nothing is lost silently."""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from leo_telemetry_pipeline.redact import Policy
from leo_telemetry_pipeline.sources.github.files import GitHubFiles
from leo_telemetry_pipeline.sources.past import Cursor, Entry, LeftOut, Unread
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests import github_history as github

END = datetime(2026, 11, 29, tzinfo=UTC)
SOURCE = GitHubFiles()


def read(folder: Path, cursor: Cursor | None = None) -> list[Entry]:
    """Read all that the source finds below a folder."""
    return [entry for past in SOURCE.discover([folder]) for entry in SOURCE.read(past, cursor, Policy())]


def spans(entries: list[Entry]) -> dict[str, Span]:
    """Return spans by id, each of which must occur once."""
    found = [entry for entry in entries if isinstance(entry, Span)]
    assert len({span.span_id for span in found}) == len(found)
    return {span.span_id: span for span in found}


def left_out(entries: list[Entry]) -> Counter[str]:
    """Return how many entries were left out, by what they are."""
    found: Counter[str] = Counter()
    for entry in entries:
        if isinstance(entry, LeftOut):
            found[entry.what] += entry.count
    return found


def written(folder: Path, *values: Any) -> Path:
    """Write JSON values into a file, one per line."""
    folder.mkdir(exist_ok=True)
    (folder / "github.jsonl").write_text("\n".join(map(json.dumps, values)))
    return folder


@pytest.fixture
def made() -> github.Made:
    return github.past(1, END, days=2)


def test_gh_and_the_rest_api_give_the_same_spans(made: github.Made, tmp_path: Path) -> None:
    """Lost: after a switch from one to the other, every job is stored twice."""
    github.write_as_gh(made, tmp_path / "gh")
    github.write_as_rest(made, tmp_path / "rest")
    of_gh, of_rest = spans(read(tmp_path / "gh")), spans(read(tmp_path / "rest"))
    assert of_gh.keys() == of_rest.keys()
    for span_id, span in of_gh.items():
        other = of_rest[span_id]
        assert (span.span_type, span.span_name, span.trace_id, span.parent_span_id, span.duration_ms, span.project) == (
            other.span_type,
            other.span_name,
            other.trace_id,
            other.parent_span_id,
            other.duration_ms,
            other.project,
        )


def test_a_run_is_a_tree_of_workflow_job_and_step(made: github.Made, tmp_path: Path) -> None:
    github.write_as_rest(made, tmp_path)
    found = spans(read(tmp_path))
    run = made.runs[0]
    job = made.jobs[run["id"]][1]
    [step] = [each for each in found.values() if each.span_name.endswith("test / Run pytest")][:1]
    above = found[step.parent_span_id or ""]
    root = found[above.parent_span_id or ""]
    assert (step.span_type, above.span_type, root.span_type) == ("github_step", "github_job", "github_workflow")
    assert (root.span_name, above.span_name) == ("shop / CI", "shop / CI / test")
    assert root.parent_span_id is None
    assert {step.trace_id, above.trace_id, root.trace_id} == {root.trace_id}
    assert root.project == github.REPOSITORY
    assert above.attributes["matrix"] == step.attributes["matrix"] == "3.11"
    assert above.attributes["runner"] == job["runner_name"]
    assert above.attributes["head_sha"] == run["head_sha"]
    assert (root.attributes["event"], root.attributes["branch"], root.attributes["attempt"]) == ("push", "main", 1)
    assert above.queue_wait_ms is not None
    assert above.queue_wait_ms > 0
    assert "Ada" not in repr([each.attributes for each in found.values()])


def test_steps_that_were_skipped_are_counted_and_are_no_spans(made: github.Made, tmp_path: Path) -> None:
    """Lost: a step of 0 s that never ran hides how long it takes when it runs."""
    github.write_as_gh(made, tmp_path)
    entries = read(tmp_path)
    jobs = sum(map(len, made.jobs.values()))
    assert left_out(entries) == {"step(s) skipped": jobs}
    assert not [span for span in spans(entries).values() if "Upload logs" in span.span_name]


def test_what_is_still_in_progress_is_read_once_it_has_ended(made: github.Made, tmp_path: Path) -> None:
    """Lost: a job that was read while it ran keeps the wrong end forever."""
    run = made.runs[0]
    jobs = made.jobs[run["id"]]
    begun = run | {"status": "in_progress", "conclusion": None}
    running = jobs[1] | {"status": "in_progress", "conclusion": None, "completed_at": None}
    before = read(written(tmp_path, {"workflow_runs": [begun]}, {"jobs": [jobs[0], running, jobs[2]]}))
    assert left_out(before)["run(s) still in progress, or without a conclusion"] == 1
    assert left_out(before)["job(s) still in progress, or without a conclusion"] == 1
    after = read(written(tmp_path, {"workflow_runs": [run]}, {"jobs": jobs}))
    assert spans(before).keys() < spans(after).keys()
    assert all(spans(after)[span_id] == span for span_id, span in spans(before).items())


def test_each_attempt_is_a_root_of_its_own_and_its_jobs_hang_below_it(made: github.Made, tmp_path: Path) -> None:
    """Lost: a run that was repeated on Friday seems to have lasted since Monday."""
    run = github.as_gh_run(made.runs[0])
    again = run | {"attempt": 2, "startedAt": "2026-11-28T20:00:00Z", "updatedAt": "2026-11-28T20:05:00Z"}
    kept = github.as_gh_job(made.jobs[made.runs[0]["id"]][0])
    repeated = kept | {"databaseId": 5, "startedAt": "2026-11-28T20:00:09Z", "completedAt": "2026-11-28T20:04:00Z"}
    found = spans(read(written(tmp_path, [run], [again], {"jobs": [kept, repeated]})))
    roots = {span.attributes["attempt"]: span for span in found.values() if span.span_type == "github_workflow"}
    jobs = {span.start_time_ms: span for span in found.values() if span.span_type == "github_job"}
    assert [jobs[start].parent_span_id for start in sorted(jobs)] == [roots[1].span_id, roots[2].span_id]
    assert roots[2].duration_ms == 300_000
    assert len({span.trace_id for span in found.values()}) == 1


def test_a_failure_is_an_error_and_a_cancelled_job_is_counted(made: github.Made, tmp_path: Path) -> None:
    """Lost: cancelling stuck jobs early makes them seem fast."""
    run = made.runs[0]
    first, second, _ = made.jobs[run["id"]]
    failed, cancelled = first | {"conclusion": "failure"}, second | {"conclusion": "cancelled", "steps": []}
    entries = read(
        written(tmp_path, {"workflow_runs": [run | {"conclusion": "failure"}]}, {"jobs": [failed, cancelled]})
    )
    status = {span.span_type: span.status for span in spans(entries).values()}
    assert (status["github_workflow"], status["github_job"], status["github_step"]) == ("ERROR", "ERROR", "OK")
    assert left_out(entries)["job(s) cancelled: their times say when someone lost patience"] == 1


def test_a_step_of_no_time_and_one_that_ends_before_it_starts_take_0_s(made: github.Made, tmp_path: Path) -> None:
    """Lost: clocks of GitHub that differ by a second quarantine whole jobs."""
    job = made.jobs[made.runs[0]["id"]][0]
    at = {"started_at": "2026-11-28T20:00:09Z", "completed_at": "2026-11-28T20:00:09Z"}
    none = job["steps"][0] | at
    back = job["steps"][1] | at | {"completed_at": "2026-11-28T20:00:08Z"}
    found = spans(read(written(tmp_path, {"jobs": [job | {"steps": [none, back]}]})))
    assert [span.duration_ms for span in found.values() if span.span_type == "github_step"] == [0, 0]


def test_jobs_of_gh_wait_for_the_list_that_names_their_workflow(made: github.Made, tmp_path: Path) -> None:
    """Lost: the same job has one name today, and another one after the list was added."""
    github.write_as_gh(made, tmp_path)
    runs = (tmp_path / "runs.json").read_text()
    (tmp_path / "runs.json").unlink()
    entries = read(tmp_path)
    assert not spans(entries)
    assert left_out(entries) == {
        "job(s) of runs that are in no file: `gh run list` names their workflow": sum(map(len, made.jobs.values()))
    }
    (tmp_path / "runs.json").write_text(runs)
    assert spans(read(tmp_path))


def test_what_cannot_be_read_is_named_by_file_and_line(made: github.Made, tmp_path: Path) -> None:
    """Lost: one broken line hides a month of runs, or vanishes without a word."""
    good = {"workflow_runs": made.runs[:1]}
    folder = written(
        tmp_path / "in", good, {"workflow_runs": [{"id": 3, "conclusion": "success", "updated_at": "soon"}]}
    )
    with (folder / "github.jsonl").open("a") as file:
        file.write('\n{"jobs": [{"steps": []}, 7]}\n{"jobs": [{"na')
    entries = read(folder)
    unread = [(entry.line, entry.reason) for entry in entries if isinstance(entry, Unread)]
    assert unread == [
        (3, "a job without its run: it has neither run_id nor url"),
        (3, "not an object"),
        (4, "not JSON: unterminated string starting at at character 12"),
    ]
    assert left_out(entries)["run(s) without a start or an end"] == 1
    assert len(spans(entries)) == 1


def test_a_time_that_is_none_is_named_and_not_guessed(made: github.Made, tmp_path: Path) -> None:
    wrong = made.runs[0] | {"updated_at": "soon"}
    [unread, _] = [*read(written(tmp_path, {"workflow_runs": [wrong]}))]
    assert isinstance(unread, Unread)
    assert unread.reason == "start or end is not a number: 'soon'"


def test_files_of_others_are_not_touched(made: github.Made, tmp_path: Path) -> None:
    """Lost: every file of a project with the word jobs in it is reported as damaged."""
    (tmp_path / "config.json").write_text(json.dumps({"jobs": {"nightly": {"cron": "0 3 * * *"}}, "id": 7}))
    (tmp_path / "notes.txt").write_text('"workflow_runs"')
    (tmp_path / ".git").mkdir()
    github.write_as_rest(made, tmp_path / ".git" / "x")
    assert not list(SOURCE.discover([tmp_path]))


def test_discovery_says_how_much_there_is_and_how_old_it_is(made: github.Made, tmp_path: Path) -> None:
    github.write_as_gh(made, tmp_path)
    (tmp_path / "jobs.jsonl.gz").write_bytes(gzip.compress((tmp_path / "jobs.jsonl").read_bytes()))
    (tmp_path / "jobs.jsonl").unlink()
    [past] = SOURCE.discover([tmp_path])
    assert past.contents == f"{len(made.runs)} runs in 2 files"
    assert past.size_bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert past.first_ms is not None
    assert past.last_ms is not None
    assert datetime.fromtimestamp(past.first_ms / 1000, UTC).isoformat()[:10] == "2026-11-27"
    assert datetime.fromtimestamp(past.last_ms / 1000, UTC).isoformat()[:10] == "2026-11-28"


def test_files_that_did_not_change_are_not_read_again(made: github.Made, tmp_path: Path) -> None:
    github.write_as_gh(made, tmp_path)
    cursor = read(tmp_path)[-1]
    assert isinstance(cursor, Cursor)
    assert read(tmp_path, cursor) == []
    (tmp_path / "jobs.jsonl").write_text((tmp_path / "jobs.jsonl").read_text() + "\n")
    assert spans(read(tmp_path, cursor)) == spans(read(tmp_path))
