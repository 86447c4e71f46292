"""Viewers of the dashboard's live stream: a hundred open pages in one process that costs little itself.

Belongs here: the viewers and what they noted. Does not: the server (served), senders (span_senders), judging
(accept_viewers).
"""

import asyncio
import multiprocessing
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from benchmarks.span_senders import SENT_AT, seconds_since

_RETRY = re.compile(rb"retry: (\d+)")
_VERSION = re.compile(rb'"version": "([0-9a-f]+)"')
_LONGEST_EVENT = 1 << 20
_PATIENCE_S = 60


@dataclass(frozen=True)
class Event:
    """What a viewer got at a time. ``shown``: when the newest span in it was sent, None if it shows none."""

    at: float
    version: str
    shown: float | None


@dataclass
class Viewer:
    """Reads the live stream like an open page: it connects again when a stream ends."""

    events: list[Event] = field(default_factory=list)
    broken: int = 0
    _retry_s: float = 1.0

    async def look(self, port: int) -> None:
        """Read until cancelled."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LONGEST_EVENT)
                try:
                    await self._read(reader, writer)
                finally:
                    writer.close()
            except OSError:
                self.broken += 1
            await asyncio.sleep(self._retry_s)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        if b" 200 " not in await reader.readline():
            self.broken += 1
            return
        while line := await reader.readline():
            if line.startswith(b"data: "):
                self._note(line)
            elif found := _RETRY.match(line):
                self._retry_s = int(found[1]) / 1000

    def _note(self, event: bytes) -> None:
        now, version = time.time(), _VERSION.search(event)
        ages = [seconds_since(name, now) for name in SENT_AT.findall(event)]
        known = self.events[-1].version if self.events else ""
        self.events.append(Event(now, version[1].decode() if version else known, now - min(ages) if ages else None))

    def longest_unseen_s(self, since: float, until: float) -> float:
        """Return the longest time for which a span, sent from ``since`` to ``until``, could be without being shown."""
        longest, newest = 0.0, since
        for event in self.events:
            if event.shown is not None and event.shown > newest and event.at <= until:
                longest, newest = max(longest, event.at - newest), event.shown
        return max(longest, until - newest)

    def seen_at(self, version: str) -> float | None:
        """Return when it first got a version, None if it never did."""
        return next((event.at for event in self.events if event.version == version), None)


@asynccontextmanager
async def looking(port: int, count: int, noted: list[Viewer]) -> AsyncIterator[None]:
    """Let viewers look until the block ends, and then add them to ``noted``; it begins when each has got something.

    They have a process of their own, so that the time they take is not taken for that of the server.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_look, args=(port, count, theirs))
    process.start()
    # Else the end of the process would not be noticed.
    theirs.close()
    try:
        await asyncio.to_thread(ours.recv)
        yield
        ours.send("over")
        noted += await asyncio.to_thread(ours.recv)
    finally:
        process.terminate()
        process.join()


def _look(port: int, count: int, parent: Connection) -> None:
    parent.send(asyncio.run(_watch(port, count, parent)))


async def _watch(port: int, count: int, parent: Connection) -> list[Viewer]:
    viewers = [Viewer() for _ in range(count)]
    tasks = [asyncio.create_task(viewer.look(port)) for viewer in viewers]
    async with asyncio.timeout(_PATIENCE_S):
        while not all(viewer.events for viewer in viewers):
            await asyncio.sleep(0.1)
    parent.send("ready")
    await asyncio.to_thread(parent.recv)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return viewers
