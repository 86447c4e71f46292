"""Claude Code's requests in unusual conditions: large, invalid, or with a home that cannot be written."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.sources.claude import notebook, otel_notes
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store.server.database import Target
from leo_telemetry_pipeline.web.receiver import claude, span_keeper
from leo_telemetry_pipeline.web.receiver.batching import Batcher
from leo_telemetry_pipeline.web.receiver.body import Body, Inflow, Refusal
from leo_telemetry_pipeline.web.receiver.claude import ClaudeCode
from leo_telemetry_pipeline.web.receiver.metrics import Metrics
from leo_telemetry_pipeline.web.receiver.notices import Notices
from leo_telemetry_pipeline.web.receiver.span_keeper import Batch

SESSION = "8e8f5d50-0000-4000-8000-000000000001"
OTHER = "8e8f5d50-0000-4000-8000-000000000002"
START = 1_795_955_340_000_000_000


class Keeper:
    """Keeper that stores spans in memory."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    async def keep(self, batches: list[Batch], _patience_s: float = 5) -> list[int]:
        self.spans += [span for spans, _ in batches for span in spans]
        return [0] * len(batches)


class Receiver:
    """Receiver without HTTP and without a database."""

    def __init__(self, home: Path) -> None:
        settings, notices = Settings({f"{PREFIX}HOME": str(home)}), Notices()
        self.notices = notices
        self.keeper = Keeper()
        self.claude = ClaudeCode(settings, self.keeper, notices)  # type: ignore[arg-type]
        self.batcher = Batcher(settings, self.keeper, self.claude, Metrics(), notices)  # type: ignore[arg-type]

    async def take(self, request: dict | bytes) -> object:
        """Return the rejected spans of a request by reason, or the status and message of its refusal."""
        arriving = Body(Inflow(), gzip=False)
        arriving.feed(request if isinstance(request, bytes) else json.dumps(request).encode())
        try:
            return dict(await self.batcher.take(otlp.parts_of_json, arriving))
        except Refusal as refusal:
            return refusal.status, refusal.message


def receiving(home: Path, say: Callable[[Receiver], Awaitable[None]]) -> None:
    """Run a receiver while ``say`` sends requests."""

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
    """Return attributes in OTLP/JSON; a dict is taken as a value."""
    return [
        {"key": key, "value": value if isinstance(value, dict) else {"stringValue": value}}
        for key, value in attributes.items()
    ]


def span(number: int, name: str = "claude_code.llm_request", **given: object) -> dict:
    """Return a session's span in OTLP/JSON."""
    attributes = given.pop("attributes", {"session.id": SESSION, "model": "claude-sonnet-4-5-20250929"})
    assert isinstance(attributes, dict)
    times = {"startTimeUnixNano": str(START + number), "endTimeUnixNano": str(START + number + 10**9)}
    known = {"name": name, "traceId": f"{7:032x}", "spanId": f"{number + 1:016x}", "attributes": wire(attributes)}
    return known | times | given


def request(*spans: dict, **resource: object) -> dict:
    """Return a trace request from Claude Code."""
    attributes = {"service.name": "claude-code", "service.version": "2.1.332"} | resource
    return {"resourceSpans": [{"resource": {"attributes": wire(attributes)}, "scopeSpans": [{"spans": list(spans)}]}]}


# Identifies the prompt of a trace immediately.
_PROMPT = {
    "body": {"stringValue": "claude_code.user_prompt"},
    "traceId": f"{7:032x}",
    "timeUnixNano": str(START),
    "attributes": wire({"session.id": SESSION, "prompt.id": "p1"}),
}
PROMPT = {"resourceLogs": [{"scopeLogs": [{"logRecords": [_PROMPT]}]}]}


@contextmanager
def full(home: Path, session: str = SESSION) -> Iterator[Path]:
    """Fill the notebook of a session to its limit."""
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
    """Keep notebooks unprocessed, so that a test can read them."""
    monkeypatch.setattr(claude, "_EVERY_S", 3600)


def test_the_largest_request_is_stored_and_repeating_it_adds_nothing(tmp_path: Path):
    """Lost: a long session whose exporter was interrupted gets 503 forever, and its notes pile up."""
    large = request(*(span(number) for number in range(9_000)))

    async def say(receiver: Receiver) -> None:
        assert await receiver.take(large) == {}
        first = notes_in(tmp_path)
        assert len(first) == 9_000
        assert await receiver.take(large) == {}
        assert notes_in(tmp_path) == first

    receiving(tmp_path, say)


def test_a_hook_cannot_exceed_its_limit(tmp_path: Path):
    """Lost: the disk of a user with hooks only, if no span can be stored for days."""
    path = tmp_path / "notes"
    path.write_bytes(bytes(notebook.MOST_BYTES + 1))
    with notebook.Notebook(str(path)) as file, pytest.raises(OSError, match="this event is lost"):
        file.add("{}")


def test_a_full_notebook_refuses_only_its_session(tmp_path: Path):
    """Lost: spans of other programs whose requests arrive at the same moment."""
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


@pytest.mark.parametrize("name", ["claude_code.tool", "claude_code.tool.execution"])
@pytest.mark.parametrize("given", [{}, {"tool_use_id": ""}, {"tool_use_id": " "}, {"tool_use_id": {"intValue": "5"}}])
def test_a_tool_without_its_id_is_stored_like_any_span(tmp_path: Path, name: str, given: dict):
    """Lost: a span answered with 200 that is stored nowhere, since its records cannot be matched."""
    sent = span(1, name, attributes={"session.id": SESSION, "tool_name": "Bash", **given})

    async def say(receiver: Receiver) -> None:
        assert await receiver.take(request(sent)) == {}
        assert len(receiver.keeper.spans) == 1
        assert notes_in(tmp_path) == []

    receiving(tmp_path, say)


TIMES = {
    "an end after the year 9999": (START, 10**21),
    "both after the year 9999": (10**21, 10**21),
    "400 digits": (10**400, 10**400 + 5),
    "an end before the start": (START, START - 1),
}


@pytest.mark.parametrize("what", ["an end after the year 9999", "400 digits", "an end before the start"])
def test_a_rejected_span_does_not_affect_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str):
    """Lost: the reason in the response, or the other spans of the request."""
    monkeypatch.setattr(claude, "_EVERY_S", 0.05)
    start, end = TIMES[what]
    broken = span(1, startTimeUnixNano=str(start), endTimeUnixNano=str(end))
    interaction = span(0, "claude_code.interaction")

    async def say(receiver: Receiver) -> None:
        answer = await receiver.take(request(interaction, broken, span(2, parentSpanId=f"{1:016x}")))
        assert list(answer.values()) == [1]  # type: ignore[attr-defined]
        assert len(notes_in(tmp_path)) == 2

    receiving(tmp_path, say)


@pytest.mark.parametrize("what", ["file", "open to others", "home"])
def test_an_unusable_folder_is_reported_and_needs_no_restart_once_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
):
    """Lost: all sessions of Claude Code, silently, until a restart."""
    monkeypatch.setattr(claude, "_EVERY_S", 0.05)
    home = tmp_path / "home"
    folder = home / notebook.FOLDER
    if what == "home":
        home.write_text("")
    else:
        home.mkdir(mode=0o700)
        folder.write_text("") if what == "file" else folder.mkdir(mode=0o777)
        folder.chmod(0o777)

    async def say(receiver: Receiver) -> None:
        answer = await receiver.take(request(span(1)))
        status, message = answer  # type: ignore[misc]
        assert status == 503
        assert "notes" in message
        assert str(tmp_path) not in message
        # The background loop has failed too.
        await asyncio.sleep(0.3)
        assert str(tmp_path) in caplog.text
        (home if what == "home" else folder).rename(tmp_path / "moved")
        assert await receiver.take(request(span(1))) == {}
        await receiver.claude.keep_logs(json.dumps(PROMPT).encode(), "application/json")
        async with asyncio.timeout(60):
            while not receiver.keeper.spans:
                await asyncio.sleep(0.05)

    receiving(home, say)


def test_a_notebook_that_cannot_be_processed_does_not_affect_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Lost: other sessions, or the name of the failing one; or a log that repeats itself every second."""
    monkeypatch.setattr(claude, "_EVERY_S", 0.02)
    folder = Path(notebook.checked_folder(str(tmp_path)))
    for session in ("bad-1", "bad-2"):
        # A note of an unknown version.
        (folder / session).write_text(json.dumps({"event": otel_notes.SPAN, "session": session}))

    async def say(receiver: Receiver) -> None:
        assert await receiver.take(request(span(1))) == {}
        await receiver.claude.keep_logs(json.dumps(PROMPT).encode(), "application/json")
        async with asyncio.timeout(60):
            while not receiver.keeper.spans:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)

    receiving(tmp_path, say)
    said = [record.getMessage() for record in caplog.records]
    assert sorted(said) == sorted(set(said))
    assert [sum(session in line for line in said) for session in ("bad-1", "bad-2")] == [1, 1]


def test_the_background_task_continues_after_any_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Lost: spans stay in the spool until a restart, although the receiver answers every request."""
    monkeypatch.setattr(span_keeper, "_PAUSE_S", 0.01)

    class Broken(Notices):
        taken = 0

        def take(self):
            self.taken += 1
            raise KeyError("bug")

    async def conversation() -> None:
        notices = Broken()
        keeper = span_keeper.Keeper(Settings({f"{PREFIX}HOME": str(tmp_path)}), Target("", "", ""), Metrics(), notices)
        task = asyncio.create_task(keeper.work())
        async with asyncio.timeout(60):
            while notices.taken < 4 and not task.done():
                await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        keeper.away = True
        await keeper.close()

    asyncio.run(conversation())
    assert [record.getMessage() for record in caplog.records] == ["reconnecting or storing notices failed (KeyError)"]


VERSIONS = {
    "a number": {"intValue": "5"},
    "a list": {"arrayValue": {"values": [{"stringValue": "2.1"}]}},
    "an object": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}},
    "true": {"boolValue": True},
    "a superscript digit": "2.²",
    "digits of another script": "٩.٩.٩",
    "5,000 digits": "5" * 5_000,
    "41 digits": "5" * 41,
    "nothing": "",
    "dots": "9..9",
}


@pytest.mark.parametrize("what", VERSIONS)
def test_an_invalid_version_does_not_affect_spans(tmp_path: Path, what: str):
    """Lost: all spans of Claude Code, if each request is answered with 500."""
    sent = request(span(1), **{"service.version": VERSIONS[what]})

    async def say(receiver: Receiver) -> None:
        assert await receiver.take(sent) == {}
        assert len(notes_in(tmp_path)) == 1
        assert not receiver.notices.take()

    receiving(tmp_path, say)


@pytest.mark.parametrize("levels", [401, 2_000, 200_000])
@pytest.mark.parametrize("begin", ['{"trace":', '{"a":', '{"resourceSpans":[{"resource":{"a":', '{"a":['])
def test_deep_nesting_is_refused_as_documented(tmp_path: Path, levels: int, begin: str):
    """Lost: a client gets an internal error, and sends the same request forever."""
    mirrored = "".join({"{": "}", "[": "]"}.get(mark, "") for mark in reversed(begin))
    body = (begin * levels + "{}" + mirrored * levels).encode()

    async def say(receiver: Receiver) -> None:
        status, message = await receiver.take(body)  # type: ignore[misc]
        assert status == 400
        assert "nested" in message or "expected" in message

    receiving(tmp_path, say)


def test_a_request_in_a_file_may_be_wrapped_up_to_the_limit_of_the_json_parser():
    """Lost: the rest of a file, because of one line."""
    wrapped = request(span(1, "work", attributes={}))
    for _ in range(5_000):
        wrapped = {"trace": wrapped}
    [made] = otlp.spans_from_request(wrapped)
    assert isinstance(made, Span)
