"""Many clients of a receiver that behave like exporters, with keep-alive connections and retries.

Belongs here: the clients and their counters. Does not: the receiver (served), judging.
"""

import asyncio
import random
import time
from dataclasses import dataclass, field

from benchmarks import otlp_requests
from benchmarks.otlp_requests import PROTOBUF

_PATIENCE_S = 30.0
_MOST_TRIES = 10


@dataclass
class Sent:
    """Counters of all clients together."""

    spans: int = 0
    requests: int = 0
    lost: int = 0
    reconnected: int = 0
    waited_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def slowest_s(self) -> float:
        """The longest wait for the response to one attempt."""
        return max(self.waited_s, default=0.0)


class _Client:
    def __init__(self, port: int, seed: int, sent: Sent) -> None:
        self._port = port
        self._chance = random.Random(seed)
        self._sent = sent
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, every_s: float, seconds: float) -> None:
        """Send every ``every_s`` for ``seconds``, with a random offset."""
        began = time.monotonic()
        at = began + self._chance.random() * every_s
        while at < began + seconds:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            await self._deliver()
            at = at + every_s if every_s else time.monotonic()
        self._hang_up()

    async def _deliver(self) -> None:
        count = self._chance.randint(1, 5)
        body = otlp_requests.body(self._chance.getrandbits(60), count, 4)
        self._sent.spans += count
        self._sent.requests += 1
        for _ in range(_MOST_TRIES):
            status, wait_s = await self._try(body)
            self._sent.statuses[status] = self._sent.statuses.get(status, 0) + 1
            if status == 200:
                return
            await asyncio.sleep(wait_s)
        self._sent.lost += count

    async def _try(self, body: bytes) -> tuple[int, float]:
        """Send once; return the status (0 for a broken connection), and the wait before the next attempt."""
        kept = self._line is not None
        began = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if self._line is None:
                    self._line = await asyncio.open_connection("127.0.0.1", self._port)
                    self._sent.reconnected += 1
                reader, writer = self._line
                head = f"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: {PROTOBUF}\r\n"
                head += f"Content-Length: {len(body)}"
                writer.write(f"{head}\r\n\r\n".encode() + body)
                answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in answer.split("\r\n")[1:] if line)
                await reader.readexactly(int(fields["content-length"]))
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            self._hang_up()
            # Exporters retry immediately if a kept connection was closed.
            return 0, 0.0 if kept else 0.5
        self._sent.waited_s.append(time.monotonic() - began)
        if fields.get("connection") == "close":
            self._hang_up()
        return int(answer.split()[1]), float(fields.get("retry-after", 0))

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line[1].close()
            self._line = None


def send(port: int, clients: int, every_s: float, seconds: float, seed: int) -> Sent:
    """Run clients that each send 1 to 5 spans every ``every_s`` for ``seconds``, and return their counters."""
    sent = Sent()

    async def run_all() -> None:
        started = [_Client(port, seed * 100_003 + number, sent) for number in range(clients)]
        await asyncio.gather(*(client.run(every_s, seconds) for client in started))

    asyncio.run(run_all())
    return sent
