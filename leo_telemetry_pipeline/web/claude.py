"""What Claude Code sends goes into the notebook of its session, and from there into spans.

Belongs here: keeping notes durably before the answer, making spans of them, again and again, until they are kept.
Does not: what is noted and which spans notes make (collect/claude), where spans go (keeping), HTTP (app).
The hooks of Claude Code share the notebooks, so both ways at once make each span once.
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
from leo_telemetry_pipeline.sources.otlp import conventions
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import intake
from leo_telemetry_pipeline.web import answers
from leo_telemetry_pipeline.web.notices import Notices
from leo_telemetry_pipeline.web.span_keeper import Keeper, NotKept

# How often notebooks are looked at.
_EVERY_S = 1.0
# About 2,000 notes, as many as one part of a request has.
_LARGE = 1 << 20
_FULL = f"they take {notebook.MOST_RECEIVED_BYTES >> 20} MiB already"
# A session without a word for so long was killed, or will not miss what it began.
FORGOTTEN_S = 86_400

_log = logging.getLogger(__name__)


class NotNoted(NotKept):
    """The notes of a session could not be kept; the text says why, without a path: it goes to the client."""


class _Look(NamedTuple):
    """How a notebook was when its spans were last made, and when it is due again without a change."""

    size: int
    changed_ns: int
    due: float


class _Made(NamedTuple):
    """Spans of a notebook, the notes that they were made of, and those that are still needed."""

    spans: list[Span]
    notes: list[dict]
    needed: list[dict]


class ClaudeCode:
    """Keeps what Claude Code tells; its methods are called in the event loop's thread."""

    def __init__(self, settings: Settings, keeper: Keeper, notices: Notices) -> None:
        self._keeper = keeper
        self._notices = notices
        self._home = str(settings.home)
        self._project = settings.project
        self._keep_days = settings.keep
        self._policy = redact.Policy(settings.keep_keys, settings.keep_identity)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="notes")
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="claude")
        self._looks: dict[str, _Look] = {}
        self._complaints: set[str] = set()
        # Notebooks of which nothing can be made, until they are due again, with the kind of error.
        self._broken: dict[str, str] = {}

    async def keep(self, notes: Sequence[dict]) -> None:
        """Return when notes are safely on disk. Raises NotNoted."""
        if not notes:
            return
        self._notice_versions(notes)
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, _write, self._home, notes)
        except (OSError, UserError) as error:
            if str(error) not in self._complaints:
                self._complaints.add(str(error))
                _log.warning("what Claude Code told could not be noted (%s)", error)
            raise NotNoted(f"the notes of a session of Claude Code: {_reason(error)}") from None
        self._complaints.clear()

    async def keep_logs(self, body: bytes, form: str) -> int:
        """Keep the log events of Claude Code in a request: how many. Raises NotNoted; BadRequest or TooLarge."""
        notes = await asyncio.get_running_loop().run_in_executor(self._writer, self._read, body, form)
        await self.keep(notes)
        return len(notes)

    async def work(self) -> None:
        """Make spans of what notebooks hold, and keep them; never returns."""
        complained: set[str] = set()
        while True:
            await asyncio.sleep(_EVERY_S)
            failed = await self._round()
            for why in sorted(failed - complained):
                _log.warning("no spans could be made of what Claude Code told (%s)", why)
            complained = failed

    def close(self) -> None:
        """End the threads."""
        for thread in (self._writer, self._maker):
            thread.shutdown(wait=False, cancel_futures=True)

    async def _round(self) -> set[str]:
        """Look at all notebooks once; return what is wrong."""
        failed = set()
        try:
            due = await asyncio.get_running_loop().run_in_executor(self._maker, self._due)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with the folder can be mended meanwhile
            return {str(error) if isinstance(error, (OSError, UserError)) else type(error).__name__}
        for path in due:
            try:
                await self._make(path)
            except (OSError, NotKept) as error:
                # The notes stay, and the next round has another try.
                self._looks.pop(path, None)
                failed.add(str(error))
            except Exception as error:  # noqa: BLE001  # other sessions have nothing to do with it
                self._broken[path] = f"{Path(path).name}: {type(error).__name__}"
            else:
                self._broken.pop(path, None)
        self._broken = {path: why for path, why in self._broken.items() if path in self._looks}
        return failed.union(self._broken.values())

    async def _make(self, path: str) -> None:
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self._maker, self._spans_of, path)
        if made.spans:
            await self._keeper.keep([(made.spans, {})])
            self._notice_times(made.spans)
        # After a crash in between the same spans are made once more, under the same ids.
        if made.spans or len(made.needed) < len(made.notes):
            await loop.run_in_executor(self._maker, _replace, path, made)

    def _due(self) -> list[str]:
        """Return the notebooks that have changed, or whose notes have waited for others."""
        found: list[str] = []
        folder = Path(self._home) / notebook.FOLDER
        present = list(_states(notebook.checked_folder(self._home))) if folder.exists() else []
        for path, state in present:
            look = self._looks.get(path)
            is_same = look is not None and (look.size, look.changed_ns) == (state.st_size, state.st_mtime_ns)
            if not is_same or (look is not None and time.monotonic() >= look.due):
                due = time.monotonic() + GRACE_S
                self._looks[path] = _Look(state.st_size, state.st_mtime_ns, due)
                found.append(path)
        self._looks = {path: self._looks[path] for path, _ in present}
        return found

    def _spans_of(self, path: str) -> _Made:
        with notebook.Notebook(path) as notes:
            items = notes.read()
            if not items:
                # A hook has ended the session in the meantime.
                notes.replace([])
                return _Made([], [], [])
            age_s = time.time() - os.fstat(notes.file).st_mtime
        final = age_s > FORGOTTEN_S
        now_ns = 0 if final else time.time_ns()
        session = notebook.session_of(items)
        made, needed = assembler.spans(items, session=session, project=self._project, final=final, now_ns=now_ns)
        return _Made([redact.clean(span) for span in made], items, [{"session": session, **note} for note in needed])

    def _read(self, body: bytes, form: str) -> list[dict]:
        read = otlp_logs.read_json if form == answers.JSON else otlp_logs.read_protobuf
        found, now_ns = [], time.time_ns()
        for resource, record in read(body):
            columns, ours, others = conventions.split(resource)
            kept = self._policy.resource(others, {}, conventions.RESOURCE_KEYS) | self._policy.own(ours, {})
            if otel_notes.session_of(record.name, record.attributes):
                found.append(otel_notes.of_log(record, otel_notes.sender(columns, kept), now_ns))
        return [note for note in found if note is not None]

    def _notice_times(self, spans: Iterable[Span]) -> None:
        now_ms = time.time_ns() // 1_000_000
        times = ((span.start_time_ms, span.end_time_ms, span.duration_ms) for span in spans)
        wrong = Counter(plausible.wrong_with(*each, now_ms=now_ms, keep_days=self._keep_days) for each in times)
        for detail, count in wrong.items():
            if detail is not None:
                said = f"span(s) of Claude Code stored whose times cannot be true: {detail}"
                self._notices.add(intake.IMPLAUSIBLE_TIMES, detail, said, count)

    def _notice_versions(self, notes: Iterable[dict]) -> None:
        versions = (note.get("resource", {}).get("service.version") for note in notes)
        for version, count in Counter(filter(otel_notes.is_untested, versions)).items():
            detail = redact.text(f"Claude Code {version}", 100)
            said = f"record(s) of {detail}, which is newer than what was tested: its spans may be incomplete"
            self._notices.add(intake.UNTESTED_VERSION, detail, said, count)


def _states(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each notebook of a folder and how it is now."""
    for entry in os.scandir(folder):
        # A hook may end a session at any moment.
        with suppress(FileNotFoundError):
            if entry.is_file(follow_symlinks=False) and not entry.name.endswith(notebook.PART):
                yield entry.path, entry.stat(follow_symlinks=False)


def _reason(error: Exception) -> str:
    """Return why notes were not kept, for a client: neither a path nor a session."""
    if isinstance(error, notebook.Full):
        return _FULL
    return getattr(error, "strerror", None) or "their folder takes nothing, and the log of the receiver says why"


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
    """Return the notes that a large notebook does not hold yet: a large request that is sent again adds nothing."""
    # A small one is not worth reading: what it holds twice makes one span.
    if file.size() < _LARGE:
        return notes
    held = set(map(_told, file.read()))
    return [note for note in notes if _told(note) not in held]


def _told(note: dict) -> str:
    return json.dumps({**note, "arrived_ns": 0}, sort_keys=True)


def _replace(path: str, made: _Made) -> None:
    with notebook.Notebook(path) as notes:
        now = notes.read()
        # Where a hook was quicker, its notes stand, and the next round goes on from there.
        if now[: len(made.notes)] == made.notes:
            notes.replace([*made.needed, *now[len(made.notes) :]])
