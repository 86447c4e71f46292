"""An in-process receiver, and a client that calls it as an ASGI server does."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.types import ASGIApp

from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.servers import Server

JSON, PROTOBUF = "application/json", "application/x-protobuf"
COUNT = "SELECT count(*) FROM workflow_trace_log"


@dataclass
class Answer:
    """The response to a request."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def message(self) -> str:
        return json.loads(self.body)["message"]


class Client:
    """Sends requests to an application in this process, as an ASGI server does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def ask(self, method: str, path: str, pieces: Sequence[bytes] = (), **headers: str) -> Answer:
        """Send a request whose body comes in pieces; ``_`` in header names stands for ``-``."""
        answer, left = Answer(), [*pieces] or [b""]

        async def receive() -> dict[str, Any]:
            if not left:
                # The client stays until it has the answer.
                await asyncio.Event().wait()
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                # Of several headers with one name, the first.
                answer.headers = {name.decode(): value.decode() for name, value in reversed(message["headers"])}
            else:
                answer.body += message["body"]

        path, _, query = path.partition("?")
        sent = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": path,
            "headers": sent,
            "query_string": query.encode(),
        }
        await self._app(scope, receive, send)
        return answer

    async def post(self, body: bytes, content_type: str = JSON, **headers: str) -> Answer:
        """Send spans."""
        return await self.ask("POST", "/v1/traces", [body], content_type=content_type, **headers)

    async def number(self, name: str) -> float:
        """Return the value of a metric."""
        text = (await self.ask("GET", "/metrics")).body.decode()
        return sum(
            float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{PREFIX.lower()}receiver_{name}")
        )


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[Client]:
    """Run the lifespan of an application around the block."""
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


def request(first: int = 1, count: int = 1, **more: Any) -> dict:
    """Return an OTLP/JSON request with numbered spans of one trace."""
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
    """Repeat a question until the answer is truthy, while the receiver works."""
    give_up = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)


def close_database(server: Server, target: Target, *, closed: bool) -> None:
    """Refuse connections to a database and end existing ones; or allow connections again."""
    name = target.dsn.split("dbname=")[1].split()[0]
    server.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {not closed}")
    if closed:
        server.administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def notices(db: Database) -> dict[str, int]:
    """Return the count of notices per detail."""
    return dict(db.rows("SELECT detail, count FROM telemetry_intake_notices"))
