"""Reading places with a past: repeated, interrupted and by a source of the user's own."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.cli import look
from leo_telemetry_pipeline.cli.look import Place
from leo_telemetry_pipeline.sources.github.files import GitHubFiles
from leo_telemetry_pipeline.sources.past import Cursor, Entry, Past, Source
from leo_telemetry_pipeline.store import cursors
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import github_history as github
from leo_telemetry_pipeline_tests.builders import midnight, one, span

DOC = Path(__file__).resolve().parents[2] / "docs" / "look.md"


class Interrupted(Exception):
    """Stands for a signal between two entries."""


class Listed:
    """Source of given entries; ends with an exception where None is among them."""

    name = title = where = "listed"

    def __init__(self, entries: Sequence[Entry | None]) -> None:
        self.entries = entries

    def discover(self, paths: Sequence[Path]) -> Iterator[Past]:
        yield Past("here", "entries", 1)

    def read(self, past: Past, cursor: Cursor | None, policy: redact.Policy) -> Iterator[Entry]:
        for entry in self.entries[cursor.position["entries"] if cursor else 0 :]:
            if entry is None:
                raise Interrupted
            yield entry


def look_at(db: Database, source: Source, paths: Sequence[Path] = ()) -> look.Looked:
    """Read all that a source finds, which is one place, as the command does."""
    [past] = source.discover(paths)
    assert isinstance(past, Past)
    position = cursors.get(db, source.name, past.place)
    place = Place(source, past, None if position is None else Cursor(position))
    return look.read(db, place, redact.Policy())


def stored(db: Database) -> int:
    """Return the number of stored spans."""
    return one(db, "SELECT count(*) FROM workflow_trace_log")


def test_an_interrupted_look_goes_on_at_its_last_cursor(db: Database) -> None:
    """Lost: a past too long for one sitting is never read to its end."""
    first, second, third = span(), span(), span()
    with pytest.raises(Interrupted):
        look_at(db, Listed([first, second, Cursor({"entries": 3}), third, None]))
    assert stored(db) == 2
    looked = look_at(db, Listed([None, None, None, third, Cursor({"entries": 5})]))
    assert (looked.loaded.new, stored(db)) == (1, 3)
    assert cursors.get(db, "listed", "here") == {"entries": 5}


def test_a_cursor_is_never_ahead_of_the_spans_that_it_covers(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: spans that were read but not stored are skipped forever."""

    def fail(*_: object, **__: object) -> None:
        raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(look.spans, "store", fail)
        with pytest.raises(Interrupted):
            look_at(db, Listed([span(), Cursor({"entries": 2})]))
    assert cursors.get(db, "listed", "here") is None


def test_looks_in_any_order_at_growing_files_end_like_one_clean_read(db: Database, tmp_path: Path) -> None:
    """Lost: looking daily stores other spans than looking once."""
    made = github.past(31, datetime.now(UTC), days=4)
    jobs = list(made.jobs.items())
    for runs, of_jobs in ((len(made.runs), 5), (len(made.runs), len(jobs) // 2), (len(made.runs), len(jobs))):
        github.write_as_gh(github.Made(made.runs[:runs], dict(jobs[:of_jobs])), tmp_path)
        look_at(db, GitHubFiles(), [tmp_path])
    query = "SELECT span_id, parent_span_id, span_name, start_time_ms, duration_ms FROM workflow_trace_log ORDER BY 1"
    grown = db.rows(query)
    one(db, "WITH gone AS (DELETE FROM workflow_trace_log RETURNING 1) SELECT count(*) FROM gone")
    one(db, "WITH gone AS (DELETE FROM telemetry_source_cursors RETURNING 1) SELECT count(*) FROM gone")
    look_at(db, GitHubFiles(), [tmp_path])
    assert db.rows(query) == grown
    assert len(grown) == len({row[0] for row in grown})


def test_the_source_of_the_document_works_and_reads_only_new_lines(db: Database, tmp_path: Path) -> None:
    """Lost: people start from an example that does not run."""
    [example] = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    exec(example, names)
    log = tmp_path / "backup.log"
    night = f"{midnight(1):%Y-%m-%dT02:00:00Z}"
    log.write_text(f"{night} photos 512.5s\n{night} mail soon\n")
    first = look_at(db, names["Backups"](), [tmp_path])
    assert first.loaded.names == Counter({("backup", "photos"): 1})
    assert [(entry.line, entry.reason) for entry in first.unread] == [(2, "duration_ms is not a number: 'soon'")]
    with log.open("a") as file:
        file.write(f"{night} music 61s\n")
    assert look_at(db, names["Backups"](), [tmp_path]).loaded.names == Counter({("backup", "music"): 1})
    assert one(db, "SELECT content FROM telemetry_quarantine") == "[not kept]"


def test_secrets_in_names_and_attributes_are_removed(db: Database, tmp_path: Path) -> None:
    """Lost: a token in the name of a step is in the database."""
    token = "ghp_" + "a1B2" * 9
    made = github.past(32, datetime.now(UTC), days=1)
    job = made.jobs[made.runs[0]["id"]][0]
    job["steps"][0]["name"] = f"Run curl -H 'Authorization: Bearer {token}'"
    job["runner_name"] = token
    made.runs[0]["head_branch"] = f"try-{token}"
    github.write_as_rest(made, tmp_path)
    look_at(db, GitHubFiles(), [tmp_path])
    assert one(db, "SELECT count(*) FROM workflow_trace_log AS s WHERE s::text LIKE %s", [f"%{token}%"]) == 0
