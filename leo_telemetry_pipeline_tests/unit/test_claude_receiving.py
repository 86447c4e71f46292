"""What Claude Code sends to the receiver, at its edges: much at once, what is broken, a home that cannot be written."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from leo_telemetry_pipeline.collect import otlp
from leo_telemetry_pipeline.collect.claude import notebook
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.web import claude
from leo_telemetry_pipeline.web.batching import Batcher
from leo_telemetry_pipeline.web.body import Body, Inflow, Refusal
from leo_telemetry_pipeline.web.claude import ClaudeCode
from leo_telemetry_pipeline.web.keeping import Batch
from leo_telemetry_pipeline.web.metrics import Metrics
from leo_telemetry_pipeline.web.notices import Notices

SESSION = "8e8f5d50-0000-4000-8000-000000000001"
OTHER = "8e8f5d50-0000-4000-8000-000000000002"
START = 1_795_955_340_000_000_000


class Keeper:
    """Keeps spans in memory."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    async def keep(self, batches: list[Batch], _patience_s: float = 5) -> list[int]:
        self.spans += [span for spans, _ in batches for span in spans]
        return [0] * len(batches)


class Receiver:
    """What takes requests, without HTTP and without a database."""

    def __init__(self, home: Path) -> None:
        settings, notices = Settings({f"{PREFIX}HOME": str(home)}), Notices()
        self.keeper = Keeper()
        self.claude = ClaudeCode(settings, self.keeper, notices)  # type: ignore[arg-type]
        self.batcher = Batcher(settings, self.keeper, self.claude, Metrics(), notices)  # type: ignore[arg-type]

    async def take(self, request: dict | bytes) -> object:
        """Return the rejected spans of a request by reason, or status and message of its refusal."""
        arriving = Body(Inflow(), gzip=False)
        arriving.feed(request if isinstance(request, bytes) else json.dumps(request).encode())
        try:
            return dict(await self.batcher.take(otlp.parts_of_json, arriving))
        except Refusal as refusal:
            return refusal.status, refusal.message


def receiving(home: Path, say: Callable[[Receiver], Awaitable[None]]) -> None:
    """Let a receiver work for as long as a conversation takes."""

    async def conversation() -> None:
        receiver = Receiver(home)
        tasks = [asyncio.create_task(work()) for work in (receiver.batcher.work, receiver.claude.work)]
        try:
            await say(receiver)
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            receiver.batcher.close()
            receiver.claude.close()

    asyncio.run(conversation())


def wire(attributes: dict) -> list[dict]:
    """Return attributes as OTLP/JSON has them; what is a dict is a value already."""
    return [
        {"key": key, "value": value if isinstance(value, dict) else {"stringValue": value}}
        for key, value in attributes.items()
    ]


def span(number: int, name: str = "claude_code.llm_request", **given: object) -> dict:
    """Return a span of a session in OTLP/JSON."""
    attributes = given.pop("attributes", {"session.id": SESSION, "model": "claude-sonnet-4-5-20250929"})
    assert isinstance(attributes, dict)
    times = {"startTimeUnixNano": str(START + number), "endTimeUnixNano": str(START + number + 10**9)}
    known = {"name": name, "traceId": f"{7:032x}", "spanId": f"{number + 1:016x}", "attributes": wire(attributes)}
    return known | times | given


def request(*spans: dict, **resource: object) -> dict:
    """Return a trace request of Claude Code."""
    told = {"service.name": "claude-code", "service.version": "2.1.332"} | resource
    return {"resourceSpans": [{"resource": {"attributes": wire(told)}, "scopeSpans": [{"spans": list(spans)}]}]}


@contextmanager
def full(home: Path, session: str = SESSION) -> Iterator[Path]:
    """Give a session a notebook that holds all that one may hold."""
    path = Path(notebook.checked_folder(str(home))) / notebook.file_name(session)
    with path.open("wb") as file:
        file.truncate(notebook.MOST_RECEIVED_BYTES + 1)
    yield path


def notes_in(home: Path, session: str = SESSION) -> list[dict]:
    """Return the notes of a session."""
    with notebook.Notebook(str(Path(notebook.checked_folder(str(home))) / notebook.file_name(session))) as file:
        return file.read()


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave notebooks alone, so that a test sees what is in them."""
    monkeypatch.setattr(claude, "_EVERY_S", 3600)


def test_a_request_with_all_spans_that_one_may_have_is_noted_and_again_costs_nothing(tmp_path: Path):
    """Lost: a long session whose exporter was cut off: it is answered 503 for ever, and its notes pile up."""
    large = request(*(span(number) for number in range(9_000)))

    async def say(receiver: Receiver) -> None:
        assert await receiver.take(large) == {}
        first = notes_in(tmp_path)
        assert len(first) == 9_000
        assert await receiver.take(large) == {}
        assert notes_in(tmp_path) == first

    receiving(tmp_path, say)


def test_a_hook_still_adds_no_more_than_it_may(tmp_path: Path):
    """Lost: where no span can be stored for days, the disk of somebody who only has the hooks."""
    path = tmp_path / "notes"
    path.write_bytes(bytes(notebook.MOST_BYTES + 1))
    with notebook.Notebook(str(path)) as file, pytest.raises(OSError, match="this event is lost"):
        file.add("{}")


def test_a_full_notebook_refuses_its_session_and_nobody_else(tmp_path: Path):
    """Lost: spans of every program whose request came at the same moment."""
    ordinary = span(1, "work", attributes={})
    other = span(2, attributes={"session.id": OTHER, "model": "m"})

    async def say(receiver: Receiver) -> None:
        with full(tmp_path):
            answers = await asyncio.gather(*(receiver.take(request(each)) for each in (ordinary, span(3), other)))
        assert [answers[0], answers[2]] == [{}, {}]
        assert [kept.span_name for kept in receiver.keeper.spans] == ["work"]
        assert len(notes_in(tmp_path, OTHER)) == 1
        status, message = answers[1]  # type: ignore[misc]
        assert status == 503
        assert "notes" in message
        for untrue in (str(tmp_path), SESSION, "database"):
            assert untrue not in message

    receiving(tmp_path, say)
