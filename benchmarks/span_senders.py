"""Senders of spans at a fixed rate, or as fast as they are answered, whose requests are made before they are needed.

Belongs here: the senders, and names that say when a span was sent. Does not: viewers (live_viewers), judging.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks import otlp_requests
from benchmarks.otlp_requests import PROTOBUF

SENT_AT = re.compile(rb"\bT(\d{5})\b")
# Names of spans, with their length before them. Those that replace them are as long; they count tenths of a second.
_REPLACED, _TENTHS = re.compile(rb"\x06GET /\d"), 100_000
_ATTRIBUTES = 4


def name_now() -> bytes:
    """Return a name that says when its span was sent."""
    return b"T%05d" % (int(time.time() * 10) % _TENTHS)


def seconds_since(tenths: bytes, now: float) -> float:
    """Return how long before ``now`` a span was sent, by the digits of its name."""
    return (now * 10 - int(tenths)) % _TENTHS / 10


class Requests:
    """Requests with new traces each, made from one by replacing ids: generating spans takes longer than storing."""

    def __init__(self, seed: int, spans: int) -> None:
        self.spans = spans
        self._body = otlp_requests.body(seed, spans, _ATTRIBUTES)
        made = ExportTraceServiceRequest.FromString(self._body)
        found = {span.trace_id for part in made.resource_spans for scope in part.scope_spans for span in scope.spans}
        self._ids = re.compile(b"|".join(re.escape(one) for one in found))
        self._number = seed << 32

    def next(self) -> bytes:
        """Return a request; its spans with names of one digit are named after this moment."""
        self._number += 1
        front = self._number.to_bytes(12)
        body = self._ids.sub(lambda found: front + found[0][12:], self._body)
        return _REPLACED.sub(b"\x06" + name_now(), body)


@dataclass
class Sent:
    """Requests, each with the seconds until its answer; ``refused``: those without status 200."""

    spans: int = 0
    refused: int = 0
    waited_s: list[float] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def rate(self) -> float:
        """Spans per second."""
        return self.spans / self.took_s

    @property
    def p99_ms(self) -> float:
        """Time to an answer that 99 of 100 requests do not exceed."""
        return 1000 * sorted(self.waited_s)[int(0.99 * len(self.waited_s))]


async def at_rate(port: int, made: Requests, requests_per_s: float, seconds: float, lines: int = 10) -> Sent:
    """Send at a fixed rate, whether answers come or not; an answer's time counts from when it was due to be sent."""
    began, sent = time.perf_counter(), Sent()

    async def send(first: int) -> None:
        line = await _Line.opened(port)
        for number in range(first, int(requests_per_s * seconds), lines):
            due = began + number / requests_per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await _deliver(line, made, sent, lambda due=due: due)
        line.close()

    await asyncio.gather(*(send(first) for first in range(lines)))
    sent.took_s = time.perf_counter() - began
    return sent


async def at_most(port: int, made: Requests, seconds: float, lines: int = 4) -> Sent:
    """Send as fast as requests are answered."""
    began, sent = time.perf_counter(), Sent()

    async def send() -> None:
        line = await _Line.opened(port)
        while time.perf_counter() < began + seconds:
            await _deliver(line, made, sent, time.perf_counter)
        line.close()

    await asyncio.gather(*(send() for _ in range(lines)))
    sent.took_s = time.perf_counter() - began
    return sent


async def _deliver(line: "_Line", made: Requests, sent: Sent, due: Callable[[], float]) -> None:
    body, since = made.next(), due()
    if await line.post(body) == 200:
        sent.spans += made.spans
    else:
        sent.refused += 1
    sent.waited_s.append(time.perf_counter() - since)


@dataclass
class _Line:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def opened(cls, port: int) -> "_Line":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, body: bytes) -> int:
        """Send a request and return the status."""
        head = f"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {len(body)}"
        self.writer.write(f"{head}\r\n\r\n".encode() + body)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in answer.split("\r\n")[1:] if line)
        await self.reader.readexactly(int(fields["content-length"]))
        return int(answer.split()[1])

    def close(self) -> None:
        self.writer.close()
