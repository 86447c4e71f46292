"""The bodies of requests: read piece by piece, inflated, and bounded in size, in sum and in time.

Belongs here: what arrives before anything of it is understood. Does not: what it says (sources.otlp).
"""

import asyncio
import io
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

LIMIT = 20 << 20
# Above LIMIT there is room for small bodies, so that one large one does not keep all others out.
SMALL = 64 << 10
_FOR_SMALL = 4 << 20
IDLE_S = 10.0
TOTAL_S = 30.0
# Large enough to be quick, small enough to stop soon after the limit.
_STEP = 256 << 10
_GZIP = 16 + zlib.MAX_WBITS

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Refusal(Exception):
    """A request that is answered by a status other than 200; ``retry_after`` in seconds."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


class Gone(Exception):
    """The client closed its connection before the end of its request."""


class Inflow:
    """How many bytes of bodies are in memory, of all requests together: about LIMIT at most."""

    def __init__(self) -> None:
        self.held = 0

    def take(self, size: int, whole: int) -> None:
        """Make room for more bytes of a body that has ``whole`` with them. Raises Refusal 503 when others hold it."""
        if self.held + size > LIMIT + (_FOR_SMALL if whole <= SMALL else 0):
            # Not 429: exporters of older SDKs send that never again.
            raise Refusal(503, "too much is being received at once: send it again", retry_after=1)
        self.held += size


class Body:
    """One body: fed as it arrives, whole after ``finish``; its bytes count in the inflow until ``close``.

    ``received`` is its size in bytes as it was sent, ``size`` as it is held. Raises Refusal: 413 beyond LIMIT, sent or
    inflated; 400 for what is not gzip, is cut off, or goes on after its end; 503 where all bodies are too many.
    """

    def __init__(self, inflow: Inflow, *, gzip: bool) -> None:
        self.received = 0
        self._inflow = inflow
        self._inflate = zlib.decompressobj(_GZIP) if gzip else None
        # Hands its bytes over without a copy, which joining a list of pieces would make.
        self._bytes = io.BytesIO()
        self.size = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece as it was sent."""
        self.received += len(piece)
        if self.received > LIMIT:
            raise _too_large()
        if self._inflate is None:
            self._keep(piece)
            return
        try:
            while piece:
                self._keep(self._inflate.decompress(piece, _STEP))
                piece = self._inflate.unconsumed_tail
        except zlib.error:
            raise Refusal(400, "the body is not gzip, though its Content-Encoding says so") from None
        # A second member would be valid gzip too, but a million empty ones are an attack and no exporter sends them.
        if self._inflate.unused_data:
            raise Refusal(400, "the body goes on after the end of its gzip data")

    def finish(self) -> bytes:
        """Return all of it, once; the caller's is then the only reference."""
        if self._inflate is not None and not self._inflate.eof:
            raise Refusal(400, "the gzip data of the body is cut off")
        whole, self._bytes = self._bytes.getvalue(), io.BytesIO()
        return whole

    def close(self) -> None:
        """Let go of the bytes."""
        self._inflow.held -= self.size
        self.size = 0
        self._bytes, self._inflate = io.BytesIO(), None

    def _keep(self, piece: bytes) -> None:
        if self.size + len(piece) > LIMIT:
            raise _too_large()
        self._inflow.take(len(piece), self.size + len(piece))
        self.size += len(piece)
        self._bytes.write(piece)


def declared(length: str | None) -> None:
    """Refuse by Content-Length what is too large, before any of it is read."""
    if length and length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > LIMIT):
        raise _too_large()


async def read(receive: Receive, body: Body) -> None:
    """Feed a body from ASGI's messages. Raises Refusal, 408 for a slow client; Gone."""
    try:
        async with asyncio.timeout(TOTAL_S):
            more = True
            while more:
                async with asyncio.timeout(IDLE_S):
                    message = await receive()
                if message["type"] != "http.request":
                    raise Gone
                body.feed(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {IDLE_S:.0f} s a piece and {TOTAL_S:.0f} s") from None


def _too_large() -> Refusal:
    return Refusal(413, f"the body is larger than {LIMIT >> 20} MiB: send fewer spans per request")
