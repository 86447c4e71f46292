"""Keeper: stores accepted spans in the database, or in the spool while it is away, and drains the spool later.

Belongs here: timeouts, detecting that the database is away or back. Does not: HTTP (app), SQL (store).
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
from leo_telemetry_pipeline.web.receiver.metrics import Metrics
from leo_telemetry_pipeline.web.receiver.notices import SOURCE, Notices

# A database that takes longer for one transaction counts as away, and the spans are spooled.
PATIENCE_S = 5.0
_CONNECT_S = 2
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0
_DRAIN_S = 10.0
_LAST_NOTICES_S = 2.0

_log = logging.getLogger(__name__)
T = TypeVar("T")
# Spans of a request or a part of it, and counts of removed attributes by name.
Batch = tuple[list[Span], dict[str, int]]


class NotKept(Exception):
    """Neither the database nor the spool accepted the spans."""


class Away(Exception):
    """The database failed; the text is the type of error, without any value."""


class Keeper:
    """Stores spans for the receiver; its methods run in the event loop's thread.

    ``away`` is true from the first failure of the database until ``work`` gets an answer; meanwhile no request waits
    for it.
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
        # Separate connections, so that none waits for another or is closed with it.
        self._requests, self._background, self._probe = (_Connection(target, name) for name in ("keep", "drain", "ask"))

    async def keep(self, batches: Sequence[Batch], patience_s: float = PATIENCE_S) -> list[int]:
        """Commit or spool all spans; return how many of each batch the table refused. Raises NotKept."""
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

    async def work(self) -> None:
        """Reconnect, write notices and drain the spool, with exponential backoff after failures; never returns."""
        pause, is_logged = _PAUSE_S, False
        while True:
            await asyncio.sleep(pause)
            longer = min(pause * 2, _LONGEST_PAUSE_S)
            try:
                if self.away:
                    await self._background.ask(_answer)
                    self.away = False
                    _log.warning("the database is back")
                await self._write_notices()
            except Exception as error:  # noqa: BLE001  # only this loop detects that the database is back
                if not is_logged and not isinstance(error, Away):
                    _log.warning("reconnecting or storing notices failed (%s)", type(error).__name__)
                    is_logged = True
                pause = longer
                continue
            try:
                await self._drain()
                pause, is_logged = _PAUSE_S, False
            except Exception as error:  # noqa: BLE001  # only this loop detects that the database is back
                if not is_logged:
                    why = error if isinstance(error, (Away, UserError)) else type(error).__name__
                    _log.warning("the spool could not be drained (%s)", why)
                pause, is_logged = longer, True

    async def readiness(self) -> tuple[bool, bool]:
        """Return whether the database answers, and whether spans can be accepted, by it or by the spool."""
        answers = not self.away
        if answers:
            try:
                await self._probe.ask(_answer)
            except Away as error:
                self._gone(error)
                answers = False
        return answers, answers or await asyncio.to_thread(self._can_spool)

    async def close(self) -> None:
        """Write the last notices and close all connections, even if the database does not answer."""
        if not self.away:
            with suppress(Away):
                await self._write_notices(_LAST_NOTICES_S)
        for line in (self._requests, self._background, self._probe):
            line.close()

    async def _write_notices(self, patience_s: float = PATIENCE_S) -> None:
        noticed = self._notices.take()
        if not noticed:
            return
        try:
            await self._background.ask(lambda db: intake.count(db, noticed), patience_s)
        except Away:
            self._notices.give_back(noticed)
            raise

    async def _drain(self) -> None:
        segments, _ = await asyncio.to_thread(spool.usage, self._folder)
        if not segments:
            return
        done = await self._background.ask(
            lambda db: spool_drain.drain(db, self._home, "RECEIVER", at_most_s=_DRAIN_S), patience_s=3 * _DRAIN_S
        )
        self._metrics.totals["spans_drained"] += done.spans

    def _gone(self, error: "Away") -> None:
        if not self.away:
            self.away = True
            _log.warning("the database is away (%s): spans go to %s", error, self._folder)

    def _can_spool(self) -> bool:
        try:
            self._spool.check_folder()
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.write(bytes(4096))
            return spool.usage(self._folder)[1] < self._most_bytes
        except (OSError, spool.SpoolError):
            return False


class _Connection:
    """A database connection with its own thread; it is closed if an answer takes too long."""

    def __init__(self, target: Target, name: str) -> None:
        self._database = Database(target, timeout_s=_CONNECT_S)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def ask(self, question: Callable[[Database], T], patience_s: float = PATIENCE_S) -> T:
        """Return the result of ``question``. Raises Away for errors of the database; other errors pass through."""
        answer = asyncio.get_running_loop().run_in_executor(self._thread, self._run, question)
        try:
            # Python 3.11's wait_for loses a cancellation that coincides with the answer.
            async with asyncio.timeout(patience_s):
                return await asyncio.shield(answer)
        except TimeoutError:
            # Closing the connection raises an error in the thread, which is retrieved here and ignored.
            answer.add_done_callback(lambda late: late.cancelled() or late.exception())
            self._cut()
            raise Away("no answer in time") from None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._cut()

    def _cut(self) -> None:
        # The connection's own thread may be closing it at the same time.
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
    """Store batches together; return how many spans were new, and how many of each batch the table refused."""
    stored = span_store.store(db, [span for spans, _ in batches for span in spans], _summed(batches), source=SOURCE)
    if not stored.quarantined or len(batches) == 1:
        return stored.new, [stored.quarantined] * len(batches)
    # Store each batch again (idempotent) to find those with refused spans.
    return stored.new, [span_store.store(db, spans, source=SOURCE).quarantined for spans, _ in batches]


def _answer(db: Database) -> None:
    # Take the same lock as storing: it waits for the same conflicts and needs only the INSERT privilege.
    with db.transaction() as cursor:
        cursor.execute("LOCK TABLE ONLY workflow_trace_log IN ROW EXCLUSIVE MODE")
