"""Batcher: decodes and stores waiting requests together, and large requests in parts, one group or part at a time.

Belongs here: order, transactions and deadlines of requests. Does not: HTTP (app), reading bodies (body), storing spans
(span_keeper).
"""

import asyncio
import operator
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources import plausible
from leo_telemetry_pipeline.sources.claude.otel_notes import note_of
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.sources.otlp.otlp_span import PART_BODY, Read, whole_of
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import intake
from leo_telemetry_pipeline.web.receiver.body import LIMIT, Body, Refusal
from leo_telemetry_pipeline.web.receiver.claude import ClaudeCode, NotNoted
from leo_telemetry_pipeline.web.receiver.metrics import Metrics
from leo_telemetry_pipeline.web.receiver.notices import Notices
from leo_telemetry_pipeline.web.receiver.span_keeper import PATIENCE_S, Keeper, NotKept

# Exporters wait for ten seconds by default, so an answer must come before that.
_WAITS_S = 7.0
_ANSWER_S = 9.0
_LEAST_PATIENCE_S = 2.0
RETRY_AFTER_S = 5
# Limit of requests stored together, so that none of them waits long for the others.
_GROUP_BYTES = 256 << 10
REFUSED_BY_TABLE = "refused by the table, kept in telemetry_quarantine"

# Decodes a body, given ``project`` and ``policy``, and yields its spans in parts.
PartsOf = Callable[..., Generator[Read, None, None]]
T = TypeVar("T")
_start = operator.attrgetter("start_time_ms")


@dataclass(eq=False)
class _Request:
    """A complete body, and a future for its rejected spans by reason; ``answer_by`` is a time of the loop's clock."""

    parts_of: PartsOf
    body: Body
    answer: "asyncio.Future[Mapping[str, int]]"
    answer_by: float
    begun: bool = False

    def refuse(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def accept(self, rejections: Mapping[str, int]) -> None:
        if not self.answer.done():
            self.answer.set_result(rejections)


@dataclass
class _Decoded:
    """A part of a request; ``implausible``: number of spans, first and last start in ms, by reason."""

    read: Read
    implausible: dict[str, tuple[int, int, int]] = field(default_factory=dict)


class Batcher:
    """Accepts bodies and answers once their spans are kept; all methods run in the event loop's thread."""

    def __init__(
        self, settings: Settings, keeper: Keeper, claude: ClaudeCode, metrics: Metrics, notices: Notices
    ) -> None:
        self._keeper = keeper
        self._claude = claude
        self._metrics = metrics
        self._notices = notices
        self._project = settings.project
        self._policy = redact.Policy(settings.keep_keys, settings.keep_identity)
        self._keep_days = settings.keep
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._waiting: deque[_Request] = deque()
        self._arrived = asyncio.Event()

    async def take(self, parts_of: PartsOf, body: Body) -> Mapping[str, int]:
        """Wait until the spans of a body are kept; return the rejected ones by reason. Raises Refusal."""
        loop = asyncio.get_running_loop()
        request = _Request(parts_of, body, loop.create_future(), loop.time() + _ANSWER_S)
        late = loop.call_later(_WAITS_S, _refuse_late, request)
        self._waiting.append(request)
        self._arrived.set()
        try:
            return await request.answer
        finally:
            late.cancel()

    async def work(self) -> None:
        """Decode and keep requests; never returns."""
        while True:
            await self._arrived.wait()
            await self._work_on(self._next_group(LIMIT))

    def close(self) -> None:
        """Stop the decoding thread."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    def _next_group(self, largest: int) -> list[_Request]:
        """Take the oldest requests for one group, stopping at a body larger than ``largest``."""
        group, size = [], 0
        while self._waiting:
            request = self._waiting[0]
            size += request.body.size
            if request.body.size > largest or (group and size > _GROUP_BYTES):
                return group
            self._waiting.popleft()
            if not request.answer.done():
                request.begun = True
                group.append(request)
        self._arrived.clear()
        return group

    async def _work_on(self, group: list[_Request]) -> None:
        try:
            if len(group) == 1 and group[0].body.size > PART_BODY:
                await self._keep_in_parts(group[0])
            elif group:
                await self._keep_together(group)
        except Exception as error:  # noqa: BLE001  # the client is answered, and work continues
            for request in group:
                request.refuse(_refusal(error))

    async def _keep_together(self, group: list[_Request]) -> None:
        results = await self._in_reader(lambda: [self._whole(request) for request in group])
        good = []
        for request, decoded in zip(group, results, strict=True):
            if isinstance(decoded, Exception):
                request.refuse(decoded)
            else:
                good.append((request, decoded))
        try:
            refused = await self._keep([decoded for _, decoded in good], min(r.answer_by for r in group))
        except Exception as error:
            # NotNoted is about one session, so the other requests may succeed.
            if (isinstance(error, NotKept) and not isinstance(error, NotNoted)) or len(good) < 2:
                raise
            # Retry one by one, so that one failure does not affect the others.
            for request, decoded in good:
                await self._keep_alone(request, decoded)
            return
        for (request, decoded), count in zip(good, refused, strict=True):
            request.accept(self._count(decoded, count))

    async def _keep_alone(self, request: _Request, decoded: _Decoded) -> None:
        try:
            [refused] = await self._keep([decoded], request.answer_by)
        except Exception as error:  # noqa: BLE001  # the client is answered
            request.refuse(_refusal(error))
        else:
            request.accept(self._count(decoded, refused))

    async def _keep_in_parts(self, request: _Request) -> None:
        parts = self._parts_of(request)
        rejections: Counter[str] = Counter()
        kept = 0

        def decode() -> _Decoded | Exception:
            # Return the error: if it were raised, its traceback would keep the body alive until garbage collection.
            try:
                read = next(parts)
                if read.is_last:
                    parts.close()  # releases the body
                return self._judged(read)
            except Exception as error:  # noqa: BLE001  # the client is answered
                return _refusal(error)

        following: asyncio.Future | None = asyncio.ensure_future(self._in_reader(decode))
        try:
            while following is not None:
                decoded = await following
                if isinstance(decoded, Exception):
                    request.refuse(_after(kept, decoded))
                    return
                following = None if decoded.read.is_last else asyncio.ensure_future(self._in_reader(decode))
                [refused] = await self._keep([decoded], request.answer_by)
                rejections.update(self._count(decoded, refused))
                kept += len(decoded.read.spans) + len(decoded.read.notes) - refused
                # Small requests need not wait for all parts of a large one.
                await self._work_on(self._next_group(PART_BODY))
        finally:
            # The generator must not be left running.
            if following is not None:
                with suppress(Exception):
                    await following
        request.accept(rejections)

    async def _keep(self, parts: list[_Decoded], answer_by: float) -> list[int]:
        left = answer_by - asyncio.get_running_loop().time()
        await self._claude.keep([note for part in parts for note in part.read.notes])
        patience = min(PATIENCE_S, max(_LEAST_PATIENCE_S, left))
        return await self._keeper.keep([(part.read.spans, part.read.removed) for part in parts], patience)

    def _in_reader(self, call: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._reader, call)

    def _parts_of(self, request: _Request) -> Generator[Read, None, None]:
        return request.parts_of(request.body.finish(), project=self._project, policy=self._policy, divert=note_of)

    def _whole(self, request: _Request) -> _Decoded | Exception:
        try:
            return self._judged(whole_of(self._parts_of(request)))
        except Exception as error:  # noqa: BLE001  # the other requests of its group are unaffected
            return _refusal(error)

    def _judged(self, read: Read) -> _Decoded:
        return _Decoded(read, _implausible(read.spans, time.time_ns() // 1_000_000, self._keep_days))

    def _count(self, part: _Decoded, refused: int) -> dict[str, int]:
        """Count the spans of a kept part, and return its rejected spans by reason."""
        rejections = dict(part.read.rejections)
        if refused:
            rejections[REFUSED_BY_TABLE] = refused
        self._metrics.totals["spans_accepted"] += len(part.read.spans) + len(part.read.notes) - refused
        self._metrics.totals["spans_rejected"] += sum(rejections.values())
        for reason, count in rejections.items():
            self._notices.add(intake.REJECTED, reason, f"span(s) rejected: {reason}", count)
        for detail, (count, first, last) in part.implausible.items():
            line = f"span(s) stored with impossible times: {detail} (latest from {_day(first)} to {_day(last)})"
            self._notices.add(intake.IMPLAUSIBLE_TIMES, detail, line, count)
            self._metrics.totals["spans_implausible"] += count
        return rejections


def _refuse_late(request: _Request) -> None:
    if not request.begun:
        request.refuse(Refusal(503, "requests arrive faster than they can be stored", RETRY_AFTER_S))


def _refusal(error: Exception) -> Exception:
    if isinstance(error, otlp.BadRequest):
        return Refusal(400, str(error))
    if isinstance(error, otlp.TooLarge):
        return Refusal(413, str(error))
    if isinstance(error, NotNoted):
        return Refusal(503, f"Claude Code's records cannot be kept ({error})", RETRY_AFTER_S)
    if isinstance(error, NotKept):
        return Refusal(503, f"database and spool are both unavailable ({error})", RETRY_AFTER_S)
    return error


def _after(kept: int, error: Exception) -> Exception:
    """Return the error for a body that proved invalid after ``kept`` spans were stored."""
    if not kept or not isinstance(error, Refusal):
        return error
    return Refusal(error.status, f"{error.message}; {kept} span(s) before that are stored", error.retry_after)


def _implausible(spans: list[Span], now_ms: int, keep_days: int) -> dict[str, tuple[int, int, int]]:
    def wrong(span: Span) -> str | None:
        return plausible.wrong_with(
            span.start_time_ms, span.end_time_ms, span.duration_ms, now_ms=now_ms, keep_days=keep_days
        )

    implausible: dict[str, tuple[int, int, int]] = {}
    # Fast path: OTLP durations are end minus start, so if the extremes are plausible, all spans are.
    extremes = [min(spans, key=_start), max(spans, key=_start), max(spans, key=_end)] if spans else []
    for span in spans if any(map(wrong, extremes)) else ():
        detail, start = wrong(span), span.start_time_ms
        if detail is not None:
            count, first, last = implausible.get(detail, (0, start, start))
            implausible[detail] = (count + 1, min(first, start), max(last, start))
    return implausible


def _end(span: Span) -> int:
    return span.end_time_ms or 0


def _day(epoch_ms: int) -> str:
    return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d}"
