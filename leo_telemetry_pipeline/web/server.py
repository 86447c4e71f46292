"""HTTP server of receiver and dashboard: uvicorn, with limits that it lacks, on the number and time of connections.

Belongs here: sockets, deadlines. Does not: handling requests (site), which connection is closed (connections).
"""

import asyncio
import ctypes
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

import h11
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store import intake
from leo_telemetry_pipeline.web import listen, protocols
from leo_telemetry_pipeline.web.connections import Connections, room_for
from leo_telemetry_pipeline.web.receiver.metrics import Metrics
from leo_telemetry_pipeline.web.receiver.notices import Notices

# Longest time in each state of a request: its head, its body, our response; and between requests.
_DEADLINES_S = {h11.IDLE: 10.0, h11.SEND_BODY: 40.0}
_ANSWER_S = 60.0
# Longer than exporters pause between batches, so that they rarely meet a connection being closed.
_KEEP_ALIVE_S = 60.0
_GRACE_S = 5
_MAX_HEAD = 16 << 10
# From glibc's malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_LARGE_BLOCK = 128 << 10
# While a thread decodes a large request, the event loop waits this long for the interpreter.
_SWITCH_S = 0.001
# A refused connection stays open for a moment, so that its client can read the response.
_FAREWELL_S = 1.0
_MOST_FAREWELLS = 200
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_log = logging.getLogger(__name__)
_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Servable(Protocol):
    """An ASGI application with the counters and notices to which the server adds its own."""

    metrics: Metrics
    notices: Notices

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""


@dataclass
class _Shared:
    """State shared by all connections."""

    connections: Connections
    metrics: Metrics
    notices: Notices
    address: str
    farewells: int = 0


def run(app: Servable, opened: socket.socket, clients: int, shall_end: Callable[[], bool]) -> None:
    """Serve up to ``clients`` connections until ``shall_end``; finish requests in progress first."""
    _give_memory_back()
    sys.setswitchinterval(_SWITCH_S)
    room = room_for(clients)
    if room < clients:
        _log.warning(
            "%d clients at most, not %d: the limit of open files is too low; raise it (ulimit -n)", room, clients
        )
    shared = _Shared(Connections(room), app.metrics, app.notices, listen.url(*opened.getsockname()[:2]))
    # uvicorn would log a line or traceback for each invalid request.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(_Protocol, shared)),
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
        backlog=listen.BACKLOG,
    )
    Server(config, shall_end).run(sockets=[opened])


def _give_memory_back() -> None:
    """Return large blocks of memory to the kernel as soon as they are freed.

    By default, after the first large body, glibc allocates the next ones in its heap, which then fragments.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_ARENA_MAX, 2)


class Server(uvicorn.Server):
    """A uvicorn server that checks ``shall_end`` several times per second and handles no signals."""

    def __init__(self, config: uvicorn.Config, shall_end: Callable[[], bool]) -> None:
        super().__init__(config)
        self._shall_end = shall_end

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not handle signals, which uvicorn would raise again at the end."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop."""
        return await super().on_tick(counter) or self._shall_end()


class _Protocol(H11Protocol):
    """A connection that is closed if its client takes too long in any state of a request."""

    def __init__(self, shared: _Shared, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self._shared = shared
        self._first: bytes | None = b""
        self._state: object = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        had_room = self._shared.connections.opened(self)
        if had_room is None:
            self._turn_away()
            return
        if not had_room:
            self._shared.metrics.totals["clients_closed_idle"] += 1
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self._is_leaving:
            return
        if self._first is not None:
            data = self._first = self._first + data
            if len(data) < protocols.ENOUGH:
                self._watch()
                return
            self._first = None
            stranger = protocols.foreign(data, self._shared.address)
            if stranger is not None:
                self._send_away(stranger)
                return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._shared.connections.closed(self)
        if self._is_leaving:
            self._shared.farewells -= 1
        if self._deadline is not None:
            self._deadline.cancel()

    def close_idle(self) -> None:
        """Close the connection to make room for another."""
        self.transport.close()

    @property
    def _is_leaving(self) -> bool:
        return self._state is _LEAVING

    def _watch(self) -> None:
        theirs, more = self.conn.their_state, bool(self.conn.trailing_data[0])
        waits = theirs is h11.IDLE and self.cycle is not None and not more
        state = (self.cycle, None if waits else theirs, bool(self._first))
        if state == self._state:
            return
        self._state = state
        self._shared.connections.set_idle(self, theirs is h11.IDLE and not more and not self._first)
        self._end_after(_KEEP_ALIVE_S if waits else _DEADLINES_S.get(theirs, _ANSWER_S))

    def _end_after(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(_SLOW)
        self.transport.close()

    def _turn_away(self) -> None:
        shared = self._shared
        shared.metrics.totals["clients_turned_away"] += 1
        most = shared.connections.most
        shared.notices.add(
            intake.TOO_MANY_CLIENTS,
            f"more than {most} at once",
            f"client(s) turned away: all {most} connections are busy; raise {PREFIX}SERVE_CLIENTS",
        )
        self._leave(_BUSY)

    def _send_away(self, stranger: protocols.Foreign) -> None:
        self._shared.metrics.totals["clients_of_wrong_protocol"] += 1
        self._shared.notices.add(
            intake.WRONG_PROTOCOL,
            stranger.name,
            f"connection(s) using {stranger.name}, which is not supported: {stranger.remedy}",
        )
        self._leave(stranger.answer)

    def _leave(self, response: bytes) -> None:
        """Send a response and close after a moment: unread data would make the kernel reset the connection first."""
        self._shared.connections.closed(self)
        self.transport.write(response)
        if self._shared.farewells >= _MOST_FAREWELLS or not response:
            self.transport.close()
            return
        self._shared.farewells += 1
        self._state = _LEAVING
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._end_after(_FAREWELL_S)


_LEAVING = object()
