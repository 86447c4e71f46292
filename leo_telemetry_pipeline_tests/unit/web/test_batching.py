"""Batcher: requests are stored together, but each gets its own response in time."""

import asyncio
import gc
import json
import weakref
from collections.abc import Coroutine, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.sources.otlp.otlp_span import PART_BODY
from leo_telemetry_pipeline.web.receiver import batching
from leo_telemetry_pipeline.web.receiver.batching import Batcher
from leo_telemetry_pipeline.web.receiver.body import Body, Inflow, Refusal
from leo_telemetry_pipeline.web.receiver.claude import ClaudeCode
from leo_telemetry_pipeline.web.receiver.metrics import Metrics
from leo_telemetry_pipeline.web.receiver.notices import Notices
from leo_telemetry_pipeline.web.receiver.span_keeper import Batch, NotKept


class Keeper:
    """Keeper that stores spans in memory, and refuses on request."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.opened = asyncio.Event()
        self.error: Exception | None = None

    async def keep(self, batches: list[Batch], patience_s: float) -> list[int]:
        await self.opened.wait()
        names = [span.span_name for spans, _ in batches for span in spans]
        if "bug" in names:
            raise KeyError("bug")
        if self.error is not None:
            raise self.error
        assert 0 < patience_s <= 5
        self.groups.append(names)
        return [0] * len(batches)


def body(name: str) -> Body:
    """Return a body with one span."""
    span = {"traceId": "1" * 32, "spanId": "2" * 16, "name": name, "startTimeUnixNano": "1795955340000000000"}
    arriving = Body(Inflow(), gzip=False)
    arriving.feed(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode())
    return arriving


def working(tmp_path: Path, say: Any) -> None:
    """Run a batcher while ``say`` sends requests."""

    async def conversation() -> None:
        keeper = Keeper()
        settings = Settings({f"{PREFIX}HOME": str(tmp_path)})
        notices = Notices()
        claude = ClaudeCode(settings, keeper, notices)  # type: ignore[arg-type]
        batcher = Batcher(settings, keeper, claude, Metrics(), notices)  # type: ignore[arg-type]
        work = asyncio.create_task(batcher.work())
        try:
            await say(batcher, keeper)
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
            batcher.close()
            claude.close()

    asyncio.run(conversation())


def take(batcher: Batcher, name: str) -> Coroutine[Any, Any, Any]:
    """Submit a request with one span."""
    return batcher.take(otlp.parts_of_json, body(name))


def test_requests_that_arrive_during_a_transaction_are_stored_together(tmp_path: Path):
    """Lost: throughput for two thousand clients, if each request needs its own transaction."""

    async def say(batcher: Batcher, keeper: Keeper) -> None:
        answers = asyncio.gather(*(take(batcher, f"span {number}") for number in range(100)))
        await asyncio.sleep(0)
        keeper.opened.set()
        assert await answers == [{}] * 100
        assert sum(map(len, keeper.groups)) == 100
        assert len(keeper.groups) < 10

    working(tmp_path, say)


def test_a_failing_request_does_not_affect_its_group(tmp_path: Path):
    """Lost: a hundred good requests, because one triggers a bug."""

    async def say(batcher: Batcher, keeper: Keeper) -> None:
        keeper.opened.set()
        names = ["a", "b", "bug", "c"]
        answers = await asyncio.gather(*(take(batcher, name) for name in names), return_exceptions=True)
        assert [type(answer) for answer in answers] == [dict, dict, KeyError, dict]
        assert await take(batcher, "after") == {}

    working(tmp_path, say)


def test_requests_that_cannot_be_kept_are_refused_with_a_retry(tmp_path: Path):
    """Lost: exporters get a 200 for spans that are stored nowhere, or an error after which they do not retry."""

    async def say(batcher: Batcher, keeper: Keeper) -> None:
        keeper.opened.set()
        keeper.error = NotKept("spool_full")
        answers = await asyncio.gather(*(take(batcher, name) for name in "abc"), return_exceptions=True)
        assert [(answer.status, answer.retry_after) for answer in answers if isinstance(answer, Refusal)] == [
            (503, 5)
        ] * 3

    working(tmp_path, say)


def test_the_response_to_an_invalid_body_tells_how_many_spans_are_stored(tmp_path: Path):
    """Lost: half a request is stored, and the response denies it."""

    def breaks_later(body: bytes, **how: Any) -> Generator[Any, None, None]:
        for part in otlp.parts_of_json(body.strip(), project="", policy=how["policy"]):
            yield part._replace(is_last=False)
        raise otlp.BadRequest("it is truncated")

    async def say(batcher: Batcher, keeper: Keeper) -> None:
        keeper.opened.set()
        large = body("first")
        large.feed(b" " * 2 * PART_BODY)
        with pytest.raises(Refusal) as broken:
            await batcher.take(breaks_later, large)
        assert (broken.value.status, broken.value.message) == (400, "it is truncated; 1 span(s) before that are stored")
        assert keeper.groups == [["first"]]

    working(tmp_path, say)


def test_a_request_that_waits_too_long_is_refused_and_not_stored_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: a response comes after the exporter gave up, so that it sends the spans again."""
    monkeypatch.setattr(batching, "_WAITS_S", 0.2)

    async def say(batcher: Batcher, keeper: Keeper) -> None:
        first = asyncio.ensure_future(take(batcher, "first"))
        await asyncio.sleep(0.05)
        with pytest.raises(Refusal) as late:
            await take(batcher, "second")
        assert (late.value.status, late.value.retry_after) == (503, 5)
        keeper.opened.set()
        assert await first == {}
        assert await take(batcher, "third") == {}
        assert [name for group in keeper.groups for name in group] == ["first", "third"]

    working(tmp_path, say)


@pytest.mark.parametrize("size", [100, 2 * PART_BODY], ids=["small", "in parts"])
def test_the_memory_of_a_refused_body_is_released_at_once(tmp_path: Path, size: int):
    """Lost: 20 MiB per invalid request until the next garbage collection."""

    class Held:
        """Stands for the bytes of a body, which cannot be weakly referenced."""

    held: list[weakref.ref[Held]] = []

    def breaks_off(body: bytes, **_: object) -> Generator[Any, None, None]:
        mine = Held()
        held.append(weakref.ref(mine))
        if body:
            raise otlp.BadRequest("it is truncated")
        yield mine

    async def say(batcher: Batcher, keeper: Keeper) -> None:
        arriving = Body(Inflow(), gzip=False)
        arriving.feed(b" " * size)
        with pytest.raises(Refusal, match="truncated"):
            await batcher.take(breaks_off, arriving)
        # The decoding thread releases it with its next task.
        keeper.opened.set()
        assert await take(batcher, "next") == {}
        assert [reference() for reference in held] == [None]

    gc.disable()
    try:
        working(tmp_path, say)
    finally:
        gc.enable()
