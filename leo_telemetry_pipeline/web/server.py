"""The HTTP server around the receiver: uvicorn with the bounds that it lacks, on connections and on their time.

Belongs here: connections, deadlines, signals. Does not: what a request means (app).
"""

import asyncio
import ctypes
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import HANDLED_SIGNALS

MAX_CONNECTIONS = 100
# Seconds that a connection may stay in a state of its request: its head, its body, our answer; and between requests.
_DEADLINES_S = {h11.IDLE: 10.0, h11.SEND_BODY: 40.0}
_ANSWER_S = 60.0
# Longer than exporters pause between two batches, so that they rarely meet a connection that is just being closed.
_KEEP_ALIVE_S = 60.0
_GRACE_S = 5
_MAX_HEAD = 16 << 10
# Of glibc's malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_LARGE_BLOCK = 128 << 10
_BUSY = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def run(app: ASGIApp, opened: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered first."""
    _give_memory_back()
    # What it has to say of requests are tracebacks, and each broken request would be a line.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_MAX_HEAD,
        timeout_keep_alive=int(_KEEP_ALIVE_S),
        timeout_graceful_shutdown=_GRACE_S,
    )
    _Server(config).run(sockets=[opened])


def _give_memory_back() -> None:
    """Let large blocks be the kernel's again as soon as they are free.

    Otherwise glibc, after the first large body, puts the next ones into its heap, where they leave holes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_ARENA_MAX, 2)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let signals end the server, and nothing more: uvicorn would raise them again when it is done."""
        loop = asyncio.get_running_loop()
        for number in HANDLED_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


class _Protocol(H11Protocol):
    """A connection that is closed when its client takes too long, in whatever state of a request."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self._state: object = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.write(_BUSY)
            transport.close()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        if self._deadline is not None:
            self._deadline.cancel()

    def _watch(self) -> None:
        theirs = self.conn.their_state
        waits = theirs is h11.IDLE and self.cycle is not None and not self.conn.trailing_data[0]
        state = (self.cycle, None if waits else theirs)
        if state == self._state:
            return
        self._state = state
        if self._deadline is not None:
            self._deadline.cancel()
        seconds = _KEEP_ALIVE_S if waits else _DEADLINES_S.get(theirs, _ANSWER_S)
        self._deadline = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(_SLOW)
        self.transport.close()
