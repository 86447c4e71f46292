"""Recorded sessions of Claude Code through the receiver into the database, with and without hooks."""

import asyncio
import gzip
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources import plausible
from leo_telemetry_pipeline.sources.claude import assembler, notebook
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.web.receiver import claude
from leo_telemetry_pipeline.web.receiver.app import build_app
from leo_telemetry_pipeline_tests.claude_sessions import Session, arrival, sessions
from leo_telemetry_pipeline_tests.receiver_client import Client, Talk, serving

PATHS = {"resourceSpans": "/v1/traces", "resourceLogs": "/v1/logs"}
COUNTED = """
    SELECT span_type || ':' || span_name || CASE status WHEN 'OK' THEN '' ELSE ' ' || coalesce(status, 'open') END
    FROM workflow_trace_log WHERE span_type IN ('handoff', 'tool', 'skill', 'mcp_server', 'subagent')
"""
KEYS = "SELECT trace_id::text, span_id::text, duration_ms FROM workflow_trace_log"
TWICE = "SELECT span_id FROM workflow_trace_log GROUP BY trace_id, span_id HAVING count(*) > 1"


async def send(client: Client, session: Session, *, signals: tuple[str, ...] = ("/v1/traces", "/v1/logs")) -> None:
    """Send the exports of Claude Code in their order."""
    for post in session.raw["otlp"]:
        if post["path"] in signals:
            body = json.dumps(post["body"]).encode()
            answer = await client.ask("POST", post["path"], [body], content_type="application/json")
            assert answer.status == 200, answer.body


async def until(look: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not look():
            await asyncio.sleep(0.05)


def counted(db: Database) -> Counter[str]:
    """Count rows by type, name and status."""
    return Counter(name for (name,) in db.rows(COUNTED))


BACKGROUND = {"handoff:claude_code.interaction": 2, "subagent:reader": 1, "tool:Bash": 1}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll more often than once per second."""
    monkeypatch.setattr(claude, "_EVERY_S", 0.05)


def test_a_session_becomes_rows_within_seconds_and_once(talk: Talk, db: Database) -> None:
    """Lost: Claude Code's exports; or every retry of the exporter adds a second row per span."""
    session = sessions()["background"]

    async def say(client: Client) -> None:
        for _ in range(2):
            await send(client, session)
            await until(lambda: counted(db) == Counter(BACKGROUND))
        assert db.rows(TWICE) == []
        agents = db.rows("SELECT duration_ms FROM workflow_trace_log WHERE span_type = 'subagent'")
        assert 1_500 < agents[0][0] < 2_500

    talk(say)


def test_hooks_and_receiver_on_one_machine_store_each_once(
    talk: Talk,
    settings: Settings,
    db: Database,
) -> None:
    """Lost: a user who switched on both sees everything twice."""
    session = sessions()["parallel"]

    async def say(client: Client) -> None:
        folder = notebook.checked_folder(str(settings.home))
        path = Path(folder) / notebook.file_name(session.id)
        for note in sorted(session.hooks, key=arrival):
            with notebook.Notebook(str(path)) as file:
                file.add(json.dumps({"session": session.id, **note}))
        await send(client, session)
        want = {"handoff:claude_code.interaction": 1, "subagent:reader": 2, "subagent:writer": 1, "tool:Bash": 4}
        await until(lambda: counted(db) == Counter(want))
        assert db.rows(TWICE) == []

    talk(say)


@pytest.mark.parametrize("hooks_first", [True, False])
@pytest.mark.parametrize("name", ["background", "continued", "tools", "agent_error"])
def test_two_machines_store_each_once_and_the_first_fixes_the_start(db: Database, name: str, hooks_first: bool) -> None:
    """Lost: everything is stored twice if hooks and receiver are on machines with slightly different clocks."""
    session = sessions()[name]
    ways = [assembler.spans(notes, session=session.id, final=True)[0] for notes in (session.hooks, session.otlp)]
    first, second = ways if hooks_first else reversed(ways)
    for batch in (first, second, first, second):
        spans.store(db, batch)
    assert db.rows(TWICE) == []
    wanted = {(span.trace_id, span.span_id): span.start_time_ms for span in [*second, *first]}
    rows = db.rows("SELECT trace_id::text, span_id::text, start_time_ms FROM workflow_trace_log")
    assert {(trace, span): start for trace, span, start in rows} == wanted


def test_acknowledged_records_become_spans_after_a_crash(
    settings: Settings, target: Target, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: acknowledged records, because the receiver died before it made spans of them."""
    settings.home.mkdir(mode=0o700)
    session = sessions()["background"]

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    async def first() -> None:
        async with serving(build_app(settings, target)) as client:
            await send(client, session)

    async def second() -> None:
        async with serving(build_app(settings, target)):
            await until(lambda: counted(db) == Counter(BACKGROUND))

    with monkeypatch.context() as patched:
        patched.setattr(claude.ClaudeCode, "work", never)
        asyncio.run(first())
    assert counted(db) == Counter()
    asyncio.run(second())


def test_a_crash_between_storing_and_forgetting_stores_nothing_twice(
    settings: Settings, target: Target, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: after a crash, each span has a second row with another start."""
    settings.home.mkdir(mode=0o700)
    session = sessions()["tools"]

    def dies(*_: object) -> None:
        raise OSError("killed")

    async def run(work: Callable[[Client], Awaitable[None]]) -> None:
        async with serving(build_app(settings, target)) as client:
            await work(client)

    everything = len(assembler.spans(session.otlp, session=session.id, final=True)[0])

    async def first(client: Client) -> None:
        await send(client, session)
        await until(lambda: len(db.rows(KEYS)) == everything)

    async def second(_: Client) -> None:
        notes = settings.home / notebook.FOLDER / session.id
        # Spans are remembered there once they are stored.
        await until(lambda: '"event": "Made"' in notes.read_text())

    with monkeypatch.context() as patched:
        patched.setattr(claude, "_replace", dies)
        asyncio.run(run(first))
    before = sorted(map(str, db.rows(KEYS)))
    asyncio.run(run(second))
    assert sorted(map(str, db.rows(KEYS))) == before
    assert db.rows(TWICE) == []


def test_a_newer_version_is_noticed_for_the_doctor(talk: Talk, db: Database) -> None:
    """Lost: nobody learns that a new version may report something other than the tested one."""
    session = sessions()["plain"]
    newer = json.loads(json.dumps(session.raw).replace("2.1.332", "2.1.340"))

    async def say(client: Client) -> None:
        await send(client, Session(session.name, session.id, [], [], newer))

    talk(say)
    noticed = db.rows("SELECT kind, detail FROM telemetry_intake_notices")
    assert noticed == [("untested_version", "Claude Code 2.1.340")]


def test_implausible_times_are_noticed_for_the_doctor(talk: Talk, db: Database) -> None:
    """Lost: sessions of a machine with a wrong clock are missing from every analysis, and nobody learns why."""
    session = sessions()["plain"]
    raw = json.loads(re.sub(r'("(?:start|end|)[tT]imeUnixNano": ")17', r"\g<1>12", json.dumps(session.raw)))

    async def say(client: Client) -> None:
        await send(client, Session(session.name, session.id, [], [], raw))
        await until(lambda: counted(db) == Counter({"handoff:claude_code.interaction": 2}))
        # Notices are counted after the spans are stored.
        await until(lambda: db.rows("SELECT 1 FROM telemetry_intake_notices"))

    talk(say)
    noticed = db.rows("SELECT kind, detail FROM telemetry_intake_notices")
    assert noticed == [("implausible_times", plausible.TOO_EARLY)]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"resourceLogs": [}'])
def test_logs_that_cannot_be_read_are_refused(talk: Talk, body: bytes) -> None:
    """Lost: a client that sends malformed logs would believe that they are stored."""

    async def say(client: Client) -> None:
        answer = await client.ask("POST", "/v1/logs", [body], content_type="application/json")
        assert answer.status == 400

    talk(say)


def test_logs_of_other_clients_and_in_protobuf_are_accepted(talk: Talk, db: Database) -> None:
    """Lost: Claude Code's logs, which are protobuf by default; or every other client logs errors."""
    from google.protobuf import json_format
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    session = sessions()["plain"]

    async def say(client: Client) -> None:
        other = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "hello"}}]}]}]}
        answer = await client.ask("POST", "/v1/logs", [json.dumps(other).encode()], content_type="application/json")
        assert answer.status == 200
        for post in session.raw["otlp"]:
            if post["path"] == "/v1/logs":
                body = json.loads(json.dumps(post["body"]))
                for record in (r for p in body["resourceLogs"] for s in p["scopeLogs"] for r in s["logRecords"]):
                    # Protobuf's own JSON has base64 in places where OTLP/JSON has hex.
                    for name in ("traceId", "spanId"):
                        if name in record:
                            record[name] = _base64(record[name])
                wire = json_format.ParseDict(body, LogsData(), ignore_unknown_fields=True).SerializeToString()
                sent = {"content_type": "application/x-protobuf"}
                assert (await client.ask("POST", "/v1/logs", [wire], **sent)).status == 200
        await send(client, session, signals=("/v1/traces",))
        await until(lambda: counted(db) == Counter({"handoff:claude_code.interaction": 2}))

    talk(say)


def _base64(digits: str) -> str:
    import base64

    return base64.b64encode(bytes.fromhex(digits)).decode()


PACKED = gzip.compress(b'{"resourceMetrics":[]}', mtime=0)


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/logs"])
@pytest.mark.parametrize(
    ("body", "encoding", "said"),
    [
        (b'{"resourceSpans":[]}', "identity", "resourceSpans"),
        (b'{"x":{"resourceMetrics":[]},"resource_spans":[]}', "identity", "resource_spans"),
        (b'{"batches":[]}', "identity", "batches"),
        (b'{"resourceProfiles":[]}', "identity", "resourceProfiles"),
        (b"[]", "identity", "not an object"),
        (b'{"resource', "identity", "truncated"),
        (PACKED[:-9], "gzip", "truncated"),
        (b"no gzip", "gzip", "not gzip"),
    ],
)
def test_requests_to_the_wrong_path_or_with_broken_bodies_are_refused(
    talk: Talk, path: str, body: bytes, encoding: str, said: str
) -> None:
    """Lost: all spans of a program that posts them to another signal's path and gets a success."""

    async def say(client: Client) -> None:
        sent = {"content_type": "application/json", "content_encoding": encoding}
        answer = await client.ask("POST", path, [body], **sent)
        assert answer.status == 400
        assert said in answer.body.decode()

    talk(say)


@pytest.mark.parametrize("form", ["application/json", "application/x-protobuf"])
def test_metrics_are_accepted_and_dropped(talk: Talk, form: str) -> None:
    """Lost: every client that also exports metrics logs errors."""
    body = b'{"resourceMetrics":[{"scopeMetrics":[]}]}' if form == "application/json" else b"\x0a\x02\x12\x00"

    async def say(client: Client) -> None:
        for packed, encoding in ((body, "identity"), (gzip.compress(body), "gzip")):
            answer = await client.ask("POST", "/v1/metrics", [packed], content_type=form, content_encoding=encoding)
            assert answer.status == 200
        assert await client.number("requests_dropped_total") == 2

    talk(say)


@pytest.mark.parametrize("form", ["application/json", "application/x-protobuf"])
def test_more_log_records_than_are_read_at_once_are_too_large(talk: Talk, form: str) -> None:
    """Lost: the receiver's memory, because of one small request."""
    is_json = form == "application/json"
    many = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + b"{}," * 10_000 + b"{}]}]}]}"
    body = many if is_json else b"\x0a\x00" * 20_001

    async def say(client: Client) -> None:
        answer = await client.ask("POST", "/v1/logs", [body], content_type=form)
        assert answer.status == 413
        assert b"more than 10000" in answer.body

    talk(say)
