"""Where accepted spans go: into the table, or to disk while the database is away, and from there into the table.

Belongs here: trying, waiting, giving up on a database, and noticing that it is back.
Does not: HTTP, statements (store).
"""

import asyncio
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import psycopg2

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.store import intake, spool_drain
from leo_telemetry_pipeline.store import spans as span_store
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.web.metrics import Metrics
from leo_telemetry_pipeline.web.notices import SOURCE, Notices

# A database that takes longer for one transaction counts as away; its spans then arrive from the spool.
PATIENCE_S = 5.0
_CONNECT_S = 2
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0
_DRAIN_S = 10.0
_LAST_NOTICES_S = 2.0

_log = logging.getLogger(__name__)
T = TypeVar("T")
# Spans of one request, or of a part of it, and its removed attributes by name.
Batch = tuple[list[Span], dict[str, int]]


class NotKept(Exception):
    """Neither the database nor the spool could take the spans; none of them is promised."""


class Away(Exception):
    """The database did not do what it was asked; the text is the kind of error, without any value."""


class Keeper:
    """Keeps spans for the receiver; its methods are called in the event loop's thread.

    ``away`` is true from the first failure of the database until ``upkeep`` finds it answering: in the meantime no
    request waits for it.
    """

    def __init__(
        self, settings: Settings, target: Target, metrics: Metrics, notices: Notices, *, away: bool = False
    ) -> None:
        self.away = away
        self._metrics = metrics
        self._notices = notices
        self._home = settings.home
        self._folder = spool.folder_of(str(settings.home))
        self._most_bytes = settings.spool_bytes
        self._spool = spool.Spool(self._folder, settings.spool_bytes)
        # One line for each: none of them waits for another, or is cut with it.
        self._requests, self._upkeep, self._asking = (_Line(target, name) for name in ("keep", "drain", "ask"))

    async def keep(self, batches: Sequence[Batch], patience_s: float = PATIENCE_S) -> list[int]:
        """Return when all spans are committed, or on disk: how many of each batch the table refused. Raises NotKept."""
        spans = [span for batch, _ in batches for span in batch]
        removed = _summed(batches)
        self._metrics.totals["keys_removed"] += sum(removed.values())
        if not spans and not removed:
            return [0] * len(batches)
        if not self.away:
            try:
                new, refused = await self._requests.ask(lambda db: _store(db, batches), patience_s)
            except Away as error:
                self._gone(error)
            else:
                self._metrics.totals["spans_new"] += new
                self._metrics.totals["spans_quarantined"] += sum(refused)
                return refused
        try:
            await asyncio.to_thread(self._spool.write, spans, removed, sync=True)
        except spool.SpoolError as error:
            raise NotKept(str(error)) from None
        self._metrics.totals["spans_spooled"] += len(spans)
        return [0] * len(batches)

    async def upkeep(self) -> None:
        """Ask for a database that is away, write notices and drain the spool, after a failure ever more rarely.

        Never returns.
        """
        pause, told = _PAUSE_S, False
        while True:
            await asyncio.sleep(pause)
            longer = min(pause * 2, _LONGEST_PAUSE_S)
            try:
                if self.away:
                    await self._upkeep.ask(_answer)
                    self._back()
                await self._write_notices()
            except Exception as error:  # noqa: BLE001  # nobody else would bring the database back
                if not told and not isinstance(error, Away):
                    _log.warning("the database could not be looked after (%s)", type(error).__name__)
                    told = True
                pause = longer
                continue
            # Whatever is wrong with the spool, the database takes what comes: it is not away for that.
            try:
                await self._drain()
                pause, told = _PAUSE_S, False
            except Exception as error:  # noqa: BLE001  # nobody else would bring the database back
                if not told:
                    why = error if isinstance(error, (Away, UserError)) else type(error).__name__
                    _log.warning("the spool could not be drained (%s)", why)
                pause, told = longer, True

    async def readiness(self) -> tuple[bool, bool]:
        """Return whether the database answers now, and whether spans can be taken: by it, or by the spool."""
        answers = not self.away
        if answers:
            try:
                await self._asking.ask(_answer)
            except Away as error:
                self._gone(error)
                answers = False
        return answers, answers or await asyncio.to_thread(self._can_spool)

    async def close(self) -> None:
        """Write the last notices and let go of the database, also where it does not answer."""
        if not self.away:
            with suppress(Away):
                await self._write_notices(_LAST_NOTICES_S)
        for line in (self._requests, self._upkeep, self._asking):
            line.close()

    async def _write_notices(self, patience_s: float = PATIENCE_S) -> None:
        noticed = self._notices.take()
        if not noticed:
            return
        try:
            await self._upkeep.ask(lambda db: intake.count(db, noticed), patience_s)
        except Away:
            self._notices.give_back(noticed)
            raise

    async def _drain(self) -> None:
        segments, _ = await asyncio.to_thread(spool.usage, self._folder)
        if not segments:
            return
        done = await self._upkeep.ask(
            lambda db: spool_drain.drain(db, self._home, "RECEIVER", at_most_s=_DRAIN_S), patience_s=3 * _DRAIN_S
        )
        self._metrics.totals["spans_drained"] += done.spans

    def _gone(self, error: "Away") -> None:
        if not self.away:
            self.away = True
            _log.warning("the database is away (%s): spans go to %s", error, self._folder)

    def _back(self) -> None:
        if self.away:
            self.away = False
            _log.warning("the database is back")

    def _can_spool(self) -> bool:
        try:
            self._spool.check_folder()
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.write(bytes(4096))
            return spool.usage(self._folder)[1] < self._most_bytes
        except (OSError, spool.SpoolError):
            return False


class _Line:
    """One connection, used by a thread of its own, that is cut when the answer takes too long."""

    def __init__(self, target: Target, name: str) -> None:
        self._database = Database(target, timeout_s=_CONNECT_S)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def ask(self, question: Callable[[Database], T], patience_s: float = PATIENCE_S) -> T:
        """Return what the question finds. Raises Away; anything but errors of the database passes through."""
        answer = asyncio.get_running_loop().run_in_executor(self._thread, self._run, question)
        try:
            # wait_for of Python 3.11 would forget that it was cancelled when the answer comes at the same moment.
            async with asyncio.timeout(patience_s):
                return await asyncio.shield(answer)
        except TimeoutError:
            # Its thread ends by an error of the connection, which nobody waits for any more.
            answer.add_done_callback(lambda late: late.cancelled() or late.exception())
            self._cut()
            raise Away("no answer in time") from None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._cut()

    def _cut(self) -> None:
        # Its own thread may close the connection at this very moment.
        with suppress(psycopg2.InterfaceError):
            self._database.cut()

    def _run(self, question: Callable[[Database], T]) -> T:
        try:
            return question(self._database)
        except psycopg2.Error as error:
            self._database.close()
            raise Away(type(error).__name__) from None
        except UserError as error:
            if error.exit_code != NO_DATABASE:
                raise
            self._database.close()
            raise Away("no connection") from None


def _summed(batches: Sequence[Batch]) -> dict[str, int]:
    removed: Counter[str] = Counter()
    for _, counts in batches:
        removed.update(counts)
    return dict(removed)


def _store(db: Database, batches: Sequence[Batch]) -> tuple[int, list[int]]:
    """Store batches together, and return how many spans were new, and how many of each batch the table refused."""
    stored = span_store.store(db, [span for spans, _ in batches for span in spans], _summed(batches), source=SOURCE)
    if not stored.quarantined or len(batches) == 1:
        return stored.new, [stored.quarantined] * len(batches)
    # Whose they were is found by storing each again, which changes nothing.
    return stored.new, [span_store.store(db, spans, source=SOURCE).quarantined for spans, _ in batches]


def _answer(db: Database) -> None:
    # What storing needs: it waits for whom storing would wait, and a user who may only insert may do it.
    with db.transaction() as cursor:
        cursor.execute("LOCK TABLE ONLY workflow_trace_log IN ROW EXCLUSIVE MODE")
