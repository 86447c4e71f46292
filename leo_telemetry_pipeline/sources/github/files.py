"""Source of GitHub Actions: finds and reads files with the JSON of ``gh`` and of the REST API.

Belongs here: which files hold runs or jobs, and what changed. Does not: their fields (records), their spans (spans).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources import times
from leo_telemetry_pipeline.sources.files import json_documents
from leo_telemetry_pipeline.sources.files.lines import InputFile
from leo_telemetry_pipeline.sources.github import spans
from leo_telemetry_pipeline.sources.github.records import Job, Run, records
from leo_telemetry_pipeline.sources.past import Cursor, Entry, Past, Unread
from leo_telemetry_pipeline.span import InvalidSpan

_ENDINGS = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".json.xz", ".json.zst", ".jsonl.zst")
_HEAD = 65_536
# One of these is near the beginning of every file that gh or the REST API writes.
_MARKS = (b'"workflow_runs"', b'"jobs"', b'"run_id"', b'"databaseId"', b'"workflow_id"')


@dataclass(frozen=True)
class _Found:
    """Record, or the reason why there is none, with its file and line."""

    path: Path
    line: int
    record: Run | Job | str


class GitHubFiles:
    """Files below a folder, read together: runs name the workflows of the jobs in other files."""

    name = "github_actions"
    title = "GitHub Actions"
    where = "in the paths that you name, for JSON of `gh run list` and `gh run view` or of the REST API"

    def discover(self, paths: Sequence[Path]) -> Iterator[Past]:
        """Yield one past per path with files of runs and jobs. Such files have no usual place."""
        for path in paths:
            found = [each for each in _found(files_of(path)) if not isinstance(each.record, str)]
            if not found:
                continue
            starts = [start for each in found if (start := _start_ms(each.record)) is not None]
            files = {each.path for each in found}
            yield Past(
                str(path.absolute()),
                f"{_count(len({_run_id(each.record) for each in found}), 'run')} in {_count(len(files), 'file')}",
                sum(_stat(file)[0] for file in files),
                min(starts, default=None),
                max(starts, default=None),
            )

    def read(self, past: Past, cursor: Cursor | None, policy: redact.Policy) -> Iterator[Entry]:
        """Yield the spans of all files, unless none of them has changed since the cursor."""
        files = list(files_of(Path(past.place)))
        state = _state(files)
        if cursor is not None and cursor.position.get("files") == state:
            return
        found = list(_found(files))
        made = spans.Maker(spans.by_run(each.record for each in found if isinstance(each.record, Run)), policy)
        for each in found:
            yield from _entries(each, made)
        yield Cursor({"files": state})


def files_of(path: Path) -> Iterator[Path]:
    """Yield the files at or below a path that look like those of gh or the REST API, in order."""
    inside = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in inside:
        is_named = not path.is_dir() or file.name.endswith(_ENDINGS)
        if is_named and not any(part.startswith(".") for part in file.relative_to(path).parts) and _is_ours(file):
            yield file


def _is_ours(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            head = next(InputFile(opened).blocks(), b"")[:_HEAD]
    except OSError:
        return False
    return any(mark in head for mark in _MARKS)


def _found(files: Iterable[Path]) -> Iterator[_Found]:
    for file in files:
        of_file = list(_of_file(file))
        # Other tools write fields with the same names: a file without a single run or job is not ours.
        if not all(isinstance(each.record, str) for each in of_file):
            yield from of_file


def _of_file(file: Path) -> Iterator[_Found]:
    data = bytearray()
    try:
        with file.open("rb") as opened:
            source = InputFile(opened)
            for block in source.blocks():
                data += block
                if len(data) > json_documents.MAX_DOCUMENT:
                    source.damage = "the file is too large from here on: split it, for instance by month"
                    break
    except OSError:
        return
    for line, value, _ in json_documents.values(bytes(data), complete=not source.damage):
        if isinstance(value, json_documents.Broken):
            yield _Found(file, line, str(value))
        else:
            yield from (_Found(file, line, record) for record in records(value))
    if source.damage:
        yield _Found(file, data.count(b"\n") + 1, source.damage)


def _entries(found: _Found, made: spans.Maker) -> Iterator[Entry]:
    if isinstance(found.record, str):
        yield Unread(str(found.path), found.line, found.record)
        return
    of_record = made.of_run(found.record) if isinstance(found.record, Run) else made.of_job(found.record)
    for entry in of_record:
        yield Unread(str(found.path), found.line, str(entry)) if isinstance(entry, InvalidSpan) else entry


def _state(files: Iterable[Path]) -> str:
    # Size and time of change, not content: a file that was only touched is read again, which changes nothing.
    state = hashlib.sha256()
    for file in files:
        size, changed = _stat(file)
        state.update(f"{file}\0{size}\0{changed}\n".encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def _stat(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except OSError:  # deleted meanwhile
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _run_id(record: Run | Job | str) -> int:
    assert not isinstance(record, str)
    return record.id if isinstance(record, Run) else record.run_id


def _start_ms(record: Run | Job | str) -> int | None:
    try:
        return times.cut(times.moment(record.started, "time") or 0) or None if not isinstance(record, str) else None
    except InvalidSpan:
        return None


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
