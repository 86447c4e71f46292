"""The receiver in this process, with a real database: each status, and what is in the table after it."""

import asyncio
import gzip
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.types import ASGIApp

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.store.server.database import Database, Target, outside
from leo_telemetry_pipeline.web.app import build_app
from leo_telemetry_pipeline.web.span_keeper import Away, _Line
from leo_telemetry_pipeline_tests.builders import execute, one
from leo_telemetry_pipeline_tests.servers import Server, as_role

JSON, PROTOBUF = "application/json", "application/x-protobuf"
COUNT = "SELECT count(*) FROM workflow_trace_log"


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def message(self) -> str:
        return json.loads(self.body)["message"]


class Client:
    """Sends requests to an application in this process, as a server does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def ask(self, method: str, path: str, pieces: Sequence[bytes] = (), **headers: str) -> Answer:
        """Send a request whose body comes in pieces; headers are named with _ for -."""
        answer, left = Answer(), [*pieces] or [b""]

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message["body"]

        sent = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": sent, "query_string": b""}
        await self._app(scope, receive, send)
        return answer

    async def post(self, body: bytes, content_type: str = JSON, **headers: str) -> Answer:
        """Send spans."""
        return await self.ask("POST", "/v1/traces", [body], content_type=content_type, **headers)

    async def number(self, name: str) -> float:
        """Return one of the metrics."""
        text = (await self.ask("GET", "/metrics")).body.decode()
        return sum(
            float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{PREFIX.lower()}receiver_{name}")
        )


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[Client]:
    """Let an application live through its start and its end."""
    events: asyncio.Queue[dict] = asyncio.Queue()
    said: asyncio.Queue[str] = asyncio.Queue()

    async def send(message: Any) -> None:
        said.put_nowait(message["type"])

    life = asyncio.ensure_future(app({"type": "lifespan", "asgi": {}, "state": {}}, events.get, send))
    events.put_nowait({"type": "lifespan.startup"})
    assert await said.get() == "lifespan.startup.complete"
    try:
        yield Client(app)
    finally:
        events.put_nowait({"type": "lifespan.shutdown"})
        assert await said.get() == "lifespan.shutdown.complete"
        await life


Talk = Callable[[Callable[[Client], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def talk(settings: Settings, target: Target) -> Talk:
    """Run a conversation with a receiver that stores into the test's database."""
    settings.home.mkdir(mode=0o700)

    async def conversation(say: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
        async with serving(build_app(settings, target)) as client:
            await say(client)

    return lambda say: asyncio.run(conversation(say))


def request(first: int = 1, count: int = 1, **more: Any) -> dict:
    """Return an OTLP/JSON request with spans of one trace, numbered."""
    start = time.time_ns() - 10**9
    spans = [
        {
            "traceId": f"{first:032x}",
            "spanId": f"{number:016x}",
            "name": "work",
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(start + 10**6),
            **more,
        }
        for number in range(first, first + count)
    ]
    return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}


def as_json(*arguments: Any, **named: Any) -> bytes:
    """Return the body of an OTLP/JSON request."""
    return json.dumps(request(*arguments, **named)).encode()


def as_protobuf(first: int = 1, count: int = 1) -> bytes:
    """Return the body of an OTLP/protobuf request."""
    made = ExportTraceServiceRequest()
    spans = made.resource_spans.add().scope_spans.add().spans
    start = time.time_ns() - 10**9
    for number in range(first, first + count):
        spans.add(
            trace_id=first.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            name="work",
            start_time_unix_nano=start,
            end_time_unix_nano=start + 10**6,
        )
    return made.SerializeToString()


async def until(question: Callable[[], Any], seconds: float = 30) -> None:
    """Ask until the answer is truthy, and let the receiver work in the meantime."""
    give_up = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)


def test_spans_are_in_the_table_when_the_answer_comes(talk: Talk, db: Database):
    """Lost: an exporter that was told 200 throws its spans away, and we do not have them."""

    async def say(client: Client) -> None:
        answer = await client.post(as_json(1, 3))
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"{}", JSON)
        assert one(db, COUNT) == 3
        answer = await client.post(as_protobuf(10, 2), PROTOBUF)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", PROTOBUF)
        assert one(db, COUNT) == 5
        assert (await client.post(gzip.compress(as_protobuf(20)), PROTOBUF, content_encoding="gzip")).status == 200
        assert (
            await client.post(as_json(30), "Application/JSON; charset=utf-8", content_encoding="identity")
        ).status == 200
        body = as_json(40, 5)
        pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
        assert (await client.ask("POST", "/v1/traces", pieces, content_type=JSON)).status == 200
        assert one(db, COUNT) == 12
        assert await client.number("spans_new_total") == 12

    talk(say)


def test_what_is_sent_again_is_stored_once(talk: Talk, db: Database):
    """Lost: every retry of an exporter makes the work look twice as frequent."""

    async def say(client: Client) -> None:
        body = as_json(1, 4)
        assert [(await client.post(body)).status for _ in range(3)] == [200] * 3
        assert one(db, COUNT) == 4

    talk(say)


def test_a_request_without_spans_succeeds(talk: Talk):
    """Lost: exporters that send an empty envelope log an error each time."""

    async def say(client: Client) -> None:
        assert (await client.post(b"{}")).status == 200
        assert (await client.post(b"", PROTOBUF)).status == 200

    talk(say)


def test_what_is_no_span_is_told_and_the_rest_is_stored(talk: Talk, db: Database):
    """Lost: one bad span in a batch, and five hundred good ones are gone or silently fewer."""

    async def say(client: Client) -> None:
        made = request(1, 3)
        made["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["name"] = ""
        answer = await client.post(json.dumps(made).encode())
        partial = json.loads(answer.body)["partialSuccess"]
        assert (answer.status, partial["rejectedSpans"]) == (200, "1")
        assert "name" in partial["errorMessage"]
        made = ExportTraceServiceRequest.FromString(as_protobuf(10, 2))
        made.resource_spans[0].scope_spans[0].spans[0].trace_id = b""
        answer = await client.post(made.SerializeToString(), PROTOBUF)
        assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == 1
        assert one(db, COUNT) == 3
        assert await client.number("spans_rejected_total") == 2

    talk(say)


@pytest.mark.parametrize(
    ("status", "method", "path", "headers", "body"),
    [
        (404, "POST", "/", {"content_type": JSON}, b"{}"),
        (404, "POST", "/v1/traces//", {"content_type": JSON}, b"{}"),
        (404, "POST", "/v1/profiles", {"content_type": JSON}, b"{}"),
        (405, "GET", "/v1/logs", {}, b""),
        (405, "GET", "/v1/metrics/", {}, b""),
        (403, "POST", "/v1/logs", {"content_type": JSON, "origin": "http://127.0.0.1:4318"}, b"{}"),
        (415, "POST", "/v1/metrics", {"content_type": "text/plain"}, b"{}"),
        (415, "POST", "/v1/logs", {"content_type": JSON, "content_encoding": "br"}, b"{}"),
        (413, "POST", "/v1/logs", {"content_type": JSON, "content_length": str(30 << 20)}, b"{}"),
        (400, "POST", "/v1/logs", {"content_type": JSON, "content_encoding": "gzip"}, b"{}"),
        (400, "POST", "/v1/traces", {"content_type": JSON}, b'{"resourceSpans":[{"ScopeSpans":[]}]}'),
        (400, "POST", "/v1/traces/", {"content_type": JSON}, b'{"ResourceSpans":[]}'),
        (405, "GET", "/v1/traces", {}, b""),
        (405, "OPTIONS", "/v1/traces", {"access_control_request_method": "POST"}, b""),
        (405, "POST", "/healthz", {"content_type": JSON}, b""),
        (403, "POST", "/v1/traces", {"content_type": JSON, "origin": "http://127.0.0.1:4318"}, b"{}"),
        (403, "POST", "/v1/traces", {"content_type": PROTOBUF, "origin": "null"}, as_protobuf()),
        (403, "POST", "/v1/traces", {"content_type": JSON, "host": "evil.test:4318"}, as_json()),
        (403, "POST", "/v1/traces", {"content_type": JSON, "sec_fetch_site": "same-site"}, as_json()),
        (403, "OPTIONS", "/v1/traces", {"origin": "http://evil.test", "access_control_request_method": "POST"}, b""),
        (403, "GET", "/metrics", {"host": "evil.test:4318"}, b""),
        (403, "GET", "/readyz", {"sec_fetch_site": "cross-site"}, b""),
        (403, "GET", "/nothing", {"origin": "http://127.0.0.1:4318"}, b""),
        (415, "POST", "/v1/traces", {}, b"{}"),
        (415, "POST", "/v1/traces", {"content_type": "text/plain"}, b"{}"),
        (415, "POST", "/v1/traces", {"content_type": "application/json, application/x-protobuf"}, b"{}"),
        (415, "POST", "/v1/traces", {"content_type": JSON, "content_encoding": "br"}, b"{}"),
        (415, "POST", "/v1/traces", {"content_type": JSON, "content_encoding": "gzip, gzip"}, b"{}"),
        (413, "POST", "/v1/traces", {"content_type": JSON, "content_length": str(30 << 20)}, b"{}"),
        (400, "POST", "/v1/traces", {"content_type": JSON}, b""),
        (400, "POST", "/v1/traces", {"content_type": JSON}, b"[]"),
        (400, "POST", "/v1/traces", {"content_type": JSON}, b"\xff"),
        (400, "POST", "/v1/traces", {"content_type": JSON}, as_json()[:-1]),
        (400, "POST", "/v1/traces", {"content_type": JSON}, as_json() + b"garbage"),
        (400, "POST", "/v1/traces", {"content_type": JSON, "content_encoding": "gzip"}, b"{}"),
        (400, "POST", "/v1/traces", {"content_type": PROTOBUF}, as_protobuf()[:-1]),
        (400, "POST", "/v1/traces", {"content_type": PROTOBUF}, as_json()),
    ],
    # Not by their bodies, which have the time in them: several test processes must call a test by one name.
    ids=lambda value: "body" if isinstance(value, bytes) else None,
)
def test_what_is_wrong_with_a_request_has_its_status(
    status: int, method: str, path: str, headers: dict[str, str], body: bytes, talk: Talk, db: Database
):
    """Lost: exporters retry for ever what can never succeed, or give up on what would."""

    async def say(client: Client) -> None:
        answer = await client.ask(method, path, [body], **headers)
        assert answer.status == status
        assert not [name for name in answer.headers if name.startswith("access-control")]
        if headers.get("content_type") == PROTOBUF:
            assert answer.headers["content-type"] == PROTOBUF
            assert answer.body[:1] == b"\x12"
        else:
            assert answer.message
        assert one(db, COUNT) == 0

    talk(say)


def test_a_token_is_asked_for_once_it_is_set(talk: Talk, settings: Settings, db: Database):
    """Lost: whoever reaches the port writes into the table."""
    settings.serve_token = "the token"

    async def say(client: Client) -> None:
        wrongs: tuple[dict[str, Any], ...] = (
            {},
            {"authorization": "Bearer the"},
            {"authorization": "the token"},
            {"authorization": "Bearer ü"},
        )
        for wrong in wrongs:
            answer = await client.post(as_json(), **wrong)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert (await client.ask("GET", "/metrics", **wrong)).status == 401
        assert one(db, COUNT) == 0
        assert (await client.post(as_json(), authorization="bearer the token")).status == 200
        assert (await client.post(as_json(2), authorization="Bearer the token", host="proxy.example")).status == 200
        assert (await client.ask("GET", "/metrics", authorization="Bearer the token")).status == 200
        assert (await client.ask("GET", "/healthz")).status == 200
        assert (await client.ask("GET", "/readyz")).status == 200

    talk(say)


def close_database(server: Server, target: Target, *, closed: bool) -> None:
    """Let nobody into a database, and end those who are in; or let them in again."""
    name = target.dsn.split("dbname=")[1].split()[0]
    server.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {not closed}")
    if closed:
        server.administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def test_while_the_database_is_away_spans_wait_on_disk(talk: Talk, settings: Settings, server: Server, target: Target):
    """Lost: everything that is sent while the database restarts."""
    folder = spool.folder_of(str(settings.home))

    async def say(client: Client) -> None:
        assert (await client.post(as_json(1))).status == 200
        close_database(server, target, closed=True)
        for first in (10, 20, 30):
            assert (await client.post(as_json(first, 2))).status == 200
        assert spool.usage(folder)[0] == 3
        ready = await client.ask("GET", "/readyz")
        assert (ready.status, json.loads(ready.body)["database"]) == (200, "away")
        assert await client.number("spans_spooled_total") == 6
        assert await client.number("database_up") == 0
        close_database(server, target, closed=False)
        await until(lambda: spool.usage(folder)[0] == 0)
        with closing(Database(target)) as db:
            assert one(db, COUNT) == 7
        await until(lambda: True)
        assert (await client.post(as_json(40))).status == 200

    talk(say)


def test_without_database_and_spool_nothing_is_promised(talk: Talk, settings: Settings, server: Server, target: Target):
    """Lost: a 200 for spans that are nowhere."""

    async def say(client: Client) -> None:
        Path(spool.folder_of(str(settings.home))).touch()
        close_database(server, target, closed=True)
        answer = await client.post(as_json())
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert (await client.ask("GET", "/readyz")).status == 503
        assert (await client.ask("GET", "/healthz")).status == 200
        close_database(server, target, closed=False)

    talk(say)


def test_a_database_that_hangs_holds_nobody_for_long(talk: Talk, settings: Settings, db: Database):
    """Lost: every exporter waits until it gives up, and its spans are gone."""
    folder = spool.folder_of(str(settings.home))

    async def say(client: Client) -> None:
        assert (await client.post(as_json(1))).status == 200
        with db.transaction() as cursor:
            cursor.execute("LOCK TABLE workflow_trace_log")
            assert (await client.post(as_json(10))).status == 200
            assert (await client.post(as_protobuf(20), PROTOBUF)).status == 200
            assert spool.usage(folder)[0] == 2
        await until(lambda: one(db, COUNT) == 3)

    talk(say)


def test_requests_that_come_together_all_arrive(talk: Talk, db: Database):
    """Lost: spans of one program because another one exports at the same moment."""

    async def say(client: Client) -> None:
        answers = await asyncio.gather(*(client.post(as_json(100 * n, 50)) for n in range(1, 21)))
        assert {answer.status for answer in answers} == {200}
        assert one(db, COUNT) == 1000

    talk(say)


def test_identities_and_unknown_attributes_stay_out_and_are_counted(talk: Talk, db: Database):
    """Lost: a prompt that some library attaches to its spans is in our table for ever."""

    async def say(client: Client) -> None:
        attributes = [
            {"key": name, "value": {"stringValue": "the whole prompt"}}
            for name in ("gen_ai.prompt", "user.email", "leo.note")
        ]
        assert (await client.post(as_json(1, 1, attributes=attributes))).status == 200
        assert one(db, "SELECT attributes FROM workflow_trace_log") == {"note": "the whole prompt"}
        assert await client.number("keys_removed_total") == 2

    talk(say)


def test_a_span_that_the_table_refuses_keeps_no_other_out(talk: Talk, db: Database):
    """Lost: a whole batch, for ever, because of one value that the database does not take."""
    execute(db, "ALTER TABLE workflow_trace_log ADD CONSTRAINT no_poison CHECK (span_name <> 'poison')")

    async def say(client: Client) -> None:
        made = request(1, 5)
        made["resourceSpans"][0]["scopeSpans"][0]["spans"][2]["name"] = "poison"
        answer = await client.post(json.dumps(made).encode())
        assert answer.status == 200
        assert json.loads(answer.body)["partialSuccess"] == {
            "rejectedSpans": "1",
            "errorMessage": "refused by the table, kept in telemetry_quarantine",
        }
        assert one(db, COUNT) == 4
        assert await client.number("spans_quarantined_total") == 1
        assert await client.number("spans_accepted_total") == 4
        assert await client.number("spans_rejected_total") == 1

    talk(say)


def test_a_spool_that_is_refused_keeps_nothing_from_the_database(
    talk: Talk, settings: Settings, db: Database, caplog: pytest.LogCaptureFixture
):
    """Lost: every span, while the database is fine, for a folder that somebody else may write to."""
    folder = Path(spool.folder_of(str(settings.home)))

    async def say(client: Client) -> None:
        spool.Spool(str(folder), settings.spool_bytes).write([])
        folder.chmod(0o777)
        await until(lambda: "could not be drained" in caplog.text)
        await asyncio.sleep(2.5)  # another attempt, which is not worth another line
        assert caplog.text.count("could not be drained") == 1
        assert "is away" not in caplog.text
        assert (await client.post(as_json())).status == 200
        assert one(db, COUNT) == 1
        ready = await client.ask("GET", "/readyz")
        assert (ready.status, json.loads(ready.body)["database"]) == (200, "up")

    talk(say)


def test_a_database_that_comes_back_is_used_though_the_spool_is_refused(
    talk: Talk, settings: Settings, server: Server, target: Target
):
    """Lost: the receiver takes nothing any more until somebody restarts it."""
    folder = Path(spool.folder_of(str(settings.home)))

    async def say(client: Client) -> None:
        spool.Spool(str(folder), settings.spool_bytes).write([])
        folder.chmod(0o777)
        close_database(server, target, closed=True)
        assert (await client.post(as_json(1))).status == 503
        assert (await client.ask("GET", "/readyz")).status == 503
        close_database(server, target, closed=False)
        give_up = time.monotonic() + 30
        while (await client.post(as_json(2))).status != 200:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.1)
        with closing(Database(target)) as db:
            assert one(db, COUNT) == 1

    talk(say)


def test_a_receiver_that_begins_without_its_database_finds_it(settings: Settings, server: Server, target: Target):
    """Lost: what is sent between the start of the machine and that of the database."""
    settings.home.mkdir(mode=0o700)

    async def say() -> None:
        close_database(server, target, closed=True)
        async with serving(build_app(settings, target, away=True)) as client:
            assert (await client.post(as_json())).status == 200
            assert await client.number("spans_spooled_total") == 1
            close_database(server, target, closed=False)
            await until(lambda: spool.usage(spool.folder_of(str(settings.home)))[0] == 0)
            with closing(Database(target)) as db:
                assert one(db, COUNT) == 1

    asyncio.run(say())


def test_whoever_is_told_to_end_ends_also_at_the_moment_of_an_answer(target: Target):
    """Lost: a receiver that is stopped while it drains its spool runs on for ever."""

    async def say(turns: int) -> bool:
        line, goes_on = _Line(target, "test"), threading.Event()
        asked = asyncio.ensure_future(line.ask(lambda _: goes_on.wait(10)))
        await asyncio.sleep(0)
        goes_on.set()
        # The answer is there, and the event loop has so many turns to bring it to whoever asked.
        line._thread.submit(int).result()
        for _ in range(turns):
            await asyncio.sleep(0)
        in_time = asked.cancel()
        await asyncio.wait([asked])
        line.close()
        assert asked.cancelled() == in_time
        return in_time

    in_time = [asyncio.run(say(turns)) for turns in range(10)]
    assert in_time[0]
    assert not in_time[-1]


def test_a_connection_that_closes_as_it_is_cut_is_only_away(target: Target, monkeypatch: pytest.MonkeyPatch):
    """Lost: the upkeep ends with a traceback, and nobody brings the database back."""

    def cut(database: Database) -> None:
        raise psycopg2.InterfaceError("connection already closed")

    monkeypatch.setattr(Database, "cut", cut)

    async def say() -> None:
        line = _Line(target, "test")
        with pytest.raises(Away):
            await line.ask(lambda db: db.rows("SELECT pg_sleep(0.5)"), patience_s=0.1)
        line.close()

    asyncio.run(say())


def test_a_user_who_may_only_insert_can_be_the_receivers(settings: Settings, database_url: str, db: Database):
    """Lost: a receiver with no more rights than it needs spools for ever."""
    execute(db, "CREATE ROLE receives_only LOGIN PASSWORD 'pw'; GRANT INSERT ON workflow_trace_log TO receives_only")
    execute(db, "GRANT EXECUTE ON FUNCTION ensure_trace_partitions TO receives_only")
    settings.home.mkdir(mode=0o700)
    narrow = outside(as_role(database_url, "receives_only"), "dagster")

    async def say() -> None:
        async with serving(build_app(settings, narrow, away=True)) as client:
            assert (await client.post(as_json(1))).status == 200
            await until(lambda: one(db, COUNT) == 1)
            assert json.loads((await client.ask("GET", "/readyz")).body)["database"] == "up"
            assert (await client.post(as_json(2))).status == 200
            assert one(db, COUNT) == 2

    try:
        asyncio.run(say())
    finally:
        execute(db, "DROP OWNED BY receives_only; DROP ROLE receives_only")


def large(count: int) -> bytes:
    """Return a request that is kept in several parts, of plain words: to look for secrets in others takes longest."""
    given = [{"key": f"leo.{key}", "value": {"stringValue": "much " * 20}} for key in range(10, 60)]
    return as_json(1000, count, attributes=given)


def notices(db: Database) -> dict[str, int]:
    """Return how often each detail was noticed."""
    return dict(db.rows("SELECT detail, count FROM telemetry_intake_notices"))


def test_a_large_request_is_stored_whole_in_several_transactions(talk: Talk, db: Database):
    """Lost: what does not fit into memory, with a friendly answer that no exporter heeds."""
    body = large(2000)

    async def say(client: Client) -> None:
        answer = await client.post(body)
        assert (answer.status, answer.body) == (200, b"{}")
        assert one(db, COUNT) == 2000
        assert one(db, "SELECT count(DISTINCT xmin::text) FROM workflow_trace_log") > 2
        assert (await client.post(body)).status == 200
        assert one(db, COUNT) == 2000
        assert await client.number("spans_new_total") == 2000
        assert await client.number("spans_rejected_total") == 0

    talk(say)


def test_of_a_large_request_that_breaks_the_answer_says_what_is_stored(talk: Talk, db: Database):
    """Lost: the half of a request that was refused stands in the table, and nobody knows which half."""
    body = large(2000)
    at = body.rindex(b'"stringValue"')

    async def say(client: Client) -> None:
        assert (await client.post(body[:at] + b'"stringValue', JSON)).status == 400
        assert one(db, COUNT) == 0
        answer = await client.post(body[:at] + b'"stringVal":tru,' + body[at:])
        assert answer.status == 400
        stored = one(db, COUNT)
        assert 0 < stored < 2000
        assert f"{stored} span(s) before that are stored" in answer.body.decode()

    talk(say)


def test_a_part_that_cannot_be_kept_is_asked_for_again_and_nothing_is_twice(
    talk: Talk, settings: Settings, server: Server, target: Target
):
    """Lost: the rest of a batch whose first parts were stored before the disk was full."""
    settings.spool_bytes = 9 << 20
    body = large(2500)

    async def say(client: Client) -> None:
        close_database(server, target, closed=True)
        answer = await client.post(body)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        # What is on disk already does no harm: it is recognised when the request comes again.
        assert await client.number("spans_spooled_total") > 0
        close_database(server, target, closed=False)
        give_up = time.monotonic() + 60
        while (await client.post(body)).status != 200:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.5)
        await until(lambda: spool.usage(spool.folder_of(str(settings.home)))[0] == 0)
        with closing(Database(target)) as db:
            assert one(db, COUNT) == 2500

    talk(say)


def test_requests_that_wait_are_stored_together_and_each_has_its_own_answer(talk: Talk, db: Database):
    """Lost: a client is told that its spans are bad, or are not, for what another client sent."""
    execute(db, "ALTER TABLE workflow_trace_log ADD CONSTRAINT no_poison CHECK (span_name <> 'poison')")
    good, bad = [as_json(100 * n, 5) for n in range(1, 20)], as_json(5000, 5).replace(b'"work"', b'"poison"', 2)

    async def say(client: Client) -> None:
        answers = await asyncio.gather(
            client.post(bad), *map(client.post, good), client.post(b"{"), client.post(as_json(9000, 2, name=""))
        )
        assert [answer.status for answer in answers] == [200] * 20 + [400, 200]
        partial = [json.loads(answer.body).get("partialSuccess", {}).get("rejectedSpans") for answer in answers]
        assert partial == ["2", *[None] * 20, "2"]
        assert one(db, COUNT) == 3 + 19 * 5
        assert one(db, "SELECT count(DISTINCT xmin::text) FROM workflow_trace_log") < 12
        assert await client.number("spans_new_total") == 3 + 19 * 5
        assert await client.number("spans_accepted_total") == 3 + 19 * 5
        assert await client.number("spans_rejected_total") == 4

    talk(say)


def test_small_requests_do_not_wait_for_all_of_a_large_one(talk: Talk, db: Database):
    """Lost: every exporter gives up while one Collector sends its batch."""

    async def say(client: Client) -> None:
        order: list[str] = []

        async def post(name: str, body: bytes) -> None:
            assert (await client.post(body)).status == 200
            order.append(name)

        sending = asyncio.ensure_future(post("large", large(2500)))
        await until(lambda: one(db, COUNT) > 0)
        await post("small", as_json(1, 1))
        await sending
        assert order == ["small", "large"]
        assert one(db, COUNT) == 2501

    talk(say)


def test_what_is_refused_while_the_database_is_away_is_counted_when_it_is_back(
    settings: Settings, server: Server, target: Target, db: Database
):
    """Lost: a loss that nobody sees, since it fell into another one."""
    settings.home.mkdir(mode=0o700)

    async def say() -> None:
        async with serving(build_app(settings, target, away=True)) as client:
            close_database(server, target, closed=True)
            for _ in range(3):
                assert (await client.post(as_json(1, name=""))).status == 200
            assert (await client.post(b"{}}")).status == 400
            close_database(server, target, closed=False)
            with closing(Database(target)) as again:
                await until(
                    lambda: notices(again) == {"name is missing or empty": 3, "400 not OTLP/JSON: unexpected byte": 1}
                )
                for _ in range(2):
                    assert (await client.post(as_json(2, name=""))).status == 200
        # The last ones are written at the end.
        with closing(Database(target)) as again:
            assert notices(again)["name is missing or empty"] == 5

    asyncio.run(say())


@pytest.mark.parametrize(
    ("start_s", "detail"),
    [
        (10 * 86_400, "starts after tomorrow"),
        (-20 * 365 * 86_400, "starts more than a year before the retention limit"),
        (-50 * 365 * 86_400, "starts more than a year before the retention limit"),
        (60, None),
        (-80 * 86_400, None),
    ],
)
def test_times_that_cannot_be_true_are_stored_and_counted(
    start_s: float, detail: str | None, talk: Talk, db: Database, caplog: pytest.LogCaptureFixture
):
    """Lost: a year of spans in January 1970, and a doctor who says that all is well."""
    start = int((time.time() + start_s) * 10**9)

    async def say(client: Client) -> None:
        for first in (1, 10):
            body = as_json(first, 2, startTimeUnixNano=str(start), endTimeUnixNano=str(start + 10**6))
            assert (await client.post(body)).body == b"{}"
        assert one(db, COUNT) == 4
        if detail:
            await until(lambda: notices(db) == {detail: 4})
        assert await client.number("spans_implausible_total") == (4 if detail else 0)
        assert caplog.text.count(str(detail)) == (1 if detail else 0)

    talk(say)


def test_all_spellings_come_in_through_the_receiver(talk: Talk, db: Database):
    """Lost: spans of old exporters, with the answer that all is well."""
    plain = request(1)
    old = json.loads(json.dumps(request(2)).replace("scopeSpans", "instrumentationLibrarySpans"))
    tempo = {"batches": request(3)["resourceSpans"]}
    bare = request(4)["resourceSpans"][0]
    snake = json.loads(json.dumps(request(5)).replace("resourceSpans", "resource_spans").replace("traceId", "trace_id"))

    async def say(client: Client) -> None:
        for body in (plain, old, tempo, bare, snake):
            assert (await client.post(json.dumps(body).encode())).body == b"{}"
        assert one(db, COUNT) == 5
        answer = await client.post(json.dumps(request(6)).replace("scopeSpans", "scopespans").encode())
        assert (answer.status, one(db, COUNT)) == (400, 5)
        assert "scopespans where scopeSpans is expected" in answer.message

    talk(say)
