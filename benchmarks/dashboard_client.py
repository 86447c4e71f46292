"""The dashboard in this process, asked as by a browser: with compression, and everything counted that is transferred.

Belongs here: requests and their sizes. Does not: what is requested, measurements.
"""

import asyncio
import re
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from starlette.types import Message

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Target
from leo_telemetry_pipeline.web.dashboard.app import build_app

HOST = "127.0.0.1:4318"
_SENT = [(b"host", HOST.encode()), (b"accept-encoding", b"gzip")]
_STATIC = re.compile(rb'(?:href|src)="(/static/[^"]+)"')


@dataclass
class Response:
    """A response; ``size``: bytes of its headers and compressed body."""

    status: int = 0
    size: int = 0


class Client:
    """Asks for pages, one after another."""

    def __init__(self, settings: Settings, target: Target) -> None:
        self._app = build_app(settings, target, host="127.0.0.1", is_local=True, shall_end=lambda: False)
        self._runner = asyncio.Runner()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._runner.close()

    def get(self, address: str) -> Response:
        """Return the response to a request, which must succeed."""
        response = self._runner.run(self._ask(address))
        assert response.status == 200, f"{address}: {response.status}"
        return response

    async def _ask(
        self, address: str, accepted: list[tuple[bytes, bytes]] = _SENT, to: list[bytes] | None = None
    ) -> Response:
        response = Response()

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                response.status = message["status"]
                response.size = sum(len(name) + len(value) + 4 for name, value in message["headers"])
            else:
                response.size += len(message["body"])
                if to is not None:
                    to.append(message["body"])

        path, _, query = address.partition("?")
        scope: dict[str, Any] = {"type": "http", "method": "GET", "scheme": "http", "path": path, "headers": accepted}
        await self._app(scope | {"query_string": query.encode()}, receive, send)
        return response

    def first_visit(self, address: str) -> int:
        """Return the bytes transferred to a browser that never was here: a page and its static files."""
        page: list[bytes] = []
        # Uncompressed, to find the files.
        self._runner.run(self._ask(address, _SENT[:1], page))
        files = {found.decode() for found in _STATIC.findall(b"".join(page))}
        return sum(self.get(one).size for one in (address, *files))
