"""Receiver for Claude Code: writes its records to the notebook of their session, and builds spans from notebooks.

Belongs here: storing notes durably before the answer, building their spans and retrying until they are kept.
Does not: contents of notes and spans (sources.claude), storing spans (span_keeper), HTTP (app).
"""

import asyncio
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources import plausible
from leo_telemetry_pipeline.sources.claude import assembler, notebook, otel_notes, otlp_logs
from leo_telemetry_pipeline.sources.claude.evidence import GRACE_S
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import intake
from leo_telemetry_pipeline.web.receiver import answers
from leo_telemetry_pipeline.web.receiver.notices import Notices
from leo_telemetry_pipeline.web.receiver.span_keeper import Keeper, NotKept

# How often notebooks are checked.
_EVERY_S = 1.0
# About 2,000 notes, as many as in one part of a request.
_LARGE = 1 << 20
_FULL = f"they already take {notebook.MOST_RECEIVED_BYTES >> 20} MiB"
# A session silent for this long was probably killed, so its open operations are given up.
FORGOTTEN_S = 86_400

_log = logging.getLogger(__name__)


class NotNoted(NotKept):
    """The notes of a session could not be stored; the text is sent to the client and names no path."""


class _LastBuild(NamedTuple):
    """State of a notebook when its spans were last built, and when it is due again without a change."""

    size: int
    changed_ns: int
    due: float


class _Result(NamedTuple):
    """Spans of a notebook, the notes they were built from, and the notes still needed."""

    spans: list[Span]
    notes: list[dict]
    needed: list[dict]


class ClaudeCode:
    """Stores Claude Code's notes and spans; its methods run in the event loop's thread."""

    def __init__(self, settings: Settings, keeper: Keeper, notices: Notices) -> None:
        self._keeper = keeper
        self._notices = notices
        self._home = str(settings.home)
        self._project = settings.project
        self._keep_days = settings.keep
        self._policy = redact.Policy(settings.keep_keys, settings.keep_identity)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="notes")
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="claude")
        self._builds: dict[str, _LastBuild] = {}
        self._complaints: set[str] = set()
        # Type of error per notebook that cannot be processed, until it is due again.
        self._broken: dict[str, str] = {}

    async def keep(self, notes: Sequence[dict]) -> None:
        """Write notes to disk durably. Raises NotNoted."""
        if not notes:
            return
        self._notice_versions(notes)
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, _write, self._home, notes)
        except (OSError, UserError) as error:
            if str(error) not in self._complaints:
                self._complaints.add(str(error))
                _log.warning("Claude Code's records could not be stored (%s)", error)
            raise NotNoted(f"notes of one session: {_reason(error)}") from None
        self._complaints.clear()

    async def keep_logs(self, body: bytes, form: str) -> int:
        """Store the Claude Code log events of a request; return how many. Raises NotNoted, BadRequest, TooLarge."""
        notes = await asyncio.get_running_loop().run_in_executor(self._writer, self._read, body, form)
        await self.keep(notes)
        return len(notes)

    async def work(self) -> None:
        """Build spans from notebooks, and keep them; never returns."""
        complained: set[str] = set()
        while True:
            await asyncio.sleep(_EVERY_S)
            failed = await self._round()
            for why in sorted(failed - complained):
                _log.warning("spans of Claude Code could not be built (%s)", why)
            complained = failed

    def close(self) -> None:
        """Stop the threads."""
        for thread in (self._writer, self._maker):
            thread.shutdown(wait=False, cancel_futures=True)

    async def _round(self) -> set[str]:
        """Process all due notebooks; return the errors."""
        failed = set()
        try:
            due = await asyncio.get_running_loop().run_in_executor(self._maker, self._due)
        except Exception as error:  # noqa: BLE001  # the folder may be repaired meanwhile
            return {str(error) if isinstance(error, (OSError, UserError)) else type(error).__name__}
        for path in due:
            try:
                await self._make(path)
            except (OSError, NotKept) as error:
                # The notes stay, and the next round retries.
                self._builds.pop(path, None)
                failed.add(str(error))
            except Exception as error:  # noqa: BLE001  # other sessions are unaffected
                self._broken[path] = f"{Path(path).name}: {type(error).__name__}"
            else:
                self._broken.pop(path, None)
        self._broken = {path: why for path, why in self._broken.items() if path in self._builds}
        return failed.union(self._broken.values())

    async def _make(self, path: str) -> None:
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._maker, self._spans_of, path)
        if result.spans:
            await self._keeper.keep([(result.spans, {})])
            self._notice_times(result.spans)
        # After a crash at this point, the same spans are built again with the same ids.
        if result.spans or len(result.needed) < len(result.notes):
            await loop.run_in_executor(self._maker, _replace, path, result)

    def _due(self) -> list[str]:
        """Return the notebooks that have changed, or that have waited long enough for missing notes."""
        due_paths: list[str] = []
        folder = Path(self._home) / notebook.FOLDER
        present = list(_states(notebook.checked_folder(self._home))) if folder.exists() else []
        for path, state in present:
            last = self._builds.get(path)
            is_same = last is not None and (last.size, last.changed_ns) == (state.st_size, state.st_mtime_ns)
            if not is_same or (last is not None and time.monotonic() >= last.due):
                due = time.monotonic() + GRACE_S
                self._builds[path] = _LastBuild(state.st_size, state.st_mtime_ns, due)
                due_paths.append(path)
        self._builds = {path: self._builds[path] for path, _ in present}
        return due_paths

    def _spans_of(self, path: str) -> _Result:
        with notebook.Notebook(path) as notes:
            items = notes.read()
            if not items:
                # A hook has ended the session meanwhile.
                notes.replace([])
                return _Result([], [], [])
            age_s = time.time() - os.fstat(notes.file).st_mtime
        final = age_s > FORGOTTEN_S
        now_ns = 0 if final else time.time_ns()
        session = notebook.session_of(items)
        spans, needed = assembler.spans(items, session=session, project=self._project, final=final, now_ns=now_ns)
        return _Result([redact.clean(span) for span in spans], items, [{"session": session, **note} for note in needed])

    def _read(self, body: bytes, form: str) -> list[dict]:
        read = otlp_logs.read_json if form == answers.JSON else otlp_logs.read_protobuf
        return list(otel_notes.of_logs(read(body), self._policy, time.time_ns()))

    def _notice_times(self, spans: Iterable[Span]) -> None:
        now_ms = time.time_ns() // 1_000_000
        triples = ((span.start_time_ms, span.end_time_ms, span.duration_ms) for span in spans)
        wrong = Counter(plausible.wrong_with(*times, now_ms=now_ms, keep_days=self._keep_days) for times in triples)
        for detail, count in wrong.items():
            if detail is not None:
                line = f"span(s) of Claude Code stored with impossible times: {detail}"
                self._notices.add(intake.IMPLAUSIBLE_TIMES, detail, line, count)

    def _notice_versions(self, notes: Iterable[dict]) -> None:
        versions = (note.get("resource", {}).get("service.version") for note in notes)
        for version, count in Counter(filter(otel_notes.is_untested, versions)).items():
            detail = redact.text(f"Claude Code {version}", 100)
            line = f"record(s) of {detail}, which is newer than the tested versions: its spans may be incomplete"
            self._notices.add(intake.UNTESTED_VERSION, detail, line, count)


def _states(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path and status of each notebook in a folder."""
    for entry in os.scandir(folder):
        # A hook may end a session at any moment.
        with suppress(FileNotFoundError):
            if entry.is_file(follow_symlinks=False) and not entry.name.endswith(notebook.PART):
                yield entry.path, entry.stat(follow_symlinks=False)


def _reason(error: Exception) -> str:
    """Return why notes were not stored, for the client, without path and session."""
    if isinstance(error, notebook.Full):
        return _FULL
    return getattr(error, "strerror", None) or "their folder is unusable: see the receiver's log"


def _write(home: str, notes: Sequence[dict]) -> None:
    folder = Path(notebook.checked_folder(home))
    by_session: dict[str, list[dict]] = {}
    for note in notes:
        by_session.setdefault(note["session"], []).append(note)
    for session, own in by_session.items():
        with notebook.Notebook(str(folder / notebook.file_name(session))) as file:
            if new := _not_in(file, own):
                file.add(*map(json.dumps, new), sync=True, most=notebook.MOST_RECEIVED_BYTES)


def _not_in(file: notebook.Notebook, notes: list[dict]) -> list[dict]:
    """Return the notes that a large notebook does not hold yet, so that a repeated large request adds nothing."""
    # A small notebook is not worth reading, since duplicates form one span anyway.
    if file.size() < _LARGE:
        return notes
    held = set(map(_key, file.read()))
    return [note for note in notes if _key(note) not in held]


def _key(note: dict) -> str:
    return json.dumps({**note, "arrived_ns": 0}, sort_keys=True)


def _replace(path: str, result: _Result) -> None:
    with notebook.Notebook(path) as notes:
        now = notes.read()
        # If a hook has replaced the notes meanwhile, keep them for the next round.
        if now[: len(result.notes)] == result.notes:
            notes.replace([*result.needed, *now[len(result.notes) :]])
