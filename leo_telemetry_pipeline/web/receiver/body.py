"""Request bodies: read in pieces and inflated, with limits on the size of each, the size of all, and time.

Belongs here: receiving bytes. Does not: decoding them (sources.otlp).
"""

import asyncio
import io
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

LIMIT = 20 << 20
# Reserve beyond LIMIT for small bodies, so that one large body does not block all others.
SMALL = 64 << 10
_FOR_SMALL = 4 << 20
IDLE_S = 10.0
TOTAL_S = 30.0
# Large enough to be fast, small enough to stop soon after the limit.
_STEP = 256 << 10
_GZIP = 16 + zlib.MAX_WBITS

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Refusal(Exception):
    """A request answered with a status other than 200; ``retry_after`` in seconds."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


class Gone(Exception):
    """The client closed its connection before the end of its request."""


class Inflow:
    """Bytes of all bodies in memory, limited to about LIMIT."""

    def __init__(self) -> None:
        self.held = 0

    def take(self, size: int, whole: int) -> None:
        """Reserve ``size`` more bytes for a body of ``whole`` bytes so far. Raises Refusal 503 if memory is full."""
        if self.held + size > LIMIT + (_FOR_SMALL if whole <= SMALL else 0):
            # Not 429, which exporters of older SDKs do not retry.
            raise Refusal(503, "too many bytes are being received at once: send it again", retry_after=1)
        self.held += size


class Body:
    """One body: ``feed`` it as it arrives, then ``finish``; its bytes count in the inflow until ``close``.

    ``received`` is its size in bytes as sent, ``size`` as held in memory. Raises Refusal: 413 beyond LIMIT, as sent or
    inflated; 400 if it is not gzip, is truncated, or has data after its end; 503 if memory is full.
    """

    def __init__(self, inflow: Inflow, *, gzip: bool) -> None:
        self.received = 0
        self._inflow = inflow
        self._inflate = zlib.decompressobj(_GZIP) if gzip else None
        # getvalue does not copy, unlike joining a list of pieces.
        self._bytes = io.BytesIO()
        self.size = 0

    def feed(self, piece: bytes) -> None:
        """Add the next piece as sent."""
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
            raise Refusal(400, "the body is not gzip, although its Content-Encoding says so") from None
        # More gzip members would be valid, but no exporter sends them, and a million empty ones are an attack.
        if self._inflate.unused_data:
            raise Refusal(400, "the body has data after the end of its gzip stream")

    def finish(self) -> bytes:
        """Return the complete body, once, keeping no reference."""
        if self._inflate is not None and not self._inflate.eof:
            raise Refusal(400, "the gzip data of the body is truncated")
        whole, self._bytes = self._bytes.getvalue(), io.BytesIO()
        return whole

    def close(self) -> None:
        """Release the bytes."""
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
    """Refuse a body whose Content-Length is too large, before reading it."""
    if length and length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > LIMIT):
        raise _too_large()


async def read(receive: Receive, body: Body) -> None:
    """Feed a body from ASGI messages. Raises Refusal (408 for a slow client) and Gone."""
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
        raise Refusal(408, f"the body took more than {IDLE_S:.0f} s per piece or {TOTAL_S:.0f} s in total") from None


def _too_large() -> Refusal:
    return Refusal(413, f"the body is larger than {LIMIT >> 20} MiB: send fewer spans per request")
